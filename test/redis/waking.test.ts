import { afterEach, describe, expect, it } from "vitest";
import type { DriverConnection } from "../../src/driver.ts";
import { redis as redisDriver } from "../../src/drivers/redis/index.ts";
import {
  groupSpec,
  joinGroup,
  numbered,
  outgoing,
  publish,
  type TestConsumption,
  toQueue,
} from "../support/driver-harness.ts";
import { until } from "../../src/testing/until.ts";
import { freshPrefix, redisContext } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const redis = await testBroker("redis");
const open: DriverConnection[] = [];

interface Client {
  sendCommand(args: readonly string[]): Promise<unknown>;
}

/** Nobody looks by himself within a test: what comes was told. */
async function end(prefix: string): Promise<DriverConnection> {
  const driver = redisDriver({ url: redis!.url, pollMs: 600_000, leaseMs: 120_000 });
  const connection = await driver.connect(redisContext(prefix));
  open.push(connection);
  await connection.ensureStream({ name: "events", topics: [">"], partitions: 4 });
  return connection;
}

const texts = (...members: readonly TestConsumption[]): readonly string[] =>
  members.flatMap(({ sink }) => sink.texts).toSorted((left, right) => Number(left) - Number(right));

/** Seats that found nothing, the first to be woken first. */
async function idle(by: DriverConnection, prefix: string): Promise<readonly string[]> {
  const args = ["ZRANGE", `{${prefix}}:g:g:idle`, "0", "-1"];
  return ((await (by.client as Client).sendCommand(args)) as readonly unknown[]).map(String);
}

afterEach(async () => {
  for (const connection of open.splice(0)) await connection.close(AbortSignal.timeout(1_000));
});

describe.skipIf(redis === undefined)("a member that has nothing to do on redis", () => {
  it.each(["none", "group"] as const)("is woken by what is published, each time (order: %s)", async (order) => {
    const prefix = freshPrefix();
    const [publisher, reader] = [await end(prefix), await end(prefix)];
    await reader.ensureGroup(groupSpec("g", { order, from: { at: "newest" } }));
    const member = await joinGroup(reader, "g");
    for (let round = 1; round <= 30; round += 1) {
      publish(publisher, [String(round)], { hash: round });
      await until(
        () => texts(member).length === round,
        () => `${round}; ${texts(member).length} came`,
      );
      member.consumption.ack(member.sink.messages.slice(-1));
    }
    const queued = outgoing(toQueue("g"), "31", { hash: 3 });
    publisher.send([queued.message]);
    await until(() => texts(member).length === 31, "what was sent to its queue");
  });

  it.each(["none", "group"] as const)(
    "misses nothing of what is published while it is about to rest (order: %s)",
    async (order) => {
      const prefix = freshPrefix();
      const [publisher, reader] = [await end(prefix), await end(prefix)];
      await reader.ensureGroup(groupSpec("g", { order }));
      const member = await joinGroup(reader, "g");
      for (let round = 0; round < 300; round += 1) {
        publish(publisher, [String(round + 1)], { hash: round });
        if (round % 3 !== 0) await new Promise((resolve) => setImmediate(resolve));
        if (round % 7 === 0) member.consumption.ack(member.sink.messages);
      }
      await until(
        () => texts(member).length === 300,
        () => `300; ${texts(member).length} came`,
      );
      expect(texts(member)).toEqual(numbered(300));
    },
  );

  it("passes a wake-up on when it has no room", async () => {
    const prefix = freshPrefix();
    const [publisher, one, two] = [await end(prefix), await end(prefix), await end(prefix)];
    await one.ensureGroup(groupSpec("g", { from: { at: "newest" } }));
    const members = [await joinGroup(one, "g"), await joinGroup(two, "g")] as const;
    const numberOf = (seat: string): number => Number(seat.split("~")[2]);
    for (let round = 1; round <= 6; round += 1) {
      await until(async () => (await idle(one, prefix)).length === 2, "both to rest");
      const [first = "", second = ""] = await idle(one, prefix); // the first is the one that is woken
      const [full, free] = numberOf(first) < numberOf(second) ? members : members.toReversed();
      full!.consumption.window({ messages: 0, bytes: 0 });
      publish(publisher, [String(round)]);
      await until(() => free!.sink.texts.includes(String(round)), `${round}, by whoever has room`);
      full!.consumption.window({ messages: 100, bytes: 100_000 });
    }
  });

  it("is woken by what another releases", async () => {
    const prefix = freshPrefix();
    const [publisher, one, two] = [await end(prefix), await end(prefix), await end(prefix)];
    await one.ensureGroup(groupSpec("g", { from: { at: "newest" } }));
    const [left, right] = [await joinGroup(one, "g"), await joinGroup(two, "g")];
    await until(async () => (await idle(one, prefix)).length === 2, "both to rest");
    publish(publisher, ["1"]);
    await until(() => texts(left, right).length === 1, "one to have it");
    const [has, other] = left.sink.messages.length === 1 ? [left, right] : [right, left];
    await until(async () => (await idle(one, prefix)).length === 2, "both to rest again");
    const message = has.sink.messages[0]!;
    await has.consumption.settle([{ how: "release", message, delayMs: 60_000, headers: [] }]);
    await until(() => other.sink.messages.length === 1, "the other to have it");
    expect(has.sink.messages).toHaveLength(1);
  });

  it.each(["none", "group"] as const)(
    "is woken by what is due, and by what another hands back (order: %s)",
    async (order) => {
      const prefix = freshPrefix();
      const [publisher, one, two] = [await end(prefix), await end(prefix), await end(prefix)];
      await one.ensureGroup(groupSpec("g", { order, from: { at: "newest" } }));
      const leaving = await joinGroup(one, "g");
      const staying = await joinGroup(two, "g", order === "none" ? { messages: 0, bytes: 0 } : undefined);
      publish(publisher, ["1"], { notBefore: Date.now() + 60 });
      await until(() => texts(leaving, staying).length === 1, "what was due");
      if (leaving.sink.messages.length === 0) return;
      if (order === "none") staying.consumption.window({ messages: 10, bytes: 10_000 });
      await leaving.consumption.close(AbortSignal.timeout(1_000));
      await until(() => staying.sink.messages.length === 1, "what was handed back");
      expect(staying.sink.messages[0]!.deliveries).toBe(1);
    },
  );

  it("gets what is due again of a partition that is paused: its core waits for just that", async () => {
    const prefix = freshPrefix();
    const reader = await end(prefix);
    await reader.ensureGroup(groupSpec("g"));
    const member = await joinGroup(reader, "g");
    publish(reader, ["1"]);
    await until(() => member.sink.messages.length === 1, "the first");
    const [message] = member.sink.messages;
    member.consumption.window({ messages: 0, bytes: 0 }, "events/0");
    await member.consumption.settle([{ how: "retry", message: message!, delayMs: 20, attempts: 1, headers: [] }]);
    await until(() => member.sink.messages.length === 2, "its next attempt");
    expect(member.sink.messages[1]!.attempts).toBe(1);
  });
});
