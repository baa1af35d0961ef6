import { describe, expect, it } from "vitest";
import { defineEvent, type Bus, type BusOptions, type DeadLetterQuery, type ScheduledQuery } from "../../src/index.ts";
import { until, within } from "../../src/testing/until.ts";
import { z } from "zod";
import { failureOf, gate, onFaulty, onMemory, Seen, Tick, Tock } from "../support/events.ts";

const Numbered = defineEvent("numbered", { schema: z.object({ n: z.number() }) });

class Refused extends Error {
  override readonly name = "Refused";
  readonly code = "E_REFUSED";
}

/** A bus with letters of ticks 1 to 3 in `left` and of tock 4 in `right`, made apart in time. */
async function withLetters(options: BusOptions = {}): Promise<{ readonly bus: Bus; readonly between: Date }> {
  const bus = await onMemory({ retry: { maxAttempts: 1 }, ...options });
  await bus.subscribe(Tick, ({ data }) => Promise.reject(new Error(`no tick ${data.n}`)), { group: "left" });
  await bus.subscribe(Tock, () => Promise.reject(new Refused("no tock")), { group: "right" });
  for (const n of [1, 2, 3]) {
    await bus.publish(Tick, { n });
    await until(async () => (await bus.deadLetters.count()) === n, "a letter");
  }
  await new Promise((resolve) => setTimeout(resolve, 5)); // the wall clock has to move on
  const between = new Date();
  await new Promise((resolve) => setTimeout(resolve, 5));
  await bus.publish(Tock, { n: 4 });
  await until(async () => (await bus.deadLetters.count()) === 4, "the last letter");
  return { bus, between };
}

describe("the query of dead letters", () => {
  it("option: DeadLetterQuery.group, DeadLetterQuery.topic, DeadLetterQuery.error, DeadLetterQuery.before, DeadLetterQuery.after pick letters", async () => {
    const { bus, between } = await withLetters();
    await using _ = bus;
    const found = async (query: DeadLetterQuery): Promise<readonly unknown[]> => {
      const { items } = await bus.deadLetters.list(query);
      expect(await bus.deadLetters.count(query)).toBe(items.length);
      return items.map(({ event }) => (event!.data as { n: number }).n);
    };
    expect(await found({})).toEqual([1, 2, 3, 4]);
    expect(await found({ group: "right" })).toEqual([4]);
    expect(await found({ topic: "tick" })).toEqual([1, 2, 3]);
    expect(await found({ topic: "*" })).toEqual([1, 2, 3, 4]);
    expect([
      await found({ error: "Refused" }),
      await found({ error: "E_REFUSED" }),
      await found({ error: "tick 2" }),
    ]).toEqual([[4], [4], [2]]);
    expect([await found({ before: between }), await found({ after: between })]).toEqual([[1, 2, 3], [4]]);
  });

  it("option: DeadLetterQuery.limit, DeadLetterQuery.cursor go through them page by page", async () => {
    const { bus } = await withLetters();
    await using _ = bus;
    const first = await bus.deadLetters.list({ limit: 3 });
    const second = await bus.deadLetters.list({ limit: 3, cursor: first.cursor });
    expect(
      [first.items, second.items].map((items) => items.map(({ event }) => (event!.data as { n: number }).n)),
    ).toEqual([[1, 2, 3], [4]]);
    expect(second.cursor).toBeUndefined();
    expect(await bus.deadLetters.discard({ limit: 2 })).toBe(2);
    expect(await bus.deadLetters.count()).toBe(2);
  });
});

describe("the query of scheduled events", () => {
  it("option: ScheduledQuery.topic, ScheduledQuery.limit, ScheduledQuery.cursor pick events, and go through them page by page", async () => {
    await using bus = await onMemory();
    const start = Date.now() + 3_600_000;
    const due = new Map<string, number>();
    for (const n of [3, 1, 2, 0])
      due.set((await bus.publish(n === 2 ? Tock : Tick, { n }, { at: new Date(start + n) })).id, n);
    const found = async (query: ScheduledQuery): Promise<readonly [readonly unknown[], string | undefined]> => {
      const { items, cursor } = await bus.scheduled.list(query);
      for (const { id, at } of items) expect(at.getTime()).toBe(start + due.get(id)!);
      return [items.map(({ id }) => due.get(id)), cursor];
    };
    expect(await found({})).toEqual([[0, 1, 2, 3], undefined]);
    expect(await found({ topic: "tick" })).toEqual([[0, 1, 3], undefined]);
    const [first, cursor] = await found({ limit: 2, topic: "tick" });
    expect([first, await found({ limit: 2, topic: "tick", cursor })]).toEqual([
      [0, 1],
      [[3], undefined],
    ]);
  });
});

