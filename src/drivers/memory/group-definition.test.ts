import { describe, expect, it } from "vitest";
import {
  codeOf,
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
  consume,
} from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import type { DriverConnection } from "../../driver.ts";
import { memory } from "./index.ts";

const live = new AbortController().signal;

async function start(): Promise<{
  readonly clock: ManualClock;
  readonly connection: DriverConnection;
  readonly other: DriverConnection;
}> {
  const clock = new ManualClock();
  const driver = memory();
  const { connection } = await connectTo(driver, { clock });
  const { connection: other } = await connectTo(driver, { clock });
  await connection.ensureStream({ name: "events", topics: [">"] }, false);
  return { clock, connection, other };
}

async function seen(connection: DriverConnection, group: string, count: number): Promise<readonly string[]> {
  const { sink, consumption } = await joinGroup(connection, group);
  await until(
    () => sink.messages.length >= count,
    () => `${count}, not ${sink.texts.join()}`,
  );
  await turns();
  await consumption.close(live);
  return sink.texts;
}

describe("a new group", () => {
  it("starts at the oldest, at the newest, at a time, behind positions", async () => {
    const { connection, clock } = await start();
    publish(connection, ["1", "2"]);
    clock.advance(1_000);
    const positions = await connection.admin.positions("events");
    expect(positions["events/0"]).toBe("2");
    const time = clock.now();
    publish(connection, ["3"]);
    publish(connection, ["4"], { hash: 1 });
    await connection.ensureGroup(groupSpec("oldest"));
    await connection.ensureGroup(groupSpec("newest", { from: { at: "newest" } }));
    await connection.ensureGroup(groupSpec("time", { from: { time } }));
    await connection.ensureGroup(groupSpec("positions", { from: { positions } }));
    publish(connection, ["5"]);
    expect(await seen(connection, "oldest", 5)).toEqual(numbered(5));
    expect(await seen(connection, "newest", 1)).toEqual(["5"]);
    expect(await seen(connection, "time", 3)).toEqual(["3", "4", "5"]);
    expect(await seen(connection, "positions", 3)).toEqual(["3", "4", "5"]);
  });

  it("ignores where to start when it exists", async () => {
    const { connection } = await start();
    publish(connection, ["1"]);
    await connection.ensureGroup(groupSpec("g"));
    await connection.ensureGroup(groupSpec("g", { from: { at: "newest" } }));
    expect(await seen(connection, "g", 1)).toEqual(["1"]);
  });

  it("says what of its positions is gone, and starts anew in a stream that was made again", async () => {
    const { connection } = await start();
    publish(connection, numbered(10));
    await connection.admin.trim!("events", { positions: { "events/0": "4" } });
    await connection.ensureGroup(groupSpec("g", { from: { positions: { "events/0": "1" } } }));
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 6 && sink.losses.length === 1, "the rest");
    expect(sink.losses[0]!.count).toBe(3);
    await connection.ensureGroup(groupSpec("beyond", { from: { positions: { "events/0": "1000" } } }));
    expect(await seen(connection, "beyond", 6)).toEqual(numbered(6, 5));
  });

  it("refuses positions that are none, and then is not there", async () => {
    const { connection } = await start();
    expect(await codeOf(connection.ensureGroup(groupSpec("g", { from: { positions: { "events/0": "x" } } })))).toBe(
      "BUS_INVALID_OPTION",
    );
    expect(await connection.admin.groups()).toEqual([]);
  });

  it("is ordered unless told", async () => {
    const { connection } = await start();
    const { order: _order, ...spec } = groupSpec("g");
    expect((await connection.ensureGroup({ ...spec, order: undefined })).order).toBe("group");
    expect((await connection.ensureGroup({ ...spec, order: undefined })).order).toBe("group");
  });

  it("reads no stream that is not there", async () => {
    const { connection } = await start();
    expect(await codeOf(connection.ensureGroup(groupSpec("g", { stream: "nowhere" })))).toBe("BUS_NOT_FOUND");
  });

  it("goes on where it was before it was deleted, when nobody joined it yet", async () => {
    const { connection } = await start();
    publish(connection, numbered(5));
    await connection.ensureGroup(groupSpec("g", { from: { at: "newest" } }));
    const { sink } = await consume(connection, { kind: "group", group: "g", resume: new Map([["events/0", "2"]]) });
    await until(() => sink.messages.length === 3, "what was not settled");
    expect(sink.texts).toEqual(["3", "4", "5"]);
    const second = await consume(connection, { kind: "group", group: "g", resume: new Map([["events/0", "0"]]) });
    await turns();
    expect(second.sink.messages).toEqual([]);
  });
});

