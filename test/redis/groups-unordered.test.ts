import { describe, expect, it } from "vitest";
import type { InMessage } from "../../src/driver.ts";
import { settleScript } from "../../src/drivers/redis/scripts/settle.ts";
import { FaultProxy, until as eventually } from "../../src/testing/index.ts";
import { groupSpec, joinGroup, numbered, until, type TestConsumption } from "../support/driver-harness.ts";
import { countsOf, has, key, minute, stored, RedisGroups } from "../support/redis-groups.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const server = await RedisGroups.open(await testBroker("redis", { own: true }));

describe.skipIf(server === undefined)("a group without an order on redis", () => {
  const spec = groupSpec("g", { order: "none" });

  it("passes on a wake-up that it has no room for", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureGroup(spec);
    const first = await joinGroup(one, "g");
    const idle = async (): Promise<number> => Number(await server!.command("ZCARD", key(prefix, "g:g:idle")));
    await eventually(async () => (await idle()) === 1, "it to be idle");
    const second = await joinGroup(one, "g");
    await eventually(async () => (await idle()) === 2, "both to be idle");
    first.consumption.window({ messages: 0, bytes: 0 }); // and yet it is the one that has been idle for longest
    await stored(one, ["1"]);
    await has(second, 1);
    expect(first.sink.messages).toEqual([]);
  });

  it("a settlement whose answer is lost is unknown; told again, it is stale", async () => {
    const prefix = freshPrefix();
    await using proxy = await FaultProxy.start(server!.url);
    const one = await server!.connection(prefix, { url: proxy.url(server!.url) });
    await one.ensureGroup(spec);
    const member = await joinGroup(one, "g");
    await stored(one, numbered(2));
    await has(member, 2);
    const [first, second] = member.sink.messages;
    const retry = (message: InMessage) =>
      ({ how: "retry", message, delayMs: minute, attempts: 1, headers: [] }) as const;
    expect(await member.consumption.settle([retry(first!)])).toEqual(["done"]);
    const swallowed = proxy.swallowReply({ request: settleScript.sha });
    const settling = member.consumption.settle([retry(second!)]);
    expect(await swallowed).toBe(true);
    expect(await settling).toEqual(["unknown"]);
    let again: readonly string[] = [];
    await eventually(async () => {
      again = await member.consumption.settle([retry(second!)]);
      return again[0] !== "unknown";
    }, "an answer");
    expect(again).toEqual(["stale"]);
    expect(await countsOf(await server!.connection(prefix))).toEqual([2, 0]);
  });

  it("gives what one released to another at once, to itself after the delay, and to one who joins when all released it", async () => {
    const prefix = freshPrefix();
    const [one, two, three] = [
      await server!.connection(prefix),
      await server!.connection(prefix),
      await server!.connection(prefix),
    ];
    await one.ensureGroup(spec);
    const first = await joinGroup(one, "g");
    await stored(one, ["1"]);
    await has(first, 1);
    const release = async ({ consumption, sink }: TestConsumption, delayMs: number): Promise<void> => {
      const headers = [["hops", String(sink.messages.length)]] as const;
      const [result] = await consumption.settle([{ how: "release", message: sink.messages.at(-1)!, delayMs, headers }]);
      expect(result).toBe("done");
    };
    const second = await joinGroup(two, "g");
    await release(first, minute);
    await has(second, 1);
    expect(second.sink.messages[0]!.deliveries).toBe(1);
    expect(second.sink.messages[0]!.note("hops")).toBe("1");
    await release(second, 100); // all have
    await until(() => first.sink.messages.length + second.sink.messages.length === 3, "the delay to end");
    const holder = first.sink.messages.length === 2 ? first : second;
    await release(holder, minute);
    const rest = holder === first ? second : first;
    await has(rest, rest.sink.messages.length + 1).catch(() => undefined);
    if (rest.sink.messages.length + holder.sink.messages.length === 4) await release(rest, minute);
    const third = await joinGroup(three, "g");
    await has(third, 1);
    third.consumption.ack(third.sink.messages);
    await third.consumption.flush();
    for (const part of ["hop", "rel", "rest", "due", "note"])
      expect([part, await server!.command("EXISTS", key(prefix, `g:g:${part}`))]).toEqual([part, 0]);
  });

  it("leaves out a partition that is paused, and reads it again when it is not", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureGroup(spec);
    const member = await joinGroup(one, "g");
    member.consumption.window({ messages: 0, bytes: 0 }, "events/0");
    await stored(one, ["1"], { hash: 0 });
    await stored(one, ["2"], { hash: 1 });
    await has(member, 1);
    expect(member.sink.texts).toEqual(["2"]);
    member.consumption.window({ messages: Number.MAX_SAFE_INTEGER, bytes: 1_000_000 }, "events/0");
    await has(member, 2);
  });
});
