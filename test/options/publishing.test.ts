import { describe, expect, it } from "vitest";
import { outgoing, PublishError, type PublishOptions } from "../../src/index.ts";
import { silence, until } from "../../src/testing/until.ts";
import { failureOf, onFaulty, onMemory, Seen, Tick, gate } from "../support/events.ts";

const quick = { maxAttempts: 4, backoff: { baseMs: 1, maxMs: 1 } } as const;

describe("the policy of publishing", () => {
  it("option: PublishPolicy.retry tries again, so often and with such waits", async () => {
    const { bus, driver } = await onFaulty({
      publishing: { retry: { maxAttempts: 3, backoff: { baseMs: 120, factor: 1, jitter: 0 } } },
    });
    await using _ = bus;
    driver.sendFault = () => "no";
    const from = performance.now();
    expect(await failureOf(bus.publish(Tick, { n: 1 }))).toMatchObject({ attempts: 3, outcome: "rejected" });
    expect(performance.now() - from).toBeGreaterThanOrEqual(239);
    expect(driver.sent).toHaveLength(3);
  });

  it("option: PublishPolicy.attemptTimeoutMs ends a try that nobody answers", async () => {
    const { bus, driver } = await onFaulty({ publishing: { attemptTimeoutMs: 50, retry: quick } });
    await using _ = bus;
    driver.sendFault = (_message, attempt) => (attempt < 3 ? "silent" : undefined);
    await bus.publish(Tick, { n: 1 });
    expect(driver.sent).toHaveLength(3);
  });

  it("option: PublishPolicy.maxInFlight lets no more messages out at once", async () => {
    const { bus, driver } = await onFaulty({ publishing: { maxInFlight: 3 } });
    await using _ = bus;
    driver.sendFault = () => "late";
    const published = Promise.all(Array.from({ length: 8 }, (_each, n) => bus.publish(Tick, { n })));
    const waves: number[] = [];
    while (waves.reduce((sum, each) => sum + each, 0) < 8) {
      await until(() => driver.sent.length > waves.reduce((sum, each) => sum + each, 0), "a wave");
      await new Promise((resolve) => setImmediate(resolve));
      waves.push(driver.answerLate());
    }
    await published;
    expect(waves).toEqual([3, 3, 2]);
  });

  it("option: PublishPolicy.maxInFlightBytes lets no more bytes out at once", async () => {
    const { bus, driver } = await onFaulty({ publishing: { maxInFlightBytes: 10_000 } });
    await using _ = bus;
    driver.sendFault = () => "late";
    const published = Promise.all(Array.from({ length: 6 }, () => bus.publishTopic("big", "x".repeat(6_000))));
    await until(() => driver.sent.length > 0, "the first");
    await silence(() => driver.sent.length, "sent above the bound", 30);
    expect(driver.sent).toHaveLength(2);
    driver.sendFault = () => undefined;
    driver.answerLate();
    await published;
  });
});

