import { afterEach, describe, expect, it } from "vitest";
import { redis } from "../../src/drivers/redis/index.ts";
import { connect, type Bus } from "../../src/index.ts";
import { plainJson } from "../../src/wire.ts";
import { until } from "../../src/testing/index.ts";
import { key as keyOf, RedisGroups } from "../support/redis-groups.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const server = await RedisGroups.open(await testBroker("redis"));
const open: Bus[] = [];

async function busOf(prefix: string, key: string, groups: Readonly<Record<string, string>> = {}): Promise<Bus> {
  const bus = await connect({
    driver: redis({
      url: server!.url,
      attach: { orders: { key, ...(Object.keys(groups).length > 0 ? { groups } : {}) } },
    }),
    prefix,
    wire: { foreign: [{ topics: ">", format: plainJson({ name: "shop" }) }] },
    streams: [
      { name: "orders", topics: ["orders"] },
      { name: "own", topics: ["own"] },
    ],
  });
  open.push(bus);
  return bus;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((bus) => bus.close({ timeoutMs: 1_000 })));
});

describe.skipIf(server === undefined)("a consumer group that is at a redis already", () => {
  it("option: RedisAttachment.groups: goes on where it stands, under its own name", async () => {
    const [prefix, key] = [freshPrefix(), `shop:${freshPrefix()}`];
    for (const n of [1, 2, 3]) await server!.command("XADD", key, "*", "data", `{"n":${n}}`);
    await server!.command("XGROUP", "CREATE", key, "billing:my workers", "0");
    const read = ["XREADGROUP", "GROUP", "billing:my workers", "old", "NOACK", "COUNT", "2", "STREAMS", key, ">"];
    await server!.command(...read);
    const bus = await busOf(prefix, key, { billing: "billing:my workers" });
    const handled: unknown[] = [];
    await bus.subscribePattern("*", ({ data }) => void handled.push(data), { group: "billing" });
    await server!.command("XADD", key, "*", "data", '{"n":4}');
    await until(() => handled.length === 2, "what it has not had yet");
    expect(handled).toEqual([{ n: 3 }, { n: 4 }]);
    const names = async (at: string): Promise<string> => JSON.stringify(await server!.command("XINFO", "GROUPS", at));
    expect(await names(key)).not.toMatch(/"billing"/);
    await until(async () => {
      const { waiting, inFlight } = await bus.groups.info("billing");
      return waiting + inFlight === 0;
    }, "nothing to be left");

    // who does not say so finds it, who says otherwise is refused
    const other = await busOf(prefix, key);
    await other.subscribePattern("*", ({ data }) => void handled.push(data), { group: "billing" });
    await other.publishTopic("own", { n: 5 });
    await until(() => handled.length === 3, "the one of our own stream");
    expect(await names(keyOf(prefix, "s:own:0"))).toContain("billing:my workers");
    const wrong = await busOf(prefix, key, { billing: "another" });
    await expect(wrong.subscribePattern("*", () => undefined, { group: "billing" })).rejects.toMatchObject({
      code: "BUS_CONFLICT",
    });
    const same = await busOf(prefix, key, { second: "billing:my workers" });
    await expect(same.subscribePattern("*", () => undefined, { group: "second" })).rejects.toMatchObject({
      code: "BUS_CONFLICT",
    });
  });

  it("is told of what it loses with a stream of ours", async () => {
    const [prefix, key] = [freshPrefix(), `shop:${freshPrefix()}`];
    const bus = await busOf(prefix, key, { billing: "theirs" });
    const subscription = await bus.subscribePattern("own", () => undefined, { group: "billing" });
    await subscription.unsubscribe();
    for (let n = 0; n < 3; n += 1) await bus.publishTopic("own", { n });
    await bus.streams.delete("own");
    expect(await server!.command("HGET", keyOf(prefix, "g:billing"), "lost")).toBe("3");
  });

  it("has one name", async () => {
    const attach = { a: { key: "a", groups: { g: "one" } }, b: { key: "b", groups: { g: "two" } } };
    expect(() => redis({ attach })).toThrow(/two names/);
    expect(() => redis({ attach: { a: { key: "a", groups: { g: "" } } } })).toThrow(/groups/);
  });
});
