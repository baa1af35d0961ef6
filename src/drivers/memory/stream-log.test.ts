import { describe, expect, it } from "vitest";
import {
  connectTo,
  groupSpec,
  joinGroup,
  numbered,
  outgoing,
  publish,
  toQueue,
  toTopic,
  turns,
  until,
  wide,
} from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import type { DriverConnection, StreamOptions } from "../../driver.ts";
import { memory, type MemoryOptions } from "./index.ts";

const live = new AbortController().signal;

async function start(
  stream: Partial<StreamOptions> = {},
  options: MemoryOptions = {},
): Promise<{ readonly clock: ManualClock; readonly connection: DriverConnection }> {
  const clock = new ManualClock();
  const { connection } = await connectTo(memory(options), { clock });
  await connection.ensureStream({ name: "events", topics: [">"], ...stream }, false);
  return { clock, connection };
}

const messagesOf = async (connection: DriverConnection) => (await connection.admin.streams())[0]!.messages;
const outcomes = (sent: readonly { readonly outcome: string }[]) => sent.map(({ outcome }) => outcome);

describe("a full stream", () => {
  it("forgets what every group has read, silently", async () => {
    const { connection } = await start({ maxMessages: 5 });
    await connection.ensureGroup(groupSpec("g"));
    const { sink } = await joinGroup(connection, "g");
    for (const text of numbered(20)) {
      const [sent] = publish(connection, [text]);
      expect(sent!.outcome).toBe("stored");
      await until(() => sink.texts.at(-1) === text, text);
    }
    expect(await messagesOf(connection)).toBe(5);
    expect(sink.losses).toEqual([]);
  });

  it("forgets the oldest when no group reads it", async () => {
    const { connection } = await start({ maxMessages: 5 });
    expect(outcomes(publish(connection, numbered(12)))).toEqual(Array(12).fill("stored"));
    await connection.ensureGroup(groupSpec("g"));
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 5, "the latest");
    expect(sink.texts).toEqual(numbered(5, 8));
  });

  it("rejects what there is no room for, by count and by bytes", async () => {
    const { connection } = await start({ maxMessages: 3 });
    await connection.ensureGroup(groupSpec("g"));
    const sent = publish(connection, numbered(5));
    expect(outcomes(sent)).toEqual(["stored", "stored", "stored", "no", "no"]);
    expect(sent[3]!.error).toMatchObject({ code: "BUS_FULL" });
    await connection.ensureStream({ name: "bytes", topics: ["bytes.>"], maxBytes: 10 }, false);
    await connection.ensureGroup(groupSpec("g", { stream: "bytes" }));
    const big = ["123456", "7890", "x", "12345678901"].map((text) => outgoing(toTopic("bytes.x", "bytes"), text));
    connection.send(big.map(({ message }) => message));
    expect(outcomes(big)).toEqual(["stored", "stored", "no", "no"]);
    expect(big[3]!.error).toMatchObject({ code: "BUS_TOO_LARGE" });
  });

  it("drops the oldest and tells the group that had not read it", async () => {
    const { connection } = await start({ maxMessages: 3, whenFull: "drop-oldest" });
    await connection.ensureGroup(groupSpec("g"));
    await connection.ensureGroup(groupSpec("other", { patterns: ["x.>"] }));
    const other = await joinGroup(connection, "other");
    const { sink, consumption } = await joinGroup(connection, "g", { messages: 1, bytes: 100 });
    publish(connection, ["1"]);
    await until(() => sink.messages.length === 1, "the first");
    expect(outcomes(publish(connection, numbered(5, 2)))).toEqual(Array(5).fill("stored"));
    await until(() => sink.losses.length > 0, "said");
    expect(sink.losses).toEqual([{ count: 2, reason: "full" }]);
    consumption.window(wide);
    await until(() => sink.messages.length === 4, "the rest");
    expect(sink.texts).toEqual(["1", "4", "5", "6"]);
    expect(other.sink.losses).toEqual([]);
  });

  it("tells a group that had no member as soon as it has one", async () => {
    const { connection } = await start({ maxMessages: 2, whenFull: "drop-oldest" });
    await connection.ensureGroup(groupSpec("g"));
    publish(connection, numbered(5));
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.losses.length === 1, "said");
    expect(sink.losses[0]!.count).toBe(3);
  });

  it("lets publishes wait, in order, until there is room", async () => {
    const { connection } = await start({ maxMessages: 2, whenFull: "wait" });
    await connection.ensureGroup(groupSpec("g"));
    const sent = publish(connection, numbered(5));
    expect(outcomes(sent)).toEqual(["stored", "stored", "waiting", "waiting", "waiting"]);
    const { sink, consumption } = await joinGroup(connection, "g", { messages: 1, bytes: 100 });
    for (const [index, text] of numbered(5).entries()) {
      await until(() => sink.messages.length === index + 1, text);
      consumption.ack([sink.messages[index]!]);
    }
    expect(sink.texts).toEqual(numbered(5));
    expect(outcomes(sent)).toEqual(Array(5).fill("stored"));
  });

  it("refuses what waits when the connection closes or the stream goes", async () => {
    const driver = memory();
    const { connection } = await connectTo(driver);
    const { connection: other } = await connectTo(driver);
    await connection.ensureStream({ name: "events", topics: [">"], maxMessages: 1, whenFull: "wait" }, false);
    await connection.ensureGroup(groupSpec("g"));
    const mine = publish(connection, ["1", "2"]);
    const theirs = publish(other, ["3"]);
    await connection.close(live);
    expect(mine[1]).toMatchObject({ outcome: "no", error: { code: "BUS_CLOSED" } });
    expect(theirs[0]!.outcome).toBe("waiting");
    await other.admin.deleteStream("events");
    expect(theirs[0]).toMatchObject({ outcome: "no", error: { code: "BUS_NOT_FOUND" } });
    await other.close(live);
  });

  it("keeps nothing any more for a group that had no member for idleGroupMs, and says so", async () => {
    const { connection, clock } = await start({ maxMessages: 2, idleGroupMs: 1_000 });
    await connection.ensureGroup(groupSpec("g"));
    publish(connection, ["1", "2"]);
    expect(outcomes(publish(connection, ["3"]))).toEqual(["no"]);
    clock.advance(1_000);
    expect(outcomes(publish(connection, ["4"]))).toEqual(["stored"]);
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 2 && sink.losses.length === 1, "the rest");
    expect([sink.texts, sink.losses[0]!.count]).toEqual([["2", "4"], 1]);
  });

  it("tells a group nothing of messages that it did not want", async () => {
    const { connection, clock } = await start({ maxMessages: 2, idleGroupMs: 1_000 });
    await connection.ensureGroup(groupSpec("g", { patterns: ["x.>"], order: "group" }));
    clock.advance(1_000);
    publish(connection, numbered(5));
    publish(connection, ["mine"], { topic: "x.y" });
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 1, "its own");
    expect(sink.losses).toEqual([]);
  });

  it("is not held up by messages that a group without members does not want", async () => {
    const { connection } = await start({ maxMessages: 3 });
    await connection.ensureGroup(groupSpec("g", { patterns: ["x.>"], order: "group" }));
    expect(outcomes(publish(connection, numbered(10)))).toEqual(Array(10).fill("stored"));
  });

  it("bounds a group's queue by the driver's own limits", async () => {
    const { connection } = await start({}, { maxMessages: 2 });
    const sent = numbered(3).map((text) => outgoing(toQueue("g"), text));
    connection.send(sent.map(({ message }) => message));
    expect(outcomes(sent)).toEqual(["stored", "stored", "no"]);
    await connection.ensureGroup(groupSpec("g"));
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 2, "both");
    const more = outgoing(toQueue("g"), "more");
    connection.send([more.message]);
    expect(more.outcome).toBe("stored");
  });

  it("says what a queue dropped before its group was there", async () => {
    const { connection } = await start({}, { maxMessages: 2, whenFull: "drop-oldest" });
    connection.send(numbered(5).map((text) => outgoing(toQueue("g"), text, { hash: Number(text) }).message));
    await connection.ensureGroup(groupSpec("g"));
    const { sink } = await joinGroup(connection, "g", { messages: 0, bytes: 0 });
    connection.send([outgoing(toQueue("g"), "6").message]);
    await until(() => sink.losses.reduce((sum, { count }) => sum + count!, 0) === 4, "said");
    expect(sink.messages).toEqual([]);
  });
});

