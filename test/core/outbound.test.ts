import { describe, expect, it } from "vitest";
import { z } from "zod";
import { createBus, defineEvent, type Bus, type Outgoing } from "../../src/index.ts";
import { silence, until, within } from "../../src/testing/until.ts";
import { FaultyDriver } from "../support/faulty-driver.ts";
import { failureOf, gate, Keyed, onFaulty, Seen, Tick } from "../support/events.ts";

const quick = { publishing: { retry: { maxAttempts: 4, backoff: { baseMs: 15, maxMs: 15, jitter: 0 } } } } as const;
const keyed = (of: string, n: number): Outgoing => Keyed.of({ of, n });

async function storedOrder(bus: Bus, count: number): Promise<readonly string[]> {
  const seen = new Seen();
  await bus.subscribe(Keyed, seen.handle, { group: "reader", concurrency: 1 });
  await until(
    () => seen.count === count,
    () => `all of them: ${seen.count}`,
  );
  return seen.events.map(({ key, data }) => `${key}${(data as { n: number }).n}`);
}

describe("what goes out", () => {
  it("keeps the order of a key through the retry of one of them; other keys go on", async () => {
    const { bus, driver } = await onFaulty({ ...quick, streams: [{ name: "events", topics: [">"], partitions: 1 }] });
    await using _ = bus;
    driver.sendFault = ({ key, id }, attempt) => (key === "a" && id === "first" && attempt < 3 ? "no" : undefined);
    const first = bus.publish(Keyed, { of: "a", n: 1 }, { id: "first" });
    await until(() => driver.sent.length > 0, "the first try");
    const rest = bus.publishMany([keyed("a", 2), keyed("b", 1), keyed("a", 3)]);
    await Promise.all([first, rest]);
    expect(await storedOrder(bus, 4)).toEqual(["b1", "a1", "a2", "a3"]);
  });

  it("keeps the order of a key when all of a turn fail together", async () => {
    const { bus, driver } = await onFaulty(quick);
    await using _ = bus;
    driver.sendFault = (_message, attempt) => (attempt === 1 ? "no" : undefined);
    await bus.publishMany([1, 2, 3, 4, 5].map((n) => keyed("a", n)));
    expect(await storedOrder(bus, 5)).toEqual(["a1", "a2", "a3", "a4", "a5"]);
  });

  it("lets the rest of a key go when the one ahead is given up", async () => {
    const { bus, driver } = await onFaulty({
      publishing: { retry: { maxAttempts: 3, backoff: { baseMs: 200, jitter: 0 } } },
    });
    await using _ = bus;
    driver.sendFault = ({ id }) => (id === "first" ? "no" : undefined);
    const stop = new AbortController();
    const first = failureOf(bus.publish(Keyed, { of: "a", n: 1 }, { id: "first", signal: stop.signal }));
    await until(() => driver.sent.length === 1, "the first try");
    const second = bus.publish(Keyed, { of: "a", n: 2 });
    await silence(() => driver.sent.length, "sent out of order", 30);
    stop.abort();
    expect(await first).toMatchObject({ code: "BUS_ABORTED", outcome: "rejected", attempts: 1 });
    await within(second, "the second", 1_000);
  });

  it("says rejected when every try said so, and unknown when any may have been stored", async () => {
    const { bus, driver } = await onFaulty(quick);
    await using _ = bus;
    driver.sendFault = () => "no";
    expect(await failureOf(bus.publish(Tick, { n: 1 }))).toMatchObject({
      outcome: "rejected",
      attempts: 4,
      code: "BUS_CONNECTION",
      retryable: true,
    });
    driver.sendFault = (_message, attempt) => (attempt === 2 ? "unknown" : "no");
    expect(await failureOf(bus.publish(Tick, { n: 2 }))).toMatchObject({ outcome: "unknown", attempts: 4 });
    driver.sendFault = () => "refused";
    expect(await failureOf(bus.publish(Tick, { n: 3 }))).toMatchObject({
      outcome: "rejected",
      attempts: 1,
      retryable: false,
    });
  });

  it("sends a lost answer's message again under the same ids, so that it is stored once", async () => {
    const { bus, driver } = await onFaulty(quick);
    await using _ = bus;
    driver.sendFault = (_message, attempt) => (attempt === 1 ? "lost" : undefined);
    const receipt = await bus.publish(Tick, { n: 1 });
    expect(receipt.duplicate).toBe(true);
    expect(new Set(driver.sent.map(({ id, brokerId }) => `${id} ${brokerId}`)).size).toBe(1);
    expect((await bus.streams.info("events")).messages).toBe(1);
    expect(bus.stats()).toMatchObject({ published: 1, publishFailed: 0 });
  });

  it("takes the late answer to an earlier try for the whole, and resolves once", async () => {
    const { bus, driver } = await onFaulty({
      publishing: { attemptTimeoutMs: 30, retry: { maxAttempts: 4, backoff: { baseMs: 1, maxMs: 1 } } },
    });
    await using _ = bus;
    driver.sendFault = (_message, attempt) => (attempt === 1 ? "late" : "silent");
    let resolved = 0;
    const published = bus.publish(Tick, { n: 1 }).then(() => (resolved += 1));
    await until(() => driver.sent.length === 2, "the second try");
    driver.answerLate();
    await published;
    await silence(() => driver.sent.length + resolved + bus.stats().published, "anything after the answer", 120);
    expect(bus.stats()).toMatchObject({ published: 1, publishFailed: 0 });
  });

  it("puts the publishes of one turn into one batch", async () => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    await Promise.all([1, 2, 3].map((n) => bus.publish(Tick, { n })));
    expect(driver.batches).toEqual([3]);
  });

  it("flushes what was published before, and not what comes after", async () => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    driver.sendFault = () => "late";
    const first = bus.publish(Tick, { n: 1 });
    const flushed = bus.flush();
    await until(() => driver.sent.length === 1, "the first");
    driver.sendFault = () => "silent";
    const later = failureOf(bus.publish(Tick, { n: 2 }));
    let over = false;
    void flushed.then(() => (over = true));
    await silence(() => Number(over), "flushed too early", 20);
    driver.answerLate();
    await within(flushed, "the flush", 1_000);
    await first;
    await bus.close({ timeoutMs: 30 });
    expect(await later).toMatchObject({ code: "BUS_CLOSED", outcome: "unknown" });
  });

  it("ends within its time-out, the wait for the connection included", async () => {
    const driver = new FaultyDriver();
    const open = gate();
    driver.connectGate = open.opened;
    driver.sendFault = () => "silent";
    const bus = createBus({ driver });
    const ended: string[] = [];
    const failing = async (name: string, timeoutMs: number): Promise<void> => {
      expect(await failureOf(bus.publish(Tick, { n: 1 }, { timeoutMs }))).toMatchObject({ code: "BUS_TIMEOUT" });
      ended.push(name);
    };
    const waited = failing("waited for the connection", 600);
    await failing("first", 300);
    open.open();
    const later = failing("later", 450); // 150 ms after the one that waited, and before it if that began again
    await Promise.all([waited, later]);
    expect(ended).toEqual(["first", "waited for the connection", "later"]);
    await bus.close({ timeoutMs: 50 });
  });
});

