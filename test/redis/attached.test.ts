import { createClient } from "redis";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { redis } from "../../src/drivers/redis/index.ts";
import { type Bus, connect } from "../../src/index.ts";
import { plainJson } from "../../src/wire.ts";
import { until } from "../../src/testing/index.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("redis");
const client = broker === undefined ? undefined : createClient({ url: broker.url, RESP: 2 });
await client?.connect();
afterAll(() => client?.destroy());
const cli = (...args: readonly (string | Buffer)[]): Promise<unknown> => client!.sendCommand([...args]);

const open: Bus[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((bus) => bus.close({ timeoutMs: 1_000 })));
});

/** With the stream `orders` at that key, whose entries are plain JSON. */
async function bus(key: string): Promise<Bus> {
  const made = await connect({
    driver: redis({ url: broker!.url, consumer: "billing", attach: { orders: { key } } }),
    prefix: freshPrefix(),
    wire: { foreign: [{ topics: "orders", format: plainJson({ name: "shop" }), write: true }] },
    streams: [{ name: "orders", topics: ["orders"] }],
    retry: { maxAttempts: 1 },
  });
  open.push(made);
  return made;
}

describe.skipIf(broker === undefined)("what is at a redis already, under its own names", () => {
  it("a stream, a group that stands somewhere in it, and names of consumers", async () => {
    const key = `shop:${freshPrefix()}`;
    for (const n of [1, 2, 3]) await cli("XADD", key, "*", "data", `{"n":${n}}`);
    await cli("XGROUP", "CREATE", key, "workers", "0");
    const [[, [[first]]]] = (await cli(
      ...["XREADGROUP", "GROUP", "workers", "old-worker", "COUNT", "2", "STREAMS", key, ">"],
    )) as [[string, [[string]]]];
    await cli("XACK", key, "workers", first);

    const one = await bus(key);
    const handled: unknown[] = [];
    await one.subscribePattern("orders", ({ data }) => void handled.push(data), { group: "workers", order: "none" });
    await cli("XADD", key, "*", "data", '{"n":4}');
    await until(() => handled.length === 2, "what nobody had yet");
    expect(handled).toEqual([{ n: 3 }, { n: 4 }]);
    expect(JSON.stringify(await cli("XINFO", "CONSUMERS", key, "workers"))).toMatch(
      /old-worker.*"billing~|"billing~.*old-worker/,
    );
    expect(await one.groups.recover("workers", { idleMs: 0 })).toEqual({ redelivered: 1 });
    await until(() => handled.length === 3, "what the old consumer held");
    expect(handled[2]).toEqual({ n: 2 });
  });

  it("garbage becomes a letter with its bytes", async () => {
    const key = `shop:${freshPrefix()}`;
    const one = await bus(key);
    const handled: unknown[] = [];
    await one.subscribePattern("orders", ({ data }) => void handled.push(data), { group: "g", order: "none" });
    const garbage = Buffer.from([0xff, 0x00, 0xfe, 0x0d, 0x0a]);
    await cli("XADD", key, "*", "data", garbage);
    await cli("XADD", key, "*", "data", '{"n":1}');
    await until(async () => (await one.deadLetters.count({ group: "g" })) === 1, "a letter");
    await until(() => handled.length === 1, "the other one");
    const { items } = await one.deadLetters.list({ group: "g" });
    expect([...items[0]!.raw!]).toEqual([...garbage]);
  });
});
