import { describe, expect, it } from "vitest";
import { until } from "../../src/testing/index.ts";
import { groupSpec, joinGroup, type TestConsumption } from "../support/driver-harness.ts";
import { has, key, RedisGroups, stored } from "../support/redis-groups.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const server = await RedisGroups.open(await testBroker("redis"));

const idle = async (prefix: string, count: number): Promise<void> =>
  until(
    async () => Number(await server!.command("ZCARD", key(prefix, "g:g:idle"))) === count,
    `${count} to have found nothing`,
  );

describe.skipIf(server === undefined)("a wake-up of redis for a member that takes nothing", () => {
  it("goes to another one, when it has stopped and works on what it has", async () => {
    const prefix = freshPrefix();
    const [one, two] = [await server!.connection(prefix), await server!.connection(prefix)];
    await one.ensureGroup(groupSpec("g"));
    const first = await joinGroup(one, "g");
    await idle(prefix, 1);
    const second = await joinGroup(two, "g");
    await idle(prefix, 2);
    await first.consumption.stop();
    await stored(one, ["1"]);
    await has(second, 1);
    expect(first.sink.texts).toEqual([]);
  });

  it("goes to another one, when it has the partition paused; two that have it paused leave each other alone", async () => {
    const prefix = freshPrefix();
    const ends = [await server!.connection(prefix), await server!.connection(prefix), await server!.connection(prefix)];
    await ends[0]!.ensureGroup(groupSpec("g"));
    const members: TestConsumption[] = [];
    for (const [at, end] of ends.entries()) {
      const member = await joinGroup(end, "g");
      if (at < 2) member.consumption.window({ messages: 0, bytes: 0 }, "events/0");
      members.push(member);
      await idle(prefix, at + 1);
    }
    await stored(ends[0]!, ["1"], { hash: 0 });
    await has(members[2]!, 1);
    members[2]!.consumption.window({ messages: 0, bytes: 0 }, "events/0");
    const calls = async (): Promise<number> =>
      Number(/cmdstat_spublish:calls=(\d+)/.exec(String(await server!.command("INFO", "commandstats")))?.[1] ?? 0);
    await stored(ends[0]!, ["2"], { hash: 0 });
    await idle(prefix, 3);
    const before = await calls();
    for (let round = 0; round < 20; round += 1) await ends[0]!.admin.groups();
    await idle(prefix, 3);
    expect((await calls()) - before).toBeLessThan(10);
    for (const { consumption } of members) consumption.window({ messages: 10, bytes: 1_000 }, "events/0");
    await until(() => members.some(({ sink }) => sink.texts.includes("2")), "somebody to take it at last");
    expect(members.flatMap(({ sink }) => sink.texts).toSorted()).toEqual(["1", "2"]);
  });
});