describe("a stream without limits of its own", () => {
  it("keeps 1,000 of what every group has read, and everything while there is no group", async () => {
    const { connection } = await start();
    publish(connection, numbered(30_000));
    expect(await messagesOf(connection)).toBe(30_000);
    await connection.ensureGroup(groupSpec("g"));
    const { sink } = await joinGroup(connection, "g", { messages: 1_000_000, bytes: 1e9 });
    await until(() => sink.messages.length === 30_000, "all");
    publish(connection, numbered(1_000));
    await until(() => sink.messages.length === 31_000, "the rest");
    expect(await messagesOf(connection)).toBeLessThanOrEqual(2_000);
    expect(await messagesOf(connection)).toBeGreaterThanOrEqual(1_000);
    expect(sink.losses).toEqual([]);
  });
});

describe("age", () => {
  it("drops, handled or not, with the next publish", async () => {
    const { connection, clock } = await start({ maxAgeMs: 1_000 });
    publish(connection, ["1", "2"]);
    clock.advance(999);
    publish(connection, ["3"]);
    expect(await messagesOf(connection)).toBe(3);
    clock.advance(1);
    publish(connection, ["4"]);
    expect(await messagesOf(connection)).toBe(2);
  });

  it("drops what a member has no room for, by itself, and says so", async () => {
    const { connection, clock } = await start({ maxAgeMs: 1_000 });
    await connection.ensureGroup(groupSpec("g"));
    const { sink, consumption } = await joinGroup(connection, "g", { messages: 1, bytes: 100 });
    publish(connection, numbered(3));
    await until(() => sink.messages.length === 1, "the first");
    await clock.pass(1_200);
    await until(() => sink.losses.length === 1, "said");
    expect(sink.losses).toEqual([{ count: 2, reason: "older than maxAgeMs" }]);
    consumption.ack(sink.messages);
    await until(() => sink.floors.get("events/0") === "3", "the floor");
  });

  it("sets no timer while nobody waits for room", async () => {
    const { connection, clock } = await start();
    await connection.ensureGroup(groupSpec("g"));
    const { sink } = await joinGroup(connection, "g");
    publish(connection, numbered(3));
    await until(() => sink.messages.length === 3, "all");
    await turns();
    expect(clock.timers).toBe(0);
  });
});