describe("the options of a publish", () => {
  /** What a subscriber gets of one publish with these options. */
  const publishedWith = async (options: PublishOptions): Promise<Seen["events"][number]> => {
    await using bus = await onMemory({ name: "shop" });
    const seen = new Seen();
    await bus.subscribe(Tick, seen.handle, { group: "g" });
    await bus.publish(Tick, { n: 1 }, options);
    await until(() => seen.count === 1, "the event");
    return seen.events[0]!;
  };

  it("option: PublishOptions.id is the event's, and makes the caller's own retry harmless", async () => {
    await using bus = await onMemory();
    const first = await bus.publish(Tick, { n: 1 }, { id: "order-1" });
    const again = await bus.publish(Tick, { n: 1 }, { id: "order-1" });
    expect([first.id, first.duplicate, again.duplicate]).toEqual(["order-1", false, true]);
    expect((await bus.streams.info("events")).messages).toBe(1);
  });

  it("option: PublishOptions.key, PublishOptions.source, PublishOptions.causationId, PublishOptions.correlationId are the event's", async () => {
    const given = { key: "k-1", source: "elsewhere", causationId: "because", correlationId: "chain" };
    expect(await publishedWith(given)).toMatchObject(given);
  });

  it("option: PublishOptions.priority, PublishOptions.metadata, PublishOptions.time are the event's", async () => {
    const given = { priority: "critical", metadata: { tenant: 4 }, time: new Date(Date.UTC(2020, 1, 3)) } as const;
    expect(await publishedWith(given)).toMatchObject(given);
  });

  it("option: PublishOptions.delivery at-most-once is stored nowhere, and reaches those connected now", async () => {
    await using bus = await onMemory();
    const seen = new Seen();
    await bus.subscribe(Tick, seen.handle);
    const receipt = await bus.publish(Tick, { n: 1 }, { delivery: "at-most-once" });
    await until(() => seen.count === 1, "the event");
    expect([receipt.stored, receipt.stream]).toEqual(["not-durable", undefined]);
    expect((await bus.streams.info("events")).messages).toBe(0);
  });

  it("option: PublishOptions.delayMs, PublishOptions.at keep the event back until then", async () => {
    await using bus = await onMemory();
    const arrived = new Map<number, number>();
    await bus.subscribe(Tick, ({ data }) => void arrived.set(data.n, Date.now()), { group: "g" });
    const from = Date.now();
    await bus.publish(Tick, { n: 1 }, { delayMs: 150 });
    await bus.publish(Tick, { n: 2 }, { at: new Date(from + 150) });
    await bus.publish(Tick, { n: 3 });
    await until(() => arrived.size === 3, "all three");
    expect(arrived.get(1)! - from).toBeGreaterThanOrEqual(150);
    expect(arrived.get(2)! - from).toBeGreaterThanOrEqual(149);
    expect(arrived.get(3)! - from).toBeLessThan(140);
  });

  it("option: PublishOptions.maxAttempts goes over the group's", async () => {
    await using bus = await onMemory({ retry: { maxAttempts: 9, backoff: { baseMs: 1, maxMs: 1 } } });
    let runs = 0;
    await bus.subscribe(Tick, () => Promise.reject(new Error(`run ${(runs += 1)}`)), { group: "g" });
    await bus.publish(Tick, { n: 1 }, { maxAttempts: 2 });
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    expect(runs).toBe(2);
  });

  it("option: PublishOptions.timeoutMs ends it with all its retries; with bytes on the way the outcome is unknown", async () => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    driver.sendFault = () => "silent";
    const failure = await failureOf(bus.publish(Tick, { n: 1 }, { timeoutMs: 60 }));
    expect(failure).toMatchObject({ code: "BUS_TIMEOUT", outcome: "unknown" });
  });

  it("option: PublishOptions.signal ends it: unknown with bytes on the way, rejected before", async () => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    driver.sendFault = () => "silent";
    const stop = new AbortController();
    const sent = failureOf(bus.publish(Tick, { n: 1 }, { signal: stop.signal }));
    await until(() => driver.sent.length === 1, "the bytes");
    stop.abort();
    expect(await sent).toMatchObject({ code: "BUS_ABORTED", outcome: "unknown" });
    expect(await failureOf(bus.publish(Tick, { n: 2 }, { signal: stop.signal }))).toMatchObject({
      code: "BUS_ABORTED",
      outcome: "rejected",
    });
    expect(driver.sent).toHaveLength(1);
  });

  it("option: Bus.publishTopic.type, outgoing.type name the event's type", async () => {
    await using bus = await onMemory();
    const seen = new Seen();
    await bus.subscribePattern("a.*", seen.handle, { group: "g" });
    await bus.publishTopic("a.b", 1, { type: "given" });
    await bus.publishMany([outgoing("a.c", 1, { type: "item" })]);
    await bus.publishTopic("a.d", 1);
    await until(() => seen.count === 3, "all three");
    expect(seen.events.map(({ type }) => type).toSorted()).toEqual(["d", "given", "item"]);
  });

  it("option: Bus.publishMany.signal ends those that are not stored, each with its own outcome", async () => {
    const { bus, driver } = await onFaulty({ publishing: { maxInFlight: 1 } });
    await using _ = bus;
    driver.sendFault = () => "silent";
    const stop = new AbortController();
    const many = bus.publishMany([Tick.of({ n: 1 }), Tick.of({ n: 2 })], { signal: stop.signal });
    await until(() => driver.sent.length === 1, "the first");
    stop.abort();
    const outcomes = await many;
    expect(
      outcomes.map((each) => (each.ok ? "stored" : each.error instanceof PublishError && each.error.outcome)),
    ).toEqual(["unknown", "rejected"]);
  });

  it("stops pulling from a source that waits when publishMany is aborted", async () => {
    await using bus = await onMemory();
    const stop = new AbortController();
    const second = gate();
    async function* source() {
      yield Tick.of({ n: 1 });
      await second.opened;
      for (let n = 2; ; n += 1) yield Tick.of({ n });
    }
    const many = bus.publishMany(source(), { signal: stop.signal });
    stop.abort();
    second.open();
    expect((await many).length).toBeLessThanOrEqual(2);
  });
});
