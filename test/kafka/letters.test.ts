import { afterEach, describe, expect, it, vi } from "vitest";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { type Bus, type BusOptions, connect, defineEvent, typed } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { atOnce } from "../support/events.ts";
import { freshPrefix } from "../support/kafka-session.ts";
import { testBroker } from "../support/test-broker.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const broker = await testBroker("kafka", { own: true });
const closing: Bus[] = [];
const item = defineEvent("item", { schema: typed<{ readonly n: number }>(), key: ({ n }) => `k${n}` });

async function bus(prefix: string, more: BusOptions = {}): Promise<Bus> {
  const driver = kafka({ brokers: broker!.url, sessionTimeoutMs: 6_000, heartbeatMs: 200 });
  const made = await connect({ driver, prefix, ...more });
  closing.push(made);
  return made;
}

afterEach(async () => {
  for (const each of closing.splice(0)) await each.close({ timeoutMs: 500 });
});

describe.skipIf(broker === undefined)("what an operator sees of Kafka", () => {
  it("dead letters carry type, error and attempts; are listed, counted, and replayed by partition and offset", async () => {
    const mine = await bus(freshPrefix(), {
      retry: { maxAttempts: 2, ...atOnce },
      streams: [{ name: "events", topics: [">"], partitions: 3 }],
    });
    let broken = true;
    const handled: number[] = [];
    await mine.subscribe(
      item,
      ({ data }) => {
        if (broken) throw new RangeError(`no room for ${data.n}`);
        handled.push(data.n);
      },
      { group: "g" },
    );
    for (let n = 0; n < 9; n += 1) await mine.publish(item, { n });
    await until(async () => (await mine.deadLetters.count({ group: "g" })) === 9, "nine letters", 20_000);
    expect(mine.stats().lastErrorAt).toBeInstanceOf(Date);
    const { items } = await mine.deadLetters.list({ group: "g" });
    const numberOf = ({ event }: (typeof items)[number]): number | undefined =>
      (event?.data as { readonly n: number } | undefined)?.n;
    for (const letter of items) {
      const { event, reason, attempts, position } = letter;
      expect([event?.type, reason.name, attempts]).toEqual(["item", "RangeError", 2]);
      expect(reason.message).toBe(`no room for ${String(numberOf(letter))}`);
      expect(position).toMatch(/^events\/[0-2]:\d+$/);
    }
    expect(new Set(items.map(({ position }) => position)).size).toBe(9);
    broken = false;
    const at = items.filter(({ position }) => position?.startsWith("events/1:"));
    expect(at.length).toBeGreaterThan(0);
    for (const { id } of at) expect(await mine.deadLetters.replay(id)).toEqual({ replayed: 1, failed: 0 });
    await until(() => handled.length === at.length, "those of partition 1", 20_000);
    expect(handled.toSorted()).toEqual(at.map(numberOf).toSorted());
    expect(await mine.deadLetters.count({ group: "g" })).toBe(9 - at.length);
    expect(await mine.deadLetters.replay({ group: "g" })).toEqual({ replayed: 9 - at.length, failed: 0 });
    await until(() => handled.length === 9, "the rest", 20_000);
  });

  it("statistics count rebalances by who had the partitions, and have the times of what was last", async () => {
    const prefix = freshPrefix();
    const from = Date.now();
    const [one, two] = [await bus(prefix), await bus(prefix)];
    const seen: [number[], number[]] = [[], []];
    await one.subscribe(item, ({ data }) => void seen[0].push(data.n), { group: "g", name: "h" });
    const before = one.stats();
    expect([before.rebalances, before.reconnects, before.lastDeliveryAt]).toEqual([0, 0, undefined]);
    expect(before.connectedAt!.getTime()).toBeGreaterThanOrEqual(from - 1);
    await two.subscribe(item, ({ data }) => void seen[1].push(data.n), { group: "g", name: "h" });
    await until(() => one.stats().rebalances > 0, "partitions to go to the second", 20_000);
    expect(two.stats().rebalances).toBe(0);
    let n = 0;
    await until(
      async () => {
        await one.publish(item, { n: (n += 1) });
        return seen.every((each) => each.length > 0);
      },
      "both to get some",
      20_000,
    );
    const after = one.stats();
    expect(after.lastPublishAt!.getTime()).toBeGreaterThanOrEqual(after.connectedAt!.getTime());
    expect(after.lastDeliveryAt!.getTime()).toBeGreaterThanOrEqual(after.connectedAt!.getTime());
    expect(after.published).toBe(n);
  });

  it("a broker that restarts is counted as a reconnect", async () => {
    const mine = await bus(freshPrefix());
    expect(mine.stats().reconnects).toBe(0);
    await broker!.kill();
    await until(async () => (await mine.health({ timeoutMs: 300 })).status === "down", "it to be noticed", 20_000);
    await broker!.start();
    await until(async () => (await mine.health({ timeoutMs: 2_000 })).status === "up", "it to be back", 30_000);
    expect(mine.stats().reconnects).toBe(1);
    await mine.publish(item, { n: 1 });
  });
});
