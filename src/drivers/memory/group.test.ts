import { describe, expect, it } from "vitest";
import {
  connectTo,
  groupSpec,
  joinGroup,
  letterOf,
  numbered,
  outgoing,
  publish,
  textOf,
  toQueue,
  turns,
  until,
  wide,
} from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import type { DriverConnection } from "../../driver.ts";
import { memory } from "./index.ts";

const live = new AbortController().signal;

async function start(
  order: "none" | "group" = "none",
): Promise<{ readonly clock: ManualClock; readonly connection: DriverConnection; readonly other: DriverConnection }> {
  const clock = new ManualClock();
  const driver = memory();
  const { connection } = await connectTo(driver, { clock });
  const { connection: other } = await connectTo(driver, { clock });
  await connection.ensureStream({ name: "events", topics: [">"] }, false);
  await connection.ensureGroup(groupSpec("g", { order }));
  return { clock, connection, other };
}

describe.each(["none", "group"] as const)("a group of order %s", (order) => {
  it("delivers each message with what it was sent with, and says the floor once it is settled", async () => {
    const { connection, clock } = await start(order);
    const { sink, consumption } = await joinGroup(connection, "g");
    const [sent] = publish(connection, ["one"], {
      key: "k",
      hash: 35,
      headers: [["traceparent", "00-1"]],
      replyTo: "there",
    });
    expect(sent).toMatchObject({ outcome: "stored", position: "3/1" });
    await until(() => sink.messages.length === 1, "the message");
    const [message] = sink.messages;
    expect(message).toMatchObject({
      topic: "a.b",
      key: "k",
      partition: "events/3",
      position: "1",
      lane: "stream",
      deliveries: 1,
      attempts: 0,
      notBefore: undefined,
      replyTo: "there",
    });
    expect(message!.header("traceparent")).toBe("00-1");
    expect(message!.headers()).toEqual([["traceparent", "00-1"]]);
    expect(sink.floors.get("events/3")).toBe("0");
    consumption.ack([message!]);
    await until(() => sink.floors.get("events/3") === "1", "the floor");
    clock.advance(3_600_000);
    await turns();
    expect(sink.messages).toHaveLength(1);
  });

  it("shows one member everything in the order in which it was published, whatever the partition", async () => {
    const { connection } = await start(order);
    const { sink } = await joinGroup(connection, "g");
    for (const [index, text] of numbered(50).entries()) publish(connection, [text], { hash: (index * 7) % 16 });
    await until(() => sink.messages.length === 50, "all");
    expect(sink.texts).toEqual(numbered(50));
  });

  it("says floors to every member, and to a newcomer where they are", async () => {
    const { connection, other } = await start(order);
    const one = await joinGroup(connection, "g");
    publish(connection, ["1", "2"]);
    await until(() => one.sink.messages.length === 2, "both");
    one.consumption.ack([one.sink.messages[0]!]);
    await until(() => one.sink.floors.get("events/0") === "1", "the floor");
    const two = await joinGroup(other, "g");
    await until(() => two.sink.floors.get("events/0") === "1", "where it is");
    one.consumption.ack([one.sink.messages[1]!]);
    await until(() => two.sink.floors.get("events/0") === "2", "the next, at the other member");
    expect(two.sink.floors.size).toBe(32);
  });

  it("gives every group everything", async () => {
    const { connection } = await start(order);
    await connection.ensureGroup(groupSpec("h", { order }));
    const one = await joinGroup(connection, "g");
    const two = await joinGroup(connection, "h");
    publish(connection, ["1", "2"]);
    await until(() => one.sink.messages.length === 2 && two.sink.messages.length === 2, "both");
    expect(one.sink.texts).toEqual(two.sink.texts);
  });

  it("keeps to the window: messages, bytes but for one message, and nothing at 0", async () => {
    const { connection } = await start(order);
    const { sink, consumption } = await joinGroup(connection, "g", { messages: 0, bytes: 1_000 });
    publish(connection, numbered(20, 10));
    await turns();
    expect(sink.messages).toHaveLength(0);
    consumption.window({ messages: 3, bytes: 1_000 });
    await until(() => sink.messages.length === 3, "three");
    consumption.window({ messages: 100, bytes: 7 });
    await until(() => sink.messages.length === 4, "seven bytes are passed by one message");
    await turns();
    expect(sink.messages).toHaveLength(4);
    consumption.ack(sink.messages.slice(0, 4));
    await until(() => sink.messages.length === 8, "as much again");
    consumption.window({ messages: 1, bytes: 1_000 });
    consumption.ack(sink.messages.slice(4, 7));
    await turns();
    expect(sink.messages).toHaveLength(8);
  });

  it("pauses one partition by its own window", async () => {
    const { connection } = await start(order);
    const { sink, consumption } = await joinGroup(connection, "g");
    publish(connection, ["hot 1", "hot 2"], { hash: 0 });
    await until(() => sink.messages.length === 2, "two");
    consumption.window({ messages: 2, bytes: 1_000 }, "events/0");
    publish(connection, ["hot 3", "hot 4"], { hash: 0 });
    publish(connection, ["cool"], { hash: 1 });
    await until(() => sink.messages.length === 3, "the other partition");
    await turns();
    expect(sink.texts).toEqual(["hot 1", "hot 2", "cool"]);
    consumption.ack([sink.messages[0]!]);
    await until(() => sink.messages.length === 4, "one more");
    await turns();
    expect(sink.texts[3]).toBe("hot 3");
    consumption.window(wide, "events/0");
    await until(() => sink.messages.length === 5, "the rest");
  });

  it("hands back uncounted on close, and counted when it was abandoned", async () => {
    const { connection, other } = await start(order);
    const first = await joinGroup(connection, "g");
    publish(connection, numbered(3));
    await until(() => first.sink.messages.length === 3, "all");
    first.consumption.ack([first.sink.messages[1]!]);
    await first.consumption.close(live);
    const second = await joinGroup(connection, "g");
    await until(() => second.sink.messages.length === 2, "the others");
    expect(second.sink.messages.map((message) => [textOf(message), message.deliveries])).toEqual([
      ["1", 1],
      ["3", 1],
    ]);
    await connection.close(AbortSignal.abort());
    const third = await joinGroup(other, "g");
    await until(() => third.sink.messages.length === 2, "again");
    expect(third.sink.messages.map((message) => [textOf(message), message.deliveries])).toEqual([
      ["1", 2],
      ["3", 2],
    ]);
  });

  it("takes nothing from a former holder", async () => {
    const { connection } = await start(order);
    const first = await joinGroup(connection, "g");
    publish(connection, ["1"]);
    await until(() => first.sink.messages.length === 1, "it");
    await first.consumption.close(live);
    const second = await joinGroup(connection, "g");
    await until(() => second.sink.messages.length === 1, "it again");
    const message = first.sink.messages[0]!;
    first.consumption.ack([message]);
    expect(await first.consumption.settle([{ how: "dead", message, letter: letterOf(message, "g") }])).toEqual([
      "stale",
    ]);
    expect(await first.consumption.record([{ message, attempts: 1, notBefore: undefined, headers: [] }])).toEqual([
      "stale",
    ]);
    expect(await connection.admin.countLetters("g")).toBe(0);
    await second.consumption.close(live);
    const third = await joinGroup(connection, "g");
    await until(() => third.sink.messages.length === 1, "it was not settled");
  });

  it("keeps notes beside a message and gives them to the next holder", async () => {
    const { connection, clock } = await start(order);
    const first = await joinGroup(connection, "g");
    publish(connection, ["1"], {
      headers: [
        ["a", "old"],
        ["b", "kept"],
      ],
    });
    await until(() => first.sink.messages.length === 1, "it");
    const due = clock.now() + 5_000;
    const message = first.sink.messages[0]!;
    expect(
      await first.consumption.record([
        {
          message,
          attempts: 2,
          notBefore: due,
          headers: [
            ["a", "new"],
            ["done", "x"],
          ],
        },
      ]),
    ).toEqual(["done"]);
    expect([message.attempts, message.notBefore, message.header("a")]).toEqual([2, due, "new"]);
    await first.consumption.close(live);
    const second = await joinGroup(connection, "g");
    await until(() => second.sink.messages.length === 1, "it again");
    const again = second.sink.messages[0]!;
    expect([again.attempts, again.notBefore, again.header("a"), again.header("b"), again.header("done")]).toEqual([
      2,
      due,
      "new",
      "kept",
      "x",
    ]);
    expect(again.headers()).toEqual([
      ["b", "kept"],
      ["a", "new"],
      ["done", "x"],
    ]);
  });

  it("stores the letter of a dead message and is done with it", async () => {
    const { connection } = await start(order);
    const { sink, consumption } = await joinGroup(connection, "g");
    publish(connection, ["bad"]);
    await until(() => sink.messages.length === 1, "it");
    const message = sink.messages[0]!;
    expect(await consumption.settle([{ how: "dead", message, letter: letterOf(message, "g") }])).toEqual(["done"]);
    expect((await connection.admin.letters("g", undefined, 10)).map(({ id }) => id)).toEqual(["g/bad"]);
    expect((await connection.admin.groups())[0]).toMatchObject({ waiting: 0, inFlight: 0 });
  });

  it("stops delivering after stop, and what is in hand stays its own", async () => {
    const { connection } = await start(order);
    const { sink, consumption } = await joinGroup(connection, "g", { messages: 1, bytes: 100 });
    publish(connection, ["1", "2"]);
    await until(() => sink.messages.length === 1, "the first");
    await consumption.stop();
    expect(
      await consumption.record([{ message: sink.messages[0]!, attempts: 1, notBefore: undefined, headers: [] }]),
    ).toEqual(["done"]);
    consumption.ack(sink.messages);
    await consumption.flush();
    await turns();
    expect(sink.texts).toEqual(["1"]);
    expect((await connection.admin.groups())[0]).toMatchObject({ waiting: 1, inFlight: 0 });
  });

  it("takes back what another connection has had for too long, and counts it", async () => {
    const { connection, other, clock } = await start(order);
    const { sink, consumption } = await joinGroup(connection, "g");
    publish(connection, ["old"]);
    await until(() => sink.messages.length === 1, "it");
    clock.advance(10_000);
    publish(connection, ["new"]);
    await until(() => sink.messages.length === 2, "the newer");
    expect(await connection.admin.recoverGroup!("g", 5_000)).toBe(0);
    expect(await other.admin.recoverGroup!("g", 5_000)).toBe(1);
    expect(sink.revocations).toEqual([[sink.messages[0]]]);
    await until(() => sink.messages.length === 3, "it again");
    expect([sink.texts[2], sink.messages[2]!.deliveries]).toEqual(["old", 2]);
    expect(
      await consumption.record([{ message: sink.messages[0]!, attempts: 1, notBefore: undefined, headers: [] }]),
    ).toEqual(["stale"]);
  });

  it("waits in the queue for a group that is not there yet", async () => {
    const { connection } = await start(order);
    const sent = outgoing(toQueue("later"), "early", { hash: 5, key: "k" });
    connection.send([sent.message]);
    expect(sent).toMatchObject({ outcome: "stored", position: "5/1" });
    await connection.ensureGroup(groupSpec("later", { order, from: { at: "newest" } }));
    const { sink, consumption } = await joinGroup(connection, "later");
    await until(() => sink.messages.length === 1, "it");
    expect(sink.messages[0]).toMatchObject({
      lane: "queue",
      partition: ":queue/5",
      position: "1",
      topic: "jobs",
      deliveries: 1,
    });
    consumption.ack(sink.messages);
    await until(() => sink.floors.get(":queue/5") === "1", "the queue's floor");
  });

  it("counts what waits, what is in hand and what is due later", async () => {
    const { connection, clock } = await start(order);
    const { sink } = await joinGroup(connection, "g", { messages: 2, bytes: 100 });
    publish(connection, numbered(5));
    publish(connection, ["later"], { notBefore: clock.now() + 1_000 });
    connection.send([outgoing(toQueue("g"), "job").message]);
    await until(() => sink.messages.length === 2, "two");
    clock.advance(300);
    expect((await connection.admin.groups())[0]).toMatchObject({
      waiting: 5,
      inFlight: 2,
      scheduled: 1,
      oldestWaitingMs: 300,
    });
  });
});
