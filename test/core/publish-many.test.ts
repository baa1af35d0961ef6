import { describe, expect, it } from "vitest";
import { isBusError, outgoing, PublishManyError, type Outgoing } from "../../src/index.ts";
import { until, within } from "../../src/testing/until.ts";
import { failureOf, onFaulty, onMemory, Seen, stillWorks, Tick } from "../support/events.ts";

const broken = new Error("the source is broken");

async function* thenThrows(count: number): AsyncGenerator<Outgoing> {
  for (let n = 1; n <= count; n += 1) yield Tick.of({ n }, { id: `id-${n}` });
  throw broken;
}

describe("publishMany from a source that throws", () => {
  it("waits for what is under way and rejects with the outcomes so far, and the source's own error", async () => {
    const { bus, driver } = await onFaulty({ publishing: { attemptTimeoutMs: 200 } });
    await using _ = bus;
    driver.sendFault = ({ id }) => (id === "id-2" ? "silent" : undefined);
    const failing = failureOf(bus.publishMany(thenThrows(3), { signal: AbortSignal.timeout(60_000) }));
    let settled = false;
    void failing.then(() => (settled = true));
    await until(() => driver.sent.length >= 3, "all three");
    expect(settled).toBe(false);
    driver.sendFault = () => undefined;
    const failure = await failing;
    expect(failure).toBeInstanceOf(PublishManyError);
    expect(failure).toMatchObject({
      code: "BUS_ABORTED",
      name: "PublishManyError",
      cause: broken,
      outcomes: [1, 2, 3].map((n) => ({ ok: true, receipt: { id: `id-${n}` } })),
    });
    expect(failure.message).not.toContain("broken"); // what others wrote may be a payload
    expect(isBusError(failure)).toBe(true);
    await stillWorks(bus);
  });

  it("gives an item that failed its outcome among them", async () => {
    await using bus = await onMemory();
    function* source(): Generator<Outgoing> {
      yield Tick.of({ n: 1 }, { id: "good" });
      yield Tick.of({ n: 2n } as never, { id: "bad" });
      throw broken;
    }
    const failure = await failureOf(bus.publishMany(source()));
    expect((failure as PublishManyError).outcomes).toMatchObject([
      { ok: true, receipt: { id: "good" } },
      { ok: false, id: "bad", error: { code: "BUS_INVALID_DATA" } },
    ]);
  });

  it("has none where nothing was given", async () => {
    await using bus = await onMemory();
    expect(await failureOf(bus.publishMany(thenThrows(0)))).toMatchObject({ cause: broken, outcomes: [] });
    const unable = { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(broken) }) };
    expect(await failureOf(bus.publishMany(unable))).toMatchObject({ cause: broken, outcomes: [] });
  });
});

describe("publishMany of what is no item", () => {
  it("gives each one outcome and publishes the others", async () => {
    await using bus = await onMemory();
    const seen = new Seen();
    await bus.subscribe(Tick, seen.handle);
    const hostile = {
      get topic(): string {
        throw broken;
      },
    };
    const items = [Tick.of({ n: 1 }), 7, undefined, null, { topic: 7 }, hostile, Tick.of({ n: 2 })];
    const outcomes = await bus.publishMany(items as never);
    const none = { ok: false, id: expect.stringMatching(/^[0-9a-f-]{36}$/) as string };
    const refused = { ...none, error: { code: "BUS_INVALID_OPTION" } };
    expect(outcomes).toMatchObject([
      { ok: true },
      refused,
      refused,
      refused,
      refused,
      { ...none, error: broken },
      { ok: true },
    ]);
    await until(() => seen.count === 2, "the good ones");
    expect(seen.numbers).toEqual([1, 2]);
  });
});

