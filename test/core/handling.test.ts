import { describe, expect, it } from "vitest";
import { connect, defineEvent, defineRequest, Reject, typed, type BusEvent } from "../../src/index.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { until, within } from "../../src/testing/until.ts";
import { atOnce, failureOf, gate, LogBook, onMemory, Seen, Tick, Tock } from "../support/events.ts";

const Told = defineEvent("told", { schema: typed<{ n: number }>() });
const Double = defineRequest("double", { request: typed<number>(), response: typed<number>() });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("correlation", () => {
  it("does not leak between handlers that run at once", async () => {
    await using bus = await onMemory();
    const seen = new Seen();
    await bus.subscribe(Told, seen.handle, { group: "told" });
    await bus.subscribe(
      Tick,
      async ({ data }) => {
        for (let wait = 0; wait < data.n % 5; wait += 1) await turn();
        await bus.publish(Told, { n: data.n });
      },
      { group: "g", order: "none" },
    );
    const ids = new Map<number, string>();
    await Promise.all(
      Array.from({ length: 50 }, (_each, n) => bus.publish(Tick, { n }).then(({ id }) => ids.set(n, id))),
    );
    await until(() => seen.count === 50, "all of them");
    for (const { data, causationId, correlationId } of seen.events)
      expect([causationId, correlationId]).toEqual([
        ids.get((data as { n: number }).n),
        ids.get((data as { n: number }).n),
      ]);
  });

  it("keeps the id of the first event through a chain, with each one's cause", async () => {
    await using bus = await onMemory();
    const events: BusEvent[] = [];
    await bus.subscribe(Tick, async (event) => (events.push(event), bus.publish(Tock, event.data)), { group: "a" });
    await bus.subscribe(Tock, async (event) => (events.push(event), bus.publish(Told, event.data)), { group: "b" });
    await bus.subscribe(Told, (event) => void events.push(event), { group: "c" });
    await bus.publish(Tick, { n: 1 });
    await until(() => events.length === 3, "the chain");
    const [first, second, third] = events as [BusEvent, BusEvent, BusEvent];
    expect([first, second, third].map(({ correlationId }) => correlationId)).toEqual([first.id, first.id, first.id]);
    expect([first.causationId, second.causationId, third.causationId]).toEqual([undefined, first.id, second.id]);
  });

  it("takes source, session, metadata and correlation from the scope around, the inner one first", async () => {
    await using bus = await onMemory({ name: "shop" });
    const seen = new Seen();
    await bus.subscribe(Tick, seen.handle, { group: "g", concurrency: 1 });
    await bus.within({ source: "outer", session: "s", metadata: { a: 1, b: 1 } }, async () => {
      await bus.within({ correlationId: "chain", metadata: { b: 2 } }, () => bus.publish(Tick, { n: 1 }, { key: "k" }));
      await bus.publish(Tick, { n: 2 }, { source: "given", metadata: { c: 3 }, key: "k" });
    });
    await bus.publish(Tick, { n: 3 }, { key: "k" });
    await until(() => seen.count === 3, "all three");
    expect(seen.events.map(({ source, session, metadata }) => [source, session, metadata])).toEqual([
      ["outer", "s", { a: 1, b: 2 }],
      ["given", "s", { a: 1, b: 1, c: 3 }],
      ["shop", undefined, {}],
    ]);
    expect(seen.events[0]!.correlationId).toBe("chain");
  });
});

describe("a handler that hangs", () => {
  it("shows in the health after twice its limit, gives its slot back, and is forgotten when it ends", async () => {
    await using bus = await onMemory({ retry: { maxAttempts: 1 } });
    const open = gate();
    const seen = new Seen();
    await bus.subscribe(Tick, (event) => (event.data.n === 0 ? open.opened : seen.handle(event)), {
      group: "g",
      concurrency: 1,
      order: "none",
      timeoutMs: 100,
      name: "stuck",
    });
    await bus.publishMany([Tick.of({ n: 0 }), Tick.of({ n: 1 })]);
    const from = performance.now();
    await until(() => seen.count === 1, "the next event");
    expect(performance.now() - from).toBeGreaterThanOrEqual(150);
    const health = await bus.health();
    expect(health.status).toBe("degraded");
    expect(health.reasons.join()).toContain('handler "stuck" hangs');
    open.open();
    await until(async () => (await bus.health()).status === "up", "health");
    expect(bus.stats()).toMatchObject({ inFlight: 0, deadLettered: 1 });
  });

  it("keeps the key's order: the next event of the key waits for it to end, or to hang", async () => {
    await using bus = await onMemory({ retry: { maxAttempts: 1 } });
    const order: string[] = [];
    const open = gate();
    await bus.subscribe(
      Tick,
      async ({ data }) => {
        order.push(`begin ${data.n}`);
        if (data.n === 1) await open.opened;
        order.push(`end ${data.n}`);
      },
      { group: "g", timeoutMs: 200 },
    );
    await bus.publishMany([Tick.of({ n: 1 }, { key: "k" }), Tick.of({ n: 2 }, { key: "k" })]);
    await until(async () => (await bus.deadLetters.count()) === 1, "the time-out");
    expect(order).toEqual(["begin 1"]);
    open.open();
    await until(() => order.length === 4, "the second");
    expect(order).toEqual(["begin 1", "end 1", "begin 2", "end 2"]);
  });
});

