import { describe, expect, it } from "vitest";
import type { InMessage } from "../../src/driver.ts";
import { fetchScript } from "../../src/drivers/redis/scripts/fetch.ts";
import { FaultProxy, until as eventually } from "../../src/testing/index.ts";
import { codeOf, groupSpec, joinGroup, numbered, textOf, until } from "../support/driver-harness.ts";
import { has, key, minute, stored, RedisGroups } from "../support/redis-groups.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const server = await RedisGroups.open(await testBroker("redis", { own: true }));

describe.skipIf(server === undefined)("an ordered group on redis", () => {
  const spec = groupSpec("g", { order: "group" });
  const owners = async (prefix: string): Promise<number> =>
    new Set((await server!.command("HVALS", key(prefix, "g:g:own"))) as readonly string[]).size;

  it("hands a partition over when nothing of it runs, and what waits for a time along with it, uncounted", async () => {
    const prefix = freshPrefix();
    const [one, two] = [await server!.connection(prefix), await server!.connection(prefix)];
    await one.ensureGroup(spec);
    const first = await joinGroup(one, "g");
    await stored(one, ["1", "2"], { hash: 0, key: "a" });
    await stored(one, ["3", "4"], { hash: 1, key: "b" });
    await has(first, 4);
    const of = (text: string): InMessage => first.sink.messages.find((each) => textOf(each) === text)!;
    for (const text of ["1", "3"]) {
      const notBefore = Date.now() + minute;
      const note = { message: of(text), attempts: 1, notBefore, headers: [] } as const;
      expect(await first.consumption.record([note])).toEqual(["done"]);
    }
    await stored(one, ["5"], { hash: 0, key: "c" });
    await stored(one, ["6"], { hash: 1, key: "d" });
    await has(first, 6);
    const second = await joinGroup(two, "g");
    await two.admin.groups();
    expect(second.sink.messages).toEqual([]); // they may be running
    first.consumption.ack([of("6")]); // the last that might run of the one that is to go
    first.consumption.ack([of("5")]);
    await has(second, 2);
    expect(
      first.sink.revocations.filter((each) => "partition" in each && each.partition.startsWith("events")),
    ).toHaveLength(1);
    expect(second.sink.messages.map(({ deliveries, attempts }) => [deliveries, attempts])).toEqual([
      [1, 1],
      [1, 0],
    ]);
    expect(await owners(prefix)).toBe(2);
    await first.consumption.close(AbortSignal.timeout(1_000));
    await has(second, 4);
    expect(await owners(prefix)).toBe(1);
  });

  it("gives nothing of a partition to one who does not own it, and refuses one who has no seat", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureGroup(spec);
    const member = await joinGroup(one, "g");
    await eventually(async () => (await owners(prefix)) === 1, "all to be owned");
    const [seat] = await server!.seats(prefix);
    expect(seat).toMatch(/^test~[0-9a-f]{32}~\d+$/);
    const id = String(await server!.command("HGET", `{${prefix}}`, "id"));
    const fetch = (by: string): Promise<unknown> => {
      const args = ["g", by, "m", "10", "1000", "10", "", "s:events:0", "0"];
      return server!.command("EVAL", fetchScript.source, "1", `{${prefix}}`, id, ...args);
    };
    await expect(fetch("test~0~1")).rejects.toThrow(/^STALE/);
    await server!.command("HSET", key(prefix, "g:g:m"), "test~0~1", '{"id":"other"}');
    await stored(one, ["1"]);
    expect(String(await fetch("test~0~1"))).not.toMatch(/a\.b/);
    await has(member, 1);
    expect(member.sink.texts).toEqual(["1"]);
  });

  it("owns what it was given in an answer that was lost", async () => {
    const prefix = freshPrefix();
    const other = await server!.connection(prefix);
    await other.ensureGroup(spec);
    await stored(other, numbered(3), { key: "k" });
    await using proxy = await FaultProxy.start(server!.url);
    const one = await server!.connection(prefix, { url: proxy.url(server!.url) });
    const swallowed = proxy.swallowReply({ request: "HSETNX', G .. ':own'" });
    const member = await joinGroup(one, "g");
    expect(await swallowed).toBe(true);
    await has(member, 3);
    expect(member.sink.messages.map((each) => [textOf(each), each.deliveries])).toEqual(numbered(3).map((n) => [n, 1]));
  });

  it("does not give up a partition of which an answer brings more", async () => {
    const prefix = freshPrefix();
    const other = await server!.connection(prefix);
    await other.ensureGroup(spec);
    await using proxy = await FaultProxy.start(server!.url);
    const one = await server!.connection(prefix, { url: proxy.url(server!.url), socketTimeoutMs: 5_000 });
    const first = await joinGroup(one, "g");
    await eventually(async () => (await server!.command("SCARD", key(prefix, "g:g:idle"))) === 18, "all to be idle");
    // it asks who is to have what, and is woken before it is answered
    proxy.replies.set({ latencyMs: 100 });
    const [second] = await Promise.all([
      joinGroup(other, "g"),
      stored(other, ["1"], { hash: 0, key: "a" }),
      stored(other, ["2"], { hash: 1, key: "b" }),
    ]);
    await has(first, 2);
    first.consumption.ack(first.sink.messages);
    await eventually(async () => (await owners(prefix)) === 2, "its share to be handed over");
    await stored(other, ["3"], { hash: 0 });
    await stored(other, ["4"], { hash: 1 });
    await until(() => first.sink.messages.length + second.sink.messages.length >= 4, "the later ones");
    expect([...first.sink.texts, ...second.sink.texts].toSorted()).toEqual(numbered(4));
  });

  it("refuses a retry and a release", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureGroup(spec);
    const member = await joinGroup(one, "g");
    await stored(one, ["1"]);
    await has(member, 1);
    const message = member.sink.messages[0]!;
    for (const how of ["retry", "release"] as const)
      expect(await codeOf(member.consumption.settle([{ how, message, delayMs: 0, attempts: 1, headers: [] }]))).toBe(
        "BUS_UNSUPPORTED",
      );
  });
});
