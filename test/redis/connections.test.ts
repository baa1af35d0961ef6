import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createClient } from "redis";
import { afterEach, describe, expect, it } from "vitest";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { redis } from "../../src/drivers/redis/index.ts";
import { type Bus, connect, defineEvent, defineRequest, typed } from "../../src/index.ts";
import { until } from "../../src/testing/index.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("redis", { own: true });
const item = defineEvent("item", { schema: typed<{ readonly n: number }>() });
const twice = defineRequest("twice", { request: typed<number>(), response: typed<number>() });
const closing: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** A server that takes connections and says nothing. */
async function silentServer(): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => void sockets.add(socket.on("error", () => undefined)));
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

describe.skipIf(broker === undefined)("connections to redis", () => {
  it("are two of a bus, and one more for its tails, however many groups, tails and requests it has", async () => {
    const { port } = broker!.servers[0]!;
    const count = async (): Promise<number> =>
      (await redisCommand(port, "CLIENT", "LIST")).split("\n").filter((line) => line.includes("addr=")).length;
    const before = await count();
    await using bus = await connect({ driver: redis({ url: broker!.url }), prefix: freshPrefix() });
    const seen: string[] = [];
    for (const group of ["a", "b", "c", "d"])
      await bus.subscribe(item, ({ data }) => void seen.push(`${group} ${data.n}`), { group });
    await bus.respond(twice, async (n) => n * 2);
    await bus.publish(item, { n: 1 });
    expect(await bus.request(twice, 21)).toBe(42);
    await until(() => seen.length === 4, "each group to have it");
    expect((await count()) - before).toBe(2);
    for (let tails = 0; tails < 4; tails += 1)
      await bus.subscribe(item, ({ data }) => void seen.push(`tail ${data.n}`));
    await bus.publish(item, { n: 2 });
    await until(
      () => seen.length === 12,
      () => `each group and tail to have it: ${seen.join(", ")}`,
    );
    expect((await count()) - before).toBe(3);
  });

  it("of a client that many buses share have one listener of ours for each event", async () => {
    const warnings: string[] = [];
    const warned = ({ name }: Error): void => void warnings.push(name);
    process.on("warning", warned);
    const client = createClient({ url: broker!.url });
    client.on("error", () => undefined);
    await client.connect();
    const buses: Bus[] = [];
    try {
      for (let n = 0; n < 12; n += 1) buses.push(await connect({ driver: redis({ client }), prefix: freshPrefix() }));
      expect(client.listenerCount("end")).toBe(1);
      await buses[0]!.close();
      await buses[1]!.publish(item, { n: 1 });
      expect(client.listenerCount("end")).toBe(1);
      await Promise.all(buses.map((bus) => bus.close()));
      expect([client.listenerCount("end"), client.listenerCount("error"), client.isOpen]).toEqual([0, 1, true]);
      await new Promise((resolve) => setImmediate(resolve));
      expect(warnings).toEqual([]);
    } finally {
      process.off("warning", warned);
      client.destroy();
    }
  });

  it.each(["redis", "rediss"])("that are not answered are given up in the bus's time (%s:)", async (scheme) => {
    const port = await silentServer();
    const start = performance.now();
    await expect(connect(`${scheme}://127.0.0.1:${port}`, { connectTimeoutMs: 300 })).rejects.toMatchObject({
      retryable: true,
    });
    expect(performance.now() - start).toBeLessThan(1_500);
  });
});
