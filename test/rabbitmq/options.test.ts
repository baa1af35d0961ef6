import { afterEach, describe, expect, it } from "vitest";
import { rabbitmq, type RabbitMqOptions } from "../../src/drivers/rabbitmq/index.ts";
import { type Bus, connect } from "../../src/index.ts";
import { FaultProxy, until } from "../../src/testing/index.ts";
import { Tick } from "../support/events.ts";
import { freshPrefix } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq", { own: true });
const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

async function bus(options: RabbitMqOptions = {}, prefix = freshPrefix()): Promise<Bus> {
  const made = await connect({
    driver: rabbitmq({ url: broker!.url, ...options }),
    prefix,
    publishing: { retry: { maxAttempts: 1 } },
  });
  ends.push(() => made.close({ timeoutMs: 500 }));
  return made;
}

async function proxied(): Promise<{ readonly proxy: FaultProxy; readonly url: string }> {
  const proxy = await FaultProxy.start(broker!.url);
  ends.push(() => proxy.close());
  return { proxy, url: proxy.url(broker!.url) };
}

describe.skipIf(broker === undefined)("options of RabbitMQ", () => {
  it("option: RabbitMqOptions.url: the first of several that answers", async () => {
    const { url } = broker!;
    const made = await bus({ url: ["amqp://127.0.0.1:1", url] });
    expect((await made.publish(Tick, { n: 1 })).stream).toBe("events");
  });

  it("option: RabbitMqOptions.heartbeatMs: a line that is silent is given up after two of them", async () => {
    const { proxy, url } = await proxied();
    const made = await bus({ url, heartbeatMs: 1_000 });
    const said: string[] = [];
    made.onStatus(({ type }) => void said.push(type));
    const from = performance.now();
    proxy.replies.set({ bytesPerSecond: 0 });
    await until(() => said.includes("disconnected"), "it to be noticed", 8_000);
    expect(performance.now() - from).toBeGreaterThan(900);
    await proxy.heal();
    await until(() => said.at(-1) === "connected", "it to be there again");
  });

  it("option: RabbitMqOptions.confirmTimeoutMs: how long a publish waits for the server", async () => {
    const { proxy, url } = await proxied();
    const made = await bus({ url, confirmTimeoutMs: 300, heartbeatMs: 10_000 });
    proxy.replies.set({ bytesPerSecond: 0 });
    const from = performance.now();
    await expect(made.publish(Tick, { n: 1 })).rejects.toMatchObject({ outcome: "unknown" });
    expect(performance.now() - from).toBeLessThan(3_000);
    await proxy.heal();
  });

  it("option: RabbitMqOptions.connectTimeoutMs: how long one try to connect takes", async () => {
    const { proxy, url } = await proxied();
    proxy.replies.set({ bytesPerSecond: 0 });
    const from = performance.now();
    const driver = rabbitmq({ url, connectTimeoutMs: 200 });
    await expect(connect({ driver, prefix: freshPrefix(), connectTimeoutMs: 600 })).rejects.toMatchObject({
      code: expect.stringMatching(/BUS_(TIMEOUT|CONNECTION)/) as string,
    });
    expect(performance.now() - from).toBeLessThan(3_000);
  });

  it("option: RabbitMqOptions.leaseMs, RabbitMqOptions.holdLimitMs, RabbitMqOptions.letterBytes: are refused when they can't be", () => {
    expect(rabbitmq({ holdLimitMs: 90_000 }).capabilities.maxHoldMs).toBe(90_000);
    for (const wrong of [{ leaseMs: 1 }, { holdLimitMs: 1 }, { letterBytes: 1 }, { leaseMs: "soon" as never }])
      expect(() => rabbitmq(wrong)).toThrow(Object.keys(wrong)[0]);
  });
});
