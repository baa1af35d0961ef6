import { createServer, type AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import type { DriverConnection } from "../../src/driver.ts";
import { redis, type RedisOptions } from "../../src/drivers/redis/index.ts";
import { connect } from "../../src/index.ts";
import { plainJson } from "../../src/wire.ts";
import { until } from "../../src/testing/index.ts";
import {
  connectTo,
  consume,
  groupSpec,
  joinGroup,
  numbered,
  publish,
  toTopic,
  outgoing,
} from "../support/driver-harness.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("redis", { own: true });
const closing: (() => Promise<unknown>)[] = [];
const cli = (...args: readonly string[]): Promise<string> => redisCommand(broker!.servers[0]!.port, ...args);

async function opened(options: RedisOptions, prefix = freshPrefix()): Promise<DriverConnection> {
  const { connection } = await connectTo(redis({ url: broker!.url, ...options }), { prefix });
  closing.push(() => connection.close(AbortSignal.timeout(500)));
  if (options.attach === undefined) await connection.ensureStream({ name: "events", topics: [">"] });
  return connection;
}

/** How often the server ran a command since it was started. */
async function calls(command: string): Promise<number> {
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await cli("INFO", "commandstats"))?.[1] ?? 0);
}

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

describe.skipIf(broker === undefined)("the options of the Redis driver", () => {
  it("option: RedisOptions.consumer begins the consumers' names", async () => {
    const prefix = freshPrefix();
    const connection = await opened({ consumer: "pod:7" }, prefix);
    await connection.ensureGroup(groupSpec("g"));
    publish(connection, ["1"]);
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 1, "it to come");
    expect(await cli("XINFO", "CONSUMERS", `{${prefix}}:s:events:0`, "g")).toMatch(/pod%3A7~[0-9a-f]{32}~\d+/);
  });

  it("option: RedisOptions.leaseMs is how long a silent member keeps what it holds", async () => {
    const prefix = freshPrefix();
    const connection = await opened({ leaseMs: 4_000 }, prefix);
    await connection.ensureGroup(groupSpec("g"));
    await joinGroup(connection, "g");
    const end = Number((await cli("ZRANGE", `{${prefix}}:g:g:beat`, "0", "-1", "WITHSCORES")).match(/\d{13}/)?.[0]);
    const left = end - Date.now();
    expect(left).toBeGreaterThan(2_000);
    expect(left).toBeLessThanOrEqual(4_050); // the server's clock and ours, each cut to the millisecond, may differ by a little
  });

  it("option: RedisOptions.batchSize is most of one call", async () => {
    const connection = await opened({ batchSize: 3 });
    await connection.ensureGroup(groupSpec("g"));
    publish(connection, numbered(20));
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 20, "all to come");
    expect(Math.max(...sink.batches)).toBe(3);
  });

  it("option: RedisOptions.blockMs is how long the read of tails waits", async () => {
    const connection = await opened({ blockMs: 20 });
    await consume(connection, { kind: "tail", stream: "events", from: { at: "newest" }, resume: undefined });
    const before = await calls("xread");
    await until(async () => (await calls("xread")) >= before + 5, "it to be asked again and again", 1_500);
  });

  it("option: RedisOptions.pollMs is how often an idle member looks unasked", async () => {
    const prefix = freshPrefix();
    const connection = await opened({ pollMs: 50 }, prefix);
    await connection.ensureGroup(groupSpec("g"));
    const { sink } = await joinGroup(connection, "g");
    // nobody wakes anybody for what comes in behind the driver's back
    for (const n of [1, 2, 3]) {
      await cli("XADD", `{${prefix}}:s:events:${n}`, "*", "t", "a.b", "k", "", "h", "", "b", "x");
      await until(() => sink.messages.length === n, "it to be found", 800);
    }
  });

  it("option: RedisOptions.connectTimeoutMs bounds a connect that nobody answers", async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    closing.push(async () => silent.close());
    const url = `redis://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const start = performance.now();
    await expect(opened({ url, connectTimeoutMs: 200, socketTimeoutMs: 100 })).rejects.toThrow(/not connected/);
    expect(performance.now() - start).toBeLessThan(1_500);
  });

  it("option: RedisOptions.attach, RedisAttachment.key: reads and writes a stream of somebody else's", async () => {
    const key = freshPrefix();
    await cli("XADD", key, "*", "data", '{"n":1}');
    const wire = { foreign: [{ topics: "orders", format: plainJson({ name: "shop" }), write: true }] };
    const driver = redis({ url: broker!.url, attach: { orders: { key } } });
    const bus = await connect({
      driver,
      prefix: freshPrefix(),
      wire,
      streams: [{ name: "orders", topics: ["orders"] }],
    });
    closing.push(() => bus.close({ timeoutMs: 500 }));
    const [group, tail]: unknown[][] = [[], []];
    await bus.subscribePattern("orders", ({ data }) => void group!.push(data), { group: "g", from: "oldest" });
    await bus.subscribePattern("orders", ({ data }) => void tail!.push(data));
    await cli("XADD", key, "*", "data", '{"n":2}');
    await cli("XADD", key, "*", "price", "3", "of", "x");
    await bus.publishTopic("orders", { n: 4 });
    const all = [{ n: 1 }, { n: 2 }, { price: "3", of: "x" }, { n: 4 }];
    await until(() => group!.length === 4 && tail!.length === 3, "all of both");
    expect([group, tail]).toEqual([all, all.slice(1)]);
    expect((await cli("XLEN", key)).trim()).toBe(":4");
    expect((await bus.streams.info("orders")).messages).toBe(4);
    expect(await bus.streams.delete("orders")).toBe(true);
    expect((await cli("XLEN", key)).trim()).toBe(":4");
  });

  it("option: RedisAttachment.body, RedisAttachment.topic: are the fields that hold them, read and written", async () => {
    const key = freshPrefix();
    await cli("XADD", key, "*", "id", "7", "kind", "orders.placed", "json", '{"n":1}');
    await cli("XADD", key, "*", "id", "8", "json", '{"n":2}');
    const connection = await opened({ attach: { shop: { key, body: "json", topic: "kind" } } });
    await connection.ensureStream({ name: "shop", topics: ["orders.>", "rest"] });
    await connection.ensureGroup(groupSpec("g", { stream: "shop" }));
    connection.send([outgoing(toTopic("orders.paid", "shop"), '{"n":3}').message]);
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 3, "all of it");
    expect(sink.messages.map(({ topic }, at) => [topic, sink.texts[at]])).toEqual([
      ["orders.placed", '{"n":1}'],
      ["rest", '{"n":2}'],
      ["orders.paid", '{"n":3}'],
    ]);
    expect(await cli("XREVRANGE", key, "+", "-", "COUNT", "1")).toMatch(/kind[^]*orders\.paid[^]*json/);
  });

  it("a key that holds something else is refused", async () => {
    const key = freshPrefix();
    await cli("SET", key, "x");
    const connection = await opened({ attach: { shop: { key } } });
    await expect(connection.ensureStream({ name: "shop", topics: ["a"] })).rejects.toMatchObject({
      code: "BUS_CONFLICT",
    });
  });
});
