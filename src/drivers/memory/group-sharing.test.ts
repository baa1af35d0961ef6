import { describe, expect, it } from "vitest";
import {
  codeOf,
  connectTo,
  consume,
  groupSpec,
  joinGroup,
  numbered,
  outgoing,
  publish,
  textOf,
  toTopic,
  turns,
  until,
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

describe("an unordered group", () => {
  it("retries after the delay, as the first delivery of a new attempt", async () => {
    const { connection, clock } = await start();
    const { sink, consumption } = await joinGroup(connection, "g");
    publish(connection, ["1", "2"]);
    await until(() => sink.messages.length === 2, "both");
    const message = sink.messages[0]!;
    expect(
      await consumption.settle([{ how: "retry", message, delayMs: 1_000, attempts: 1, headers: [["failed", "h"]] }]),
    ).toEqual(["done"]);
    consumption.ack([sink.messages[1]!]);
    clock.advance(999);
    await turns();
    expect(sink.messages).toHaveLength(2);
    expect((await connection.admin.groups())[0]).toMatchObject({ waiting: 1, scheduled: 1, inFlight: 0 });
    expect(sink.floors.get("events/0")).toBe("0");
    clock.advance(1);
    await until(() => sink.messages.length === 3, "the retry");
    const again = sink.messages[2]!;
    expect([textOf(again), again.attempts, again.deliveries, again.header("failed")]).toEqual(["1", 1, 1, "h"]);
    consumption.ack([again]);
    await until(() => sink.floors.get("events/0") === "2", "the floor passes both");
  });

  it("retries at once without a delay, and many times", async () => {
    const { connection } = await start();
    const { sink, consumption } = await joinGroup(connection, "g");
    publish(connection, ["1"]);
    for (let attempt = 1; attempt <= 20; attempt += 1) {
      await until(() => sink.messages.length === attempt, `attempt ${attempt}`);
      await consumption.settle([
        { how: "retry", message: sink.messages[attempt - 1]!, delayMs: 0, attempts: attempt, headers: [] },
      ]);
    }
    await until(() => sink.messages.length === 21, "the last");
    expect(sink.messages[20]!.attempts).toBe(20);
  });

  it("shares among members by the room they have", async () => {
    const { connection, other } = await start();
    const one = await joinGroup(connection, "g", { messages: 100, bytes: 1_000 });
    const two = await joinGroup(other, "g", { messages: 100, bytes: 1_000 });
    const three = await joinGroup(other, "g", { messages: 2, bytes: 1_000 });
    publish(connection, numbered(20));
    await until(() => one.sink.messages.length + two.sink.messages.length + three.sink.messages.length === 20, "all");
    expect([one, two, three].map(({ sink }) => sink.messages.length)).toEqual([9, 9, 2]);
  });

  it("gives what was released to another member, with as many deliveries as before", async () => {
    const { connection, other } = await start();
    const one = await joinGroup(connection, "g");
    publish(connection, ["1"]);
    await until(() => one.sink.messages.length === 1, "it");
    const two = await joinGroup(other, "g");
    await one.consumption.settle([
      { how: "release", message: one.sink.messages[0]!, delayMs: 500, headers: [["hops", "1"]] },
    ]);
    await until(() => two.sink.messages.length === 1, "the other has it");
    expect([
      two.sink.messages[0]!.deliveries,
      two.sink.messages[0]!.attempts,
      two.sink.messages[0]!.header("hops"),
    ]).toEqual([1, 0, "1"]);
    expect(one.sink.messages).toHaveLength(1);
  });

  it("lets what all have released rest for its delay, but gives it to one who joins at once", async () => {
    const { connection, other, clock } = await start();
    const members = [await joinGroup(connection, "g"), await joinGroup(other, "g"), await joinGroup(other, "g")];
    const runs = (): readonly number[] => members.map(({ sink }) => sink.messages.length);
    publish(connection, ["1"]);
    const released = new Set<unknown>();
    const releaseUntil = async (condition: () => boolean): Promise<void> => {
      const open = (): boolean => members.some(({ sink }) => sink.messages.some((message) => !released.has(message)));
      while (!condition()) {
        await until(
          () => condition() || open(),
          () => `one more to have it: ${String(runs())}`,
        );
        for (const { sink, consumption } of members) {
          for (const message of sink.messages) {
            if (released.has(message)) continue;
            released.add(message);
            await consumption.settle([{ how: "release", message, delayMs: 500, headers: [] }]);
          }
        }
      }
    };
    await releaseUntil(() => released.size === 3);
    await turns();
    expect(runs()).toEqual([1, 1, 1]); // each once, without waiting
    clock.advance(499);
    await turns();
    expect(runs()).toEqual([1, 1, 1]);
    clock.advance(1);
    await releaseUntil(() => released.size === 5);
    await turns();
    expect(runs().toSorted()).toEqual([1, 2, 2]); // without the one who had it last
    const newcomer = await joinGroup(other, "g");
    await releaseUntil(() => newcomer.sink.messages.length === 1);
    newcomer.consumption.ack(newcomer.sink.messages);
    const before = runs();
    clock.advance(500);
    await turns();
    expect([runs(), newcomer.sink.messages.length]).toEqual([before, 1]);
  });

  it("gives what was released to the same member when it is alone or the others are paused", async () => {
    const { connection, other } = await start();
    const one = await joinGroup(connection, "g");
    publish(connection, ["1"]);
    await until(() => one.sink.messages.length === 1, "it");
    await one.consumption.settle([{ how: "release", message: one.sink.messages[0]!, delayMs: 0, headers: [] }]);
    await until(() => one.sink.messages.length === 2, "it again");
    await joinGroup(other, "g", { messages: 0, bytes: 0 });
    await one.consumption.settle([{ how: "release", message: one.sink.messages[1]!, delayMs: 0, headers: [] }]);
    await until(() => one.sink.messages.length === 3, "it a third time");
    expect(one.sink.messages.map(({ deliveries }) => deliveries)).toEqual([1, 1, 1]);
  });

  it.each([
    ["paused", { messages: 0, bytes: 0 }],
    ["full", { messages: 1, bytes: 1_000 }],
  ])("gives what others must wait for to a member that was %s, as soon as it has room", async (_what, window) => {
    const { connection, other, clock } = await start();
    const able = await joinGroup(other, "g", window);
    if (window.messages > 0) {
      publish(connection, ["busy"]);
      await until(() => able.sink.messages.length === 1, "it to be busy");
    }
    const one = await joinGroup(connection, "g");
    publish(connection, ["1"]);
    const refuse = async (runs: number): Promise<void> => {
      await until(() => one.sink.messages.length === runs, `run ${runs} of the first`);
      await one.consumption.settle([
        { how: "release", message: one.sink.messages[runs - 1]!, delayMs: 8_000, headers: [] },
      ]);
      await turns();
      expect(one.sink.messages).toHaveLength(runs);
    };
    await refuse(1);
    clock.advance(8_000);
    await turns();
    if (window.messages === 0) await refuse(2); // nobody else could have it
    clock.advance(1);
    able.consumption.window({ messages: 10, bytes: 1_000 });
    await until(() => able.sink.texts.includes("1"), "the other to have it");
    able.consumption.ack(able.sink.messages);
    clock.advance(20_000);
    await turns();
    expect(one.sink.messages).toHaveLength(window.messages === 0 ? 2 : 1);
    expect((await connection.admin.groups())[0]).toMatchObject({ waiting: 0, scheduled: 0, inFlight: 0 });
  });

  it("lets who released a message wait for its delay even when somebody joins and leaves", async () => {
    const { connection, other, clock } = await start();
    const one = await joinGroup(connection, "g");
    publish(connection, ["1"]);
    await until(() => one.sink.messages.length === 1, "it");
    await one.consumption.settle([{ how: "release", message: one.sink.messages[0]!, delayMs: 500, headers: [] }]);
    const two = await joinGroup(other, "g", { messages: 0, bytes: 0 });
    await turns();
    await two.consumption.close(live);
    clock.advance(499);
    await turns();
    expect(one.sink.messages).toHaveLength(1);
    clock.advance(1);
    await until(() => one.sink.messages.length === 2, "it again");
  });

  it("goes past what one member's partition window holds back, to others", async () => {
    const { connection, other } = await start();
    const one = await joinGroup(connection, "g");
    const two = await joinGroup(other, "g");
    one.consumption.window({ messages: 0, bytes: 0 }, "events/0");
    publish(connection, numbered(4), { hash: 0 });
    publish(connection, numbered(4, 5), { hash: 1 });
    await until(() => one.sink.messages.length + two.sink.messages.length === 8, "all");
    expect(one.sink.messages.every((message) => message.partition === "events/1")).toBe(true);
    expect(one.sink.messages.length).toBeGreaterThan(0);
  });
});

describe("a live group", () => {
  it("starts now, and goes with its last member", async () => {
    const { connection } = await start();
    publish(connection, ["before"]);
    await connection.ensureGroup(groupSpec("l", { live: true }));
    const { sink, consumption } = await joinGroup(connection, "l");
    publish(connection, ["after"]);
    await until(() => sink.messages.length === 1, "it");
    expect(sink.texts).toEqual(["after"]);
    await consumption.close(live);
    expect((await connection.admin.groups()).map(({ spec }) => spec.group)).toEqual(["g"]);
    expect(await codeOf(joinGroup(connection, "l"))).toBe("BUS_NOT_FOUND");
  });

  it("goes with who made it when nobody joined", async () => {
    const { connection, other } = await start();
    await connection.ensureGroup(groupSpec("l", { live: true }));
    await connection.close(live);
    expect((await other.admin.groups()).map(({ spec }) => spec.group)).toEqual(["g"]);
  });
});

describe("consume", () => {
  it("fixes the start before it resolves", async () => {
    const { connection } = await start();
    const joined = consume(connection, { kind: "tail", stream: "events", from: { at: "newest" }, resume: undefined });
    publish(connection, ["at once"]);
    const { sink } = await joined;
    await until(() => sink.messages.length === 1, "it");
    connection.send([outgoing(toTopic("a.b", "nowhere"), "x").message]);
    expect(await codeOf(joinGroup(connection, "nobody"))).toBe("BUS_NOT_FOUND");
  });
});
