import { describe, expect, it } from "vitest";
import { until, within } from "../../src/testing/until.ts";
import { LogBook, onMemory, Tick } from "../support/events.ts";

describe("the options of batches", () => {
  it("option: BatchOptions.maxSize is a batch's most", async () => {
    await using bus = await onMemory();
    const sizes: number[] = [];
    await bus.subscribeBatch(Tick, async (events) => void sizes.push(events.length), {
      group: "g",
      order: "none",
      maxSize: 4,
      maxAgeMs: 60_000,
    });
    await bus.publishMany(Array.from({ length: 12 }, (_each, n) => Tick.of({ n })));
    await until(() => sizes.length === 3, "three batches");
    expect(sizes).toEqual([4, 4, 4]);
  });

  it("option: BatchOptions.maxAgeMs ends a batch by the age of its oldest event", async () => {
    await using bus = await onMemory();
    let took: number | undefined;
    const from = performance.now();
    await bus.subscribeBatch(Tick, async () => void (took ??= performance.now() - from), {
      group: "g",
      maxSize: 1_000,
      maxAgeMs: 150,
    });
    const feed = setInterval(() => void bus.publish(Tick, { n: 1 }), 10);
    await until(() => took !== undefined, "the batch");
    clearInterval(feed);
    expect(took).toBeGreaterThanOrEqual(150);
    expect(took).toBeLessThan(1_500);
  });
});

describe("the options of pulling", () => {
  it("option: PullOptions.group, PullOptions.max are whose events and how many", async () => {
    await using bus = await onMemory();
    await bus.publishMany(Array.from({ length: 30 }, (_each, n) => Tick.of({ n })));
    const three = await bus.pull(Tick, { group: "g", max: 3 });
    expect(three.map(({ group }) => group)).toEqual(["g", "g", "g"]);
    const most = await bus.pull(Tick, { group: "other", waitMs: 300 });
    expect(most).toHaveLength(10);
    await Promise.all([...three, ...most].map((delivery) => delivery.ack()));
  });

  it("option: PullOptions.waitMs is how long it waits for the first", async () => {
    await using bus = await onMemory();
    const from = performance.now();
    expect(await bus.pull(Tick, { group: "g", waitMs: 120 })).toEqual([]);
    const took = performance.now() - from;
    expect(took).toBeGreaterThanOrEqual(119);
    expect(took).toBeLessThan(900);
  });

  it("option: PullOptions.signal ends the wait", async () => {
    await using bus = await onMemory();
    const stop = new AbortController();
    const pulled = bus.pull(Tick, { group: "g", waitMs: 60_000, signal: stop.signal });
    setTimeout(() => stop.abort(), 20);
    await expect(within(pulled, "the end", 2_000)).rejects.toMatchObject({ code: "BUS_ABORTED" });
  });

  it("option: PulledDelivery.retry.delayMs is when it comes again", async () => {
    const logger = new LogBook();
    await using bus = await onMemory({ logger });
    await bus.publish(Tick, { n: 1 });
    const [delivery] = await bus.pull(Tick, { group: "g", max: 1 });
    const from = performance.now();
    await delivery!.retry({ delayMs: 200 });
    const [again] = await bus.pull(Tick, { group: "g", max: 1, waitMs: 5_000 });
    expect(performance.now() - from).toBeGreaterThanOrEqual(199);
    expect([again!.attempt, logger.of("retried")[0]!.fields["delayMs"]]).toEqual([2, 200]);
    await again!.ack();
  });
});
