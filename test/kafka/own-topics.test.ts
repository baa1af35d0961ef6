import { afterEach, describe, expect, it, vi } from "vitest";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { Names } from "../../src/drivers/kafka/names.ts";
import { type Bus, type BusOptions, connect, defineEvent, typed } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { atOnce, LogBook } from "../support/events.ts";
import { alterTopic, deleteTopic } from "../support/foreign-kafka.ts";
import { batchesOf, freshPrefix } from "../support/kafka-session.ts";
import { testBroker } from "../support/test-broker.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const broker = await testBroker("kafka", { own: true });
const closing: Bus[] = [];
const slow = 20_000;
const item = defineEvent("item", { schema: typed<{ readonly n: number; readonly text?: string }>() });

const isTooLarge = (error: unknown): boolean => (error as { readonly code?: unknown }).code === "BUS_TOO_LARGE";

async function bus(prefix: string, more: BusOptions = {}): Promise<Bus> {
  const driver = kafka({ brokers: broker!.url, sessionTimeoutMs: 6_000, heartbeatMs: 200 });
  const streams = [{ name: "events", topics: [">"], partitions: 1 }];
  const made = await connect({ driver, prefix, streams, retry: { maxAttempts: 1, ...atOnce }, ...more });
  closing.push(made);
  return made;
}

afterEach(async () => {
  for (const each of closing.splice(0)) await each.close({ timeoutMs: 500 });
});

describe.skipIf(broker === undefined)("topics of the driver's own at Kafka", () => {
  it("the one of dead letters that somebody deletes is made again with the next letter", async () => {
    const prefix = freshPrefix();
    const mine = await bus(prefix);
    await mine.subscribe(item, () => Promise.reject(new Error("always")), { group: "g" });
    await mine.publish(item, { n: 1 });
    await until(async () => (await mine.deadLetters.count()) === 1, "a letter", slow);
    await deleteTopic(broker!, new Names(prefix).letters);
    await mine.publish(item, { n: 2 });
    const other = await bus(prefix);
    await until(
      async () => (await other.deadLetters.list()).items.some(({ event }) => (event?.data as { n?: number })?.n === 2),
      "a letter in the new one",
      slow,
    );
  });

  it("the one of what is due later, too, and what is published for later then comes", async () => {
    const prefix = freshPrefix();
    const mine = await bus(prefix);
    const handled: number[] = [];
    await mine.subscribe(item, ({ data }) => void handled.push(data.n), { group: "g" });
    await mine.publish(item, { n: 1 }, { delayMs: 50 });
    await until(() => handled.length === 1, "the first", slow);
    await deleteTopic(broker!, new Names(prefix).delays);
    await mine.publish(item, { n: 2 }, { delayMs: 50 });
    await until(() => handled.length === 2, "the second", slow);
    expect(handled).toEqual([1, 2]);
  });

  it("are there for a bus that may make nothing, since the first connect of one that may", async () => {
    const prefix = freshPrefix();
    await (await bus(prefix)).subscribe(item, () => undefined, { group: "g", order: "none" });
    const mine = await bus(prefix, { manage: "verify" });
    await closing[0]!.close({ timeoutMs: 500 });
    await mine.subscribe(item, () => Promise.reject(new Error("always")), { group: "g", order: "none" });
    await mine.publish(item, { n: 1 });
    await until(async () => (await mine.deadLetters.count({ group: "g" })) === 1, "its letter", slow);
  });

  it("a bus that may make nothing makes none, and says which one is missing", async () => {
    const prefix = freshPrefix();
    await (await bus(prefix)).subscribe(item, () => undefined, { group: "g", order: "none" });
    const log = new LogBook();
    const mine = await bus(prefix, { manage: "verify", logger: log });
    await closing[0]!.close({ timeoutMs: 500 });
    const { letters } = new Names(prefix);
    await deleteTopic(broker!, letters);
    await mine.subscribe(item, () => Promise.reject(new Error("always")), { group: "g", order: "none" });
    await mine.publish(item, { n: 1 });
    await until(
      () => JSON.stringify(log.lines).includes(letters),
      () => JSON.stringify(log.lines),
      slow,
    );
    await expect(batchesOf(broker!, letters)).rejects.toThrow(/error/);
    const maker = await bus(prefix); // and when it is there, the event that waited becomes a letter
    await maker.subscribe(item, () => Promise.reject(new Error("always")), { group: "h" });
    await until(async () => (await maker.deadLetters.count({ group: "g" })) === 1, "its letter", slow);
  });

  it("what a stream's topic has no room for when it is due holds up nobody, and comes when there is room", async () => {
    const prefix = freshPrefix();
    const log = new LogBook();
    const mine = await bus(prefix, { logger: log });
    const handled: number[] = [];
    await mine.subscribe(item, ({ data }) => void handled.push(data.n), { group: "g" });
    const topic = new Names(prefix).stream("events");
    await alterTopic(broker!, topic, "max.message.bytes", "10000");
    const text = "x".repeat(20_000);
    // the broker follows a change a moment later
    await until(
      async () => await mine.publish(item, { n: 0, text }).then(() => false, isTooLarge),
      "it to count",
      slow,
    );
    handled.length = 0;
    await mine.publish(item, { n: 1, text }, { delayMs: 50 });
    await until(() => JSON.stringify(log.lines).includes("refused what was due"), "it to be refused", slow);
    await mine.publish(item, { n: 2 }, { delayMs: 50 });
    await until(() => handled.length === 1, "the second", slow);
    await alterTopic(broker!, topic, "max.message.bytes", "1000000");
    await until(() => handled.length === 2, "the first", 40_000);
    expect(handled).toEqual([2, 1]);
    expect(JSON.stringify(log.lines)).toContain("BUS_TOO_LARGE");
  });
});