describe("the options of a replay", () => {
  it("option: ReplayOptions.data goes instead of the event's, validated", async () => {
    await using bus = await onMemory({ definitions: [Numbered], retry: { maxAttempts: 1 } });
    const seen = new Seen();
    await bus.subscribe(
      Numbered,
      (event) => {
        if (event.data.n < 0) throw new Error("negative");
        seen.handle(event);
      },
      { group: "g" },
    );
    await bus.publish(Numbered, { n: -1 });
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    const { id, event } = (await bus.deadLetters.list()).items[0]!;
    expect(await bus.deadLetters.replay(id, { data: { n: 7 } })).toEqual({ replayed: 1, failed: 0 });
    await until(() => seen.count === 1, "the replay");
    expect([seen.numbers, seen.events[0]!.id]).toEqual([[7], event!.id]);
  });

  it("can be replayed at once after data that its schema refused", async () => {
    await using bus = await onMemory({ definitions: [Numbered], retry: { maxAttempts: 1 } });
    const seen = new Seen();
    await bus.subscribe(
      Numbered,
      (event) => (event.data.n < 0 ? Promise.reject(new Error("negative")) : seen.handle(event)),
      { group: "g" },
    );
    await bus.publish(Numbered, { n: -1 });
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    const { id } = (await bus.deadLetters.list()).items[0]!;
    expect(await failureOf(bus.deadLetters.replay(id, { data: { n: "x" } }))).toMatchObject({
      code: "BUS_INVALID_DATA",
    });
    expect(await bus.deadLetters.replay(id, { data: { n: 7 } })).toEqual({ replayed: 1, failed: 0 });
  });

  it("option: ReplayOptions.ratePerSecond spreads it in time", async () => {
    const { bus } = await withLetters();
    await using _ = bus;
    const from = performance.now();
    expect(await bus.deadLetters.replay({}, { ratePerSecond: 20 })).toMatchObject({ replayed: 4 });
    expect(performance.now() - from).toBeGreaterThanOrEqual(149);
  });

  it("option: ReplayOptions.signal, ReplayOptions.onProgress end it, and tell how far it is", async () => {
    const { bus } = await withLetters();
    await using _ = bus;
    const stop = new AbortController();
    const progress: number[] = [];
    const onProgress = (done: number): void => {
      progress.push(done);
      if (done === 2) stop.abort();
    };
    expect(
      await failureOf(bus.deadLetters.replay({}, { ratePerSecond: 100, signal: stop.signal, onProgress })),
    ).toMatchObject({
      code: "BUS_ABORTED",
      message: expect.stringContaining("after 2") as string,
    });
    expect(progress).toEqual([1, 2]);
  });

  it("ends at once when aborted while it waits for its rate", async () => {
    const { bus } = await withLetters();
    await using _ = bus;
    const stop = new AbortController();
    const replay = failureOf(
      bus.deadLetters.replay(
        {},
        { ratePerSecond: 0.1, signal: stop.signal, onProgress: () => setTimeout(() => stop.abort(), 20) },
      ),
    );
    expect(await within(replay, "the end", 1_500)).toMatchObject({ code: "BUS_ABORTED" });
  });
});

describe("the options written into signatures", () => {
  it("option: Bus.health.timeoutMs bounds the wait for the broker", async () => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    const open = gate();
    driver.pingGate = open.opened;
    const health = await within(bus.health({ timeoutMs: 60 }), "the answer", 2_000);
    expect(health).toMatchObject({ status: "down", reasons: [expect.stringContaining("60 ms")] });
    open.open();
    expect((await bus.health()).status).toBe("up");
  });

  it("option: Bus.health.signal ends the wait for the broker", async () => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    const open = gate();
    driver.pingGate = open.opened;
    const stop = new AbortController();
    const health = failureOf(bus.health({ timeoutMs: 4_000, signal: stop.signal }));
    setTimeout(() => stop.abort(), 20);
    const failure = await within(health, "the end", 1_500).finally(open.open);
    expect(failure).toMatchObject({ code: "BUS_ABORTED" });
  });

  it("option: Bus.close.timeoutMs ends handlers that don't", async () => {
    const bus = await onMemory();
    const seen = new Seen();
    await bus.subscribe(Tick, (event) => (seen.handle(event), new Promise(() => undefined)), { group: "g" });
    await bus.publish(Tick, { n: 1 });
    await until(() => seen.count === 1, "the handler");
    expect(await within(bus.close({ timeoutMs: 60 }), "the end", 3_000)).toEqual({ unfinished: 1 });
  });

  it("option: StreamAdmin.ensure.dryRun only says what it would do", async () => {
    await using bus = await onMemory();
    const stream = { name: "orders", topics: ["orders.>"] };
    expect(await bus.streams.ensure(stream, { dryRun: true })).toBe("created");
    expect((await bus.streams.list()).map(({ name }) => name)).toEqual(["events"]);
    expect(await bus.streams.ensure(stream)).toBe("created");
    expect(await bus.streams.ensure(stream, { dryRun: true })).toBe("unchanged");
  });

  it("option: GroupAdmin.recover.idleMs takes over what none has touched for so long", async () => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    await bus.subscribe(Tick, () => new Promise(() => undefined), { group: "g", order: "none" });
    const asked: number[] = [];
    const admin = driver.admin!;
    const recover = admin.recoverGroup!.bind(admin);
    admin.recoverGroup = (group, idleMs) => {
      asked.push(idleMs);
      return recover(group, idleMs);
    };
    await bus.groups.recover("g", { idleMs: 7 });
    await bus.groups.recover("g");
    expect(asked).toEqual([7, 60_000]);
    await bus.close({ timeoutMs: 10 });
  });
});
