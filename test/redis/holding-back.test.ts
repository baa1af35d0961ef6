import { describe, expect, it } from "vitest";
import type { DriverConnection } from "../../src/driver.ts";
import { until } from "../../src/testing/index.ts";
import { consume, groupSpec, joinGroup, numbered, outgoing, toTopic } from "../support/driver-harness.ts";
import { has, key, minute, RedisGroups, stored } from "../support/redis-groups.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const server = await RedisGroups.open(await testBroker("redis", { own: true }));
const nothing = { messages: 0, bytes: 0 };

async function outcomeOf(on: DriverConnection, id?: string): Promise<string> {
  const sent = outgoing(toTopic("a"), "x", id === undefined ? {} : { brokerId: id });
  on.send([sent.message]);
  await until(() => sent.outcome !== "waiting", "an outcome");
  return sent.outcome;
}

describe.skipIf(server === undefined)("what holds back a stream on redis", () => {
  it("is not a group whose last member died, once it was away for idleGroupMs", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    const stream = { name: "events", topics: [">"], partitions: 2, maxMessages: 20 } as const;
    await one.ensureStream({ ...stream, idleGroupMs: minute });
    await one.ensureGroup(groupSpec("g"));
    await joinGroup(one, "g", nothing);
    await stored(one, numbered(20));
    expect(await outcomeOf(one)).toBe("no");
    const [seat] = await server!.seats(prefix);
    await server!.command("ZADD", key(prefix, "g:g:beat"), String(Date.now() - 1_000), seat!);
    expect(await outcomeOf(one)).toBe("no"); // dead, but not for long enough
    await server!.endLease(prefix, seat!);
    await until(async () => (await outcomeOf(one)) === "stored", "room to be made");
  });

  it("is not a live group whose last member died: any other member buries it", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureGroup(groupSpec("g", { live: true }));
    await joinGroup(one, "g", nothing);
    const [seat] = await server!.seats(prefix);
    const other = await server!.connection(prefix, { leaseMs: 300 });
    await other.ensureGroup(groupSpec("h"));
    await joinGroup(other, "h");
    const names = async (): Promise<readonly string[]> =>
      (await other.admin.groups()).map(({ spec }) => spec.group).toSorted();
    expect(await names()).toEqual(["g", "h"]);
    await server!.endLease(prefix, seat!);
    await until(async () => (await names()).join() === "h", "the live group to be gone");
  });

  it("is a group whose consumer group somebody destroyed: a trim leaves what it has not handled", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureGroup(groupSpec("g"));
    await stored(one, numbered(10));
    for (const p of [0, 1]) await server!.command("XGROUP", "DESTROY", key(prefix, `s:events:${p}`), "g");
    expect(await one.admin.trim!("events", { at: "newest" })).toBe(0);
    await has(await joinGroup(one, "g"), 10);
  });

  it("and what a trim takes from a group that was away for idleGroupMs, it is told", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureStream({ name: "events", topics: [">"], partitions: 2, idleGroupMs: 1 });
    await one.ensureGroup(groupSpec("g"));
    await stored(one, numbered(1_500));
    await until(async () => (await one.admin.trim!("events", { at: "newest" })) === 0, "all to be trimmed");
    const { sink } = await joinGroup(one, "g");
    await until(() => sink.losses.length > 0, "the loss to be told");
    expect(sink.losses.map(({ count }) => count)).toEqual([1_500]);
    expect(sink.messages).toEqual([]);
  });

  it("a place that the partition has not reached is not where a group goes on", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureGroup(groupSpec("g"));
    await stored(one, ["1"], { hash: 0 });
    await server!.command("XGROUP", "DESTROY", key(prefix, "s:events:0"), "g");
    const resume = new Map([["events/0", `${Date.now() + 3_600_000}-0`]]);
    const member = await consume(one, { kind: "group", group: "g", resume });
    await stored(one, ["2"], { hash: 0 });
    await has(member, 2);
    expect(member.sink.texts).toEqual(["1", "2"]);
  });

  it("an id is known for the longest window of those who publish", async () => {
    const prefix = freshPrefix();
    const [long, short] = [await server!.connection(prefix), await server!.connection(prefix, { dedupeWindowMs: 20 })];
    expect(await outcomeOf(long, "same")).toBe("stored");
    const from = performance.now();
    for (let n = 0; performance.now() - from < 100; n += 1) await outcomeOf(short, `${n}`);
    expect(await outcomeOf(long, "same")).toBe("duplicate");
  });

  it("much that comes of age goes in steps that no publish waits long for", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureStream({
      name: "events",
      topics: [">"],
      partitions: 2,
      maxBytes: 10_000_000_000,
      maxAgeMs: minute,
    });
    await one.ensureGroup(groupSpec("g"));
    const old = `local id, body = 0, string.rep('x', 20000) for i = 1, 2000 do
      redis.call('XADD', KEYS[1], i .. '-0', 't', 'a', 'k', '', 'h', '', 'b', body) end return 1`;
    for (const p of [0, 1]) await server!.command("EVAL", old, "1", key(prefix, `s:events:${p}`));
    const left = async (): Promise<number> => Number(await server!.command("XLEN", key(prefix, "s:events:0")));
    const lengths: number[] = [await left()];
    while (lengths.at(-1)! > 1_000) {
      await outcomeOf(one);
      lengths.push(await left());
    }
    const steps = lengths.slice(1).map((length, at) => lengths[at]! - length);
    expect(Math.max(...steps)).toBeLessThan(200);
  });
});