describe("a delivery", () => {
  it("makes its signal when it is asked for, the same each time, aborted when that is what happened", async () => {
    await using bus = await onMemory({ retry: { maxAttempts: 1 } });
    const made: AbortController[] = [];
    const Real = globalThis.AbortController;
    globalThis.AbortController = class extends Real {
      constructor() {
        super();
        made.push(this);
      }
    };
    try {
      let same: boolean | undefined;
      const done = new Seen();
      await bus.subscribe(Tick, done.handle, { group: "lazy" });
      const before = made.length;
      await bus.publishMany(Array.from({ length: 20 }, (_each, n) => Tick.of({ n })));
      await until(() => done.count === 20, "those without");
      expect(made.length).toBe(before);
      await bus.subscribe(Tock, (_event, delivery) => void (same = delivery.signal === delivery.signal), {
        group: "asking",
      });
      await bus.publish(Tock, { n: 1 });
      await until(() => same !== undefined, "the one with");
      expect([same, made.length]).toEqual([true, before + 1]);
    } finally {
      globalThis.AbortController = Real;
    }
  });

  it("can be given more time, counted from then", async () => {
    await using bus = await onMemory({ retry: { maxAttempts: 1 } });
    let aborted: boolean | undefined;
    await bus.subscribe(
      Tick,
      async (_event, delivery) => {
        delivery.extend(5_000);
        await new Promise((resolve) => setTimeout(resolve, 150)); // longer than the limit was
        aborted = delivery.signal.aborted;
      },
      { group: "g", timeoutMs: 50 },
    );
    await bus.publish(Tick, { n: 1 });
    await until(() => aborted !== undefined, "the end");
    expect([aborted, bus.stats().failed]).toEqual([false, 0]);
  });
});

describe("a request's context", () => {
  it("tells the responder when the requester has stopped waiting", async () => {
    await using bus = await onMemory();
    const aborted = gate();
    await bus.respond(
      Double,
      (n, { signal }) => new Promise((resolve) => signal.addEventListener("abort", () => (aborted.open(), resolve(n)))),
    );
    expect(await failureOf(bus.request(Double, 1, { timeoutMs: 50 }))).toMatchObject({ code: "BUS_TIMEOUT" });
    await within(aborted.opened, "the abort", 1_500);
  });
});

describe("the log", () => {
  it("has a line for everything that should not be silent", async () => {
    const logger = new LogBook();
    const bus = await onMemory({ logger, retry: { maxAttempts: 2, ...atOnce } });
    const open = gate();
    await bus.respond(Double, async (n) => (await open.opened, n));
    await bus.subscribe(Tick, () => Promise.reject(new Error("no ticks today")), { group: "g", name: "clock" });
    const { id } = await bus.publish(Tick, { n: 1 });
    await failureOf(bus.request(Double, 1, { timeoutMs: 30 }));
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    open.open();
    await bus.close();
    expect(logger.of("subscribed")[0]!.fields).toMatchObject({ handler: "clock", group: "g", patterns: ["tick"] });
    expect(logger.of("handler failed").map(({ fields }) => fields["attempt"])).toEqual([1, 2]);
    expect(logger.of("handler failed")[0]!.fields).toMatchObject({
      handler: "clock",
      event: id,
      type: "tick",
      topic: "tick",
      group: "g",
      reason: "no ticks today",
      stack: expect.stringContaining("handling.test") as string,
    });
    expect(logger.of("retried")[0]!.fields).toMatchObject({ event: id, attempt: 1 });
    expect(logger.of("dead-lettered")[0]).toMatchObject({ level: "error", fields: { event: id, attempt: 2 } });
    expect(logger.of("request timed out")[0]!.fields).toMatchObject({ type: "double", timeoutMs: 30 });
    expect(logger.of("closed")).toHaveLength(1);
  });

  it("never holds the data of an event", async () => {
    const logger = new LogBook();
    await using bus = await onMemory({ logger, retry: { maxAttempts: 1 } });
    await bus.subscribePattern("a.*", () => Promise.reject(new Error("no")), { group: "g" });
    await bus.publishTopic("a.b", { card: "4111-secret" });
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    expect(JSON.stringify(logger.lines)).not.toContain("4111-secret");
  });
});

describe("events that come to a member in a rolling deploy", () => {
  it("reach the member that knows their type, though another gets them first", async () => {
    const driver = memory();
    await using old = await connect({ driver });
    await using fresh = await connect({ driver });
    const seen = new Seen();
    await old.subscribe(Tick, () => undefined, { group: "g", order: "none" });
    await fresh.subscribe([Tick, Tock], (event) => (event.type === "tock" ? seen.handle(event) : undefined), {
      group: "g",
      order: "none",
    });
    for (let n = 0; n < 10; n += 1) await old.publish(Tock, { n });
    await until(() => new Set(seen.numbers).size === 10, "all of them");
    expect(await old.deadLetters.count()).toBe(0);
  });
});

describe("an event whose handlers have gone", () => {
  it("becomes a dead letter of the one that gave it up, with the attempts that ran, once nobody else took it", async () => {
    await using bus = await onMemory();
    let runs = 0;
    const tried = gate();
    const leaving = await bus.subscribe(
      Tick,
      () => {
        runs += 1;
        tried.open();
        throw new Error("once more");
      },
      { group: "g", name: "leaving", retry: { maxAttempts: 4, backoff: () => 100 } },
    );
    await bus.subscribe(
      Tick,
      () => {
        throw new Reject("no");
      },
      { group: "g", name: "refusing", handOnMs: 100 },
    );
    await bus.publish(Tick, { n: 1 }, { key: "k" });
    await tried.opened;
    await leaving.unsubscribe();
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    const [letter] = (await bus.deadLetters.list()).items;
    expect(letter).toMatchObject({ attempts: 1, handlers: ["refusing"] });
    expect(runs).toBe(1);
    expect(bus.stats().failed).toBe(2);
  });
});