describe("a broker id", () => {
  it("is recognised for two minutes, where it is and where it was", async () => {
    const { connection, clock } = await start();
    const [first] = publish(connection, ["1"], { brokerId: "same", hash: 35 });
    const [second] = publish(connection, ["1"], { brokerId: "same", hash: 35 });
    expect([first!.outcome, first!.position, second!.outcome, second!.position]).toEqual([
      "stored",
      "3/1",
      "duplicate",
      "3/1",
    ]);
    clock.advance(119_999);
    expect(outcomes(publish(connection, ["1"], { brokerId: "same" }))).toEqual(["duplicate"]);
    clock.advance(1);
    expect(outcomes(publish(connection, ["1"], { brokerId: "same" }))).toEqual(["stored"]);
    const jobs = ["x", "x"].map((text) => outgoing(toQueue("g"), text, { brokerId: "same" }));
    connection.send(jobs.map(({ message }) => message));
    expect(outcomes(jobs)).toEqual(["stored", "duplicate"]);
  });

  it("is recognised while its message is due later, and while it waits for room", async () => {
    const { connection, clock } = await start({ maxMessages: 2, whenFull: "wait" });
    await connection.ensureGroup(groupSpec("g"));
    const [later] = publish(connection, ["1"], { brokerId: "later", notBefore: clock.now() + 1_000 });
    const [again] = publish(connection, ["1"], { brokerId: "later" });
    expect([later!.outcome, later!.position, again!.outcome, again!.position]).toEqual([
      "stored",
      undefined,
      "duplicate",
      undefined,
    ]);
    publish(connection, ["2"]);
    const waiting = [
      ...publish(connection, ["3"], { brokerId: "waits" }),
      ...publish(connection, ["3"], { brokerId: "waits" }),
    ];
    expect(outcomes(waiting)).toEqual(["waiting", "waiting"]);
    await joinGroup(connection, "g");
    await until(() => waiting[1]!.outcome === "duplicate", "both");
    expect(waiting[0]!.outcome).toBe("stored");
  });
});

describe("a message that is due later", () => {
  it("enters the log when it is due, in the order of due times", async () => {
    const { connection, clock } = await start();
    await connection.ensureGroup(groupSpec("g"));
    const { sink } = await joinGroup(connection, "g");
    const now = clock.now();
    for (const [text, delay] of [
      ["b", 2_000],
      ["a", 1_000],
      ["c", 3_600_000 * 24 * 40],
    ] as const)
      publish(connection, [text], { notBefore: now + delay });
    connection.send([outgoing(toQueue("g"), "job", { notBefore: now + 1_500 }).message]);
    await turns();
    expect(sink.messages).toHaveLength(0);
    clock.advance(999);
    await turns();
    expect(sink.messages).toHaveLength(0);
    clock.advance(1);
    await until(() => sink.messages.length === 1, "a");
    clock.advance(1_000);
    await until(() => sink.messages.length === 3, "b");
    expect(sink.texts).toEqual(["a", "job", "b"]);
    expect(sink.messages[0]!.position).toBe("1");
    clock.advance(3_600_000 * 24 * 40);
    await until(() => sink.messages.length === 4, "c, beyond the longest timer");
  });

  it("has its room from the start", async () => {
    const { connection, clock } = await start({ maxMessages: 2 });
    await connection.ensureGroup(groupSpec("g"));
    publish(connection, ["later"], { notBefore: clock.now() + 1_000 });
    expect(outcomes(publish(connection, ["1", "2"]))).toEqual(["stored", "no"]);
    clock.advance(1_000);
    expect(await messagesOf(connection)).toBe(2);
  });

  it("is not due because the wall clock is looked at by a timer that is early", async () => {
    const { connection, clock } = await start();
    publish(connection, ["later"], { notBefore: clock.now() + 1_000 });
    clock.jump(-500);
    clock.advance(1_000);
    expect(await messagesOf(connection)).toBe(0);
    clock.advance(500);
    expect(await messagesOf(connection)).toBe(1);
  });
});