describe("a group that grows", () => {
  it("unites patterns, tells every member before it resolves, and reads a new pattern from where it is", async () => {
    const { connection, other } = await start();
    await connection.ensureGroup(groupSpec("g", { patterns: ["a.>"] }));
    const one = await joinGroup(connection, "g");
    const two = await joinGroup(other, "g");
    publish(connection, ["early"], { topic: "b.c" });
    publish(connection, ["mark"], { topic: "a.c" });
    await until(() => one.sink.messages.length + two.sink.messages.length === 1, "the mark");
    const grown = connection.ensureGroup(groupSpec("g", { patterns: ["b.>", "a.>"] }));
    expect(one.sink.specs.at(-1)!.reads).toEqual([{ stream: "events", patterns: ["a.>", "b.>"] }]);
    expect(two.sink.specs).toHaveLength(1);
    expect((await grown).reads).toEqual([{ stream: "events", patterns: ["a.>", "b.>"] }]);
    publish(connection, ["late"], { topic: "b.c" });
    await until(() => one.sink.messages.length + two.sink.messages.length === 2, "the new pattern");
    expect([...one.sink.texts, ...two.sink.texts].toSorted()).toEqual(["late", "mark"]);
    await connection.ensureGroup(groupSpec("g", { patterns: ["b.>"] }));
    expect(one.sink.specs).toHaveLength(1);
  });

  it("reads a stream that was added later from its oldest", async () => {
    const { connection } = await start();
    await connection.ensureGroup(groupSpec("g", { from: { at: "newest" } }));
    await connection.ensureStream({ name: "more", topics: ["more.>"] }, false);
    connection.send([outgoing(toTopic("more.x", "more"), "old").message]);
    await connection.ensureGroup(groupSpec("g", { stream: "more" }));
    expect(await seen(connection, "g", 1)).toEqual(["old"]);
  });

  it("refuses another order and another kind", async () => {
    const { connection } = await start();
    await connection.ensureGroup(groupSpec("g", { order: "group" }));
    expect(await codeOf(connection.ensureGroup(groupSpec("g", { order: "process" })))).toBe("BUS_CONFLICT");
    expect(await codeOf(connection.ensureGroup(groupSpec("g", { order: "group", live: true })))).toBe("BUS_CONFLICT");
  });

  it("shrinks by update alone, and reads a dropped stream no more", async () => {
    const { connection } = await start();
    await connection.ensureStream({ name: "more", topics: ["more.>"] }, false);
    await connection.ensureGroup(
      groupSpec("g", {
        reads: [
          { stream: "events", patterns: [">"] },
          { stream: "more", patterns: [">"] },
        ],
      }),
    );
    const { sink, consumption } = await joinGroup(connection, "g");
    connection.send([outgoing(toTopic("more.x", "more"), "1").message]);
    await until(() => sink.messages.length === 1, "it");
    await connection.admin.updateGroup("g", [{ stream: "events", patterns: ["a.>"] }]);
    expect(sink.specs.at(-1)!.reads).toEqual([{ stream: "events", patterns: ["a.>"] }]);
    expect(sink.revocations).toEqual([{ partition: "more/0" }]);
    expect(
      await consumption.record([{ message: sink.messages[0]!, attempts: 1, notBefore: undefined, headers: [] }]),
    ).toEqual(["stale"]);
    connection.send([outgoing(toTopic("more.x", "more"), "2").message]);
    publish(connection, ["3"], { topic: "b.b" });
    publish(connection, ["4"], { topic: "a.b" });
    await until(() => sink.messages.length === 2, "the fourth");
    expect(sink.texts).toEqual(["1", "4"]);
  });
});

describe("a group at its end", () => {
  it("is deleted with its queue and its letters, and its members are told", async () => {
    const { connection, other } = await start();
    await connection.ensureGroup(groupSpec("g"));
    const { sink, consumption } = await joinGroup(connection, "g");
    publish(connection, ["1"]);
    await until(() => sink.messages.length === 1, "it");
    connection.send([outgoing(toQueue("g"), "job").message]);
    expect(await other.admin.deleteGroup("g")).toBe(true);
    expect(sink.ends).toMatchObject([{ error: { code: "BUS_NOT_FOUND" }, kept: false }]);
    expect(
      await consumption.record([{ message: sink.messages[0]!, attempts: 1, notBefore: undefined, headers: [] }]),
    ).toEqual(["stale"]);
    expect(await other.admin.deleteGroup("g")).toBe(false);
    await connection.ensureGroup(groupSpec("g", { from: { at: "newest" } }));
    const again = await joinGroup(connection, "g");
    await turns();
    expect(again.sink.messages).toEqual([]);
  });

  it("is reset while nobody is a member, and not before", async () => {
    const { connection } = await start();
    await connection.ensureGroup(groupSpec("g"));
    publish(connection, ["1", "2"]);
    const { sink, consumption } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 2, "both");
    consumption.ack([sink.messages[0]!]);
    expect(await codeOf(connection.admin.resetGroup!("g", { at: "oldest" }))).toBe("BUS_CONFLICT");
    await consumption.close(live);
    await connection.admin.resetGroup!("g", { at: "oldest" });
    expect(await seen(connection, "g", 2)).toEqual(["1", "2"]);
    await connection.admin.resetGroup!("g", { at: "newest" });
    publish(connection, ["3"]);
    expect(await seen(connection, "g", 1)).toEqual(["3"]);
  });
});