describe("publishMany", () => {
  /** How many a source was asked for before the gate opened. */
  async function pulledAhead(
    bus: Bus,
    item: (n: number) => Outgoing,
    count: number,
    open: () => void,
  ): Promise<number> {
    let pulled = 0;
    async function* source() {
      for (let n = 0; n < count; n += 1) {
        pulled += 1;
        yield item(n);
      }
    }
    const many = bus.publishMany(source());
    await until(() => pulled >= 10, "as many as may be in flight");
    const ahead = pulled;
    await silence(() => pulled, "pulled more", 100);
    open();
    expect((await many).filter(({ ok }) => ok)).toHaveLength(count);
    return ahead;
  }

  it("pulls no more from its source than may be in flight", async () => {
    const { bus, driver } = await onFaulty({ publishing: { maxInFlight: 10 } });
    await using _ = bus;
    driver.sendFault = () => "late";
    const release = (): void => {
      driver.sendFault = () => undefined;
      driver.answerLate();
    };
    expect(await pulledAhead(bus, (n) => Tick.of({ n }), 100, release)).toBeLessThanOrEqual(12);
  });

  it("pulls no more than may be in flight while schemas take their time", async () => {
    const { bus } = await onFaulty({ publishing: { maxInFlight: 10 } });
    await using _ = bus;
    const open = gate();
    const Slow = defineEvent("slow", {
      schema: z.object({ n: z.number() }).refine(() => open.opened.then(() => true)),
    });
    expect(await pulledAhead(bus, (n) => Slow.of({ n }), 1_000, open.open)).toBeLessThanOrEqual(12);
  });

  it("pulls no more than may be in flight while there is no connection yet", async () => {
    const driver = new FaultyDriver();
    const open = gate();
    driver.connectGate = open.opened;
    await using bus = createBus({ driver, publishing: { maxInFlight: 10 } });
    expect(await pulledAhead(bus, (n) => Tick.of({ n }), 1_000, open.open)).toBeLessThanOrEqual(12);
  });

  it("gives one outcome for each item, in order, whatever became of the others", async () => {
    const { bus, driver } = await onFaulty(quick);
    await using _ = bus;
    driver.sendFault = ({ id }) => (id === "b" ? "refused" : undefined);
    const outcomes = await bus.publishMany([
      Tick.of({ n: 1 }, { id: "a" }),
      Tick.of({ n: 2 }, { id: "b" }),
      Tick.of({ n: 3 }, { id: "c", priority: "huge" as never }),
    ]);
    expect(
      outcomes.map((each) => (each.ok ? each.receipt.id : [each.id, (each.error as { code?: string }).code])),
    ).toEqual(["a", ["b", "BUS_SERVER"], ["c", "BUS_INVALID_OPTION"]]);
  });

  it("keeps call order where some schemas take their time", async () => {
    const { bus } = await onFaulty({ streams: [{ name: "events", topics: [">"], partitions: 1 }] });
    await using _ = bus;
    const Slow = defineEvent("slow", {
      schema: z
        .object({ n: z.number() })
        .refine(({ n }) => new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 10 - n))),
      key: () => "k",
    });
    const seen = new Seen();
    await bus.subscribePattern(">", seen.handle, { group: "g", concurrency: 1 });
    await Promise.all(
      [0, 1, 2, 3, 4, 5].map((n) => (n % 2 === 0 ? bus.publish(Slow, { n }) : bus.publish(Tick, { n }, { key: "k" }))),
    );
    await until(() => seen.count === 6, "all six");
    expect(seen.numbers).toEqual([0, 1, 2, 3, 4, 5]);
  });
});