describe("publishMany that is aborted", () => {
  it("ends though the source never gives another item, and lets go of it", async () => {
    await using bus = await onMemory();
    const stop = new AbortController();
    let ended = false;
    const source: AsyncIterable<Outgoing> = {
      [Symbol.asyncIterator]: () => {
        const items = [outgoing("a.b", 1)];
        return {
          next: () => {
            const value = items.pop();
            return value === undefined ? new Promise(() => {}) : Promise.resolve({ value, done: false });
          },
          return: () => {
            ended = true;
            return Promise.reject(broken);
          },
        };
      },
    };
    const seen = new Seen();
    await bus.subscribePattern("a.*", seen.handle);
    const many = bus.publishMany(source, { signal: stop.signal });
    await until(() => seen.count === 1, "the first");
    stop.abort();
    expect(await within(many, "the outcomes", 5_000)).toMatchObject([{ ok: true }]);
    expect(ended).toBe(true);
  });

  it("takes nothing when it was aborted before, and gives each item of a list its outcome", async () => {
    await using bus = await onMemory();
    const items = [Tick.of({ n: 1 }), Tick.of({ n: 2 })];
    const options = { signal: AbortSignal.abort() };
    expect(await bus.publishMany(thenThrows(2), options)).toEqual([]);
    const aborted = { ok: false, error: { code: "BUS_ABORTED" } };
    expect(await bus.publishMany(items, options)).toMatchObject([aborted, aborted]);
    await stillWorks(bus);
  });
});

it("publishMany leaves a source that never ends alone once the bus is closed", async () => {
  const bus = await onMemory();
  let given = 0;
  async function* endless(): AsyncGenerator<Outgoing> {
    for (;;) {
      yield Tick.of({ n: (given += 1) });
      await new Promise(setImmediate);
    }
  }
  const many = bus.publishMany(endless());
  await until(() => given > 3, "a few");
  await bus.close();
  const outcomes = await within(many, "the outcomes", 5_000);
  expect(outcomes.length).toBeGreaterThanOrEqual(given - 1); // one may have been asked for and not come yet
  expect(outcomes[0]).toMatchObject({ ok: true });
  for (const outcome of outcomes) if (!outcome.ok) expect(outcome.error).toMatchObject({ code: "BUS_CLOSED" });
});

describe("publishMany of a source that goes on for ever", () => {
  it("ends when the bus is closed while the source lets it wait", async () => {
    const bus = await onMemory();
    let left = false;
    const source: AsyncIterable<Outgoing> = {
      [Symbol.asyncIterator]: () => {
        let n = 0;
        return {
          next: () =>
            n++ === 0 ? Promise.resolve({ done: false, value: Tick.of({ n }) }) : new Promise(() => undefined),
          return: () => {
            left = true;
            return Promise.resolve({ done: true, value: undefined });
          },
        };
      },
    };
    const publishing = bus.publishMany(source);
    await until(() => bus.stats().published === 1, "the first");
    await bus.close();
    expect(await within(publishing, "publishMany", 5_000)).toMatchObject([{ ok: true }]);
    expect(left).toBe(true);
  });

  it("leaves a generator alone, synchronous though it is, once the signal aborts", async () => {
    await using bus = await onMemory();
    const abort = new AbortController();
    let taken = 0;
    let left = false;
    function* source(): Generator<Outgoing> {
      try {
        for (;;) {
          if ((taken += 1) === 500) abort.abort();
          if (taken > 100_000) throw new Error("still taken from");
          yield Tick.of({ n: taken });
        }
      } finally {
        left = true;
      }
    }
    const outcomes = await bus.publishMany(source(), { signal: abort.signal });
    expect(outcomes).toHaveLength(taken);
    expect(outcomes.at(-1)).toMatchObject({ ok: false, error: { code: "BUS_ABORTED" } });
    expect(left).toBe(true);
  });

  it("gives every item of a list its outcome, though the signal aborts", async () => {
    await using bus = await onMemory();
    const items = [1, 2, 3].map((n) => Tick.of({ n }));
    for (const all of [items, new Set(items)])
      expect(await bus.publishMany(all, { signal: AbortSignal.abort() })).toHaveLength(3);
  });
});
