import { describe, expect, it } from "vitest";
import { connect, type Bus, type BusOptions } from "../../src/index.ts";
import { plainJson } from "../../src/wire.ts";
import { redis, type RedisAttachment } from "../../src/drivers/redis/index.ts";
import { until } from "../../src/testing/index.ts";
import { groupSpec, joinGroup } from "../support/driver-harness.ts";
import { has, key, RedisGroups, stored } from "../support/redis-groups.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const server = await RedisGroups.open(await testBroker("redis", { own: true }));

async function busOf(prefix: string, attach: RedisAttachment | undefined, more: BusOptions = {}): Promise<Bus> {
  return await connect({
    driver: redis({ url: server!.url, ...(attach === undefined ? {} : { attach: { shop: attach } }) }),
    prefix,
    streams: [{ name: "shop", topics: ["orders.>"] }],
    wire: { foreign: [{ topics: ">", format: plainJson({ name: "shop" }) }] },
    retry: { maxAttempts: 1 },
    ...more,
  });
}

describe.skipIf(server === undefined)("a key of somebody else's on redis", () => {
  it("is not trimmed by a bus that does not know whose it is, and can't be limited", async () => {
    const prefix = freshPrefix();
    const theirs = `theirs-${prefix}`;
    await using one = await busOf(prefix, { key: theirs });
    for (let n = 0; n < 10; n += 1) await server!.command("XADD", theirs, `${n + 1}-0`, "data", `${n}`);
    for (const limit of [{ maxMessages: 5 }, { maxAgeMs: 1_000 }, { maxBytes: 1_000 }]) {
      const streams = [{ name: "shop", topics: ["orders.>"], whenFull: "drop-oldest" as const, ...limit }];
      await expect(busOf(prefix, undefined, { streams })).rejects.toMatchObject({ code: "BUS_UNSUPPORTED" });
    }
    await using two = await busOf(prefix, undefined);
    await two.publishTopic("orders.a", {});
    await one.publishTopic("orders.a", {});
    expect(await server!.command("XLEN", theirs)).toBe(12);
  });

  it("has other fields when a bus says so, and no other key", async () => {
    const prefix = freshPrefix();
    const theirs = `theirs-${prefix}`;
    await using first = await busOf(prefix, { key: theirs });
    await expect(busOf(prefix, { key: "another" })).rejects.toMatchObject({ code: "BUS_CONFLICT" });
    await using second = await busOf(prefix, { key: theirs, body: "data", topic: "type" });
    const got: string[] = [];
    await second.subscribePattern("orders.>", ({ topic, data }) => void got.push(`${topic} ${JSON.stringify(data)}`), {
      group: "g",
    });
    await server!.command("XADD", theirs, "*", "type", "orders.eu", "data", '{"n":1}', "more", "x");
    await until(
      async () => got.length > 0 || (await first.deadLetters.count({})) > 0,
      () => "the entry to be read",
    );
    expect(got).toEqual(['orders.eu {"n":1}']);
  });

  it("can't take the place of keys of our own", async () => {
    const prefix = freshPrefix();
    await using _ = await busOf(prefix, undefined);
    await expect(busOf(prefix, { key: "theirs" })).rejects.toMatchObject({ code: "BUS_CONFLICT" });
  });

  it.each(["none", "group"] as const)(
    "leaves what others of the same Redis group work on to them (order: %s)",
    async (order) => {
      const prefix = freshPrefix();
      const one = await server!.connection(prefix);
      await one.ensureGroup(groupSpec("g", { order }));
      await stored(one, ["1", "2", "3", "4"], { hash: 0, key: "a" });
      const ours = key(prefix, "s:events:0");
      await server!.command("XREADGROUP", "GROUP", "g", "theirs", "COUNT", "2", "STREAMS", ours, ">");
      const member = await joinGroup(one, "g");
      await has(member, 2);
      await stored(one, ["5"], { hash: 0, key: "a" });
      await has(member, 3);
      expect(member.sink.texts).toEqual(["3", "4", "5"]);
    },
  );

  it("drops what is not ours on a channel of ours, and keeps its connection", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureGroup(groupSpec("g"));
    const member = await joinGroup(one, "g");
    const [seat] = await server!.seats(prefix);
    const clients = async (): Promise<string> => String(await server!.command("CLIENT", "LIST", "TYPE", "PUBSUB"));
    const before = /id=(\d+)/.exec(await clients())?.[1];
    for (const text of ["fgarbage", "f", "wgarbage", "?"])
      await server!.command("SPUBLISH", key(prefix, `c:${seat!.split("~")[1]}`), text);
    await stored(one, ["1"]);
    await has(member, 1);
    expect(await clients()).toContain(`id=${before} `);
  });
});
