import { describe, expect, it } from "vitest";
import { until } from "../../src/testing/until.ts";
import { atOnce, onMemory, Seen, stillWorks, Tick } from "../support/events.ts";

const batch = { group: "g", maxSize: 2, maxAgeMs: 5 } as const;

describe("a batch handler's answer that is none", () => {
  const answers: readonly [string, unknown][] = [
    ["a list of nothing, as from Promise.all", [undefined, undefined]],
    ["a number", 7],
    ["a text", "done"],
    ["an object", {}],
    ["true", true],
    ["a failure without an id", [{ error: new Error("x") }]],
    ["null among failures", [null]],
    ["the id of a stranger", [{ id: "nobody", error: new Error("x") }]],
    ["a failure that is not in a list", { id: "a", error: new Error("x") }],
  ];
  for (const [what, answer] of answers) {
    it(`fails the whole batch by name, and the bus works on: ${what}`, async () => {
      await using bus = await onMemory({ retry: { maxAttempts: 1 } });
      await bus.subscribeBatch(Tick, (async () => answer) as never, {
        ...batch,
        name: "odd",
      });
      await bus.publishMany([Tick.of({ n: 1 }, { id: "a", key: "k" }), Tick.of({ n: 2 }, { id: "b", key: "l" })]);
      await until(async () => (await bus.deadLetters.count()) === 2, "both letters", 2_000);
      for (const { reason } of (await bus.deadLetters.list()).items) {
        expect(reason.code).toBe("BUS_HANDLER");
        expect(reason.message).toMatch(/batch handler must answer nothing, or a list of \{ id, error \}/);
      }
      expect(bus.stats().inFlight).toBe(0);
      await stillWorks(bus);
    });
  }

  it("is not what null, nothing, an empty list and its own failures are", async () => {
    for (const answer of [null, undefined, [], [{ id: "a", error: new Error("x") }]]) {
      await using bus = await onMemory({ retry: { maxAttempts: 1 } });
      await bus.subscribeBatch(Tick, (async () => answer) as never, batch);
      await bus.publishMany([Tick.of({ n: 1 }, { id: "a", key: "k" }), Tick.of({ n: 2 }, { id: "b", key: "l" })]);
      const failed = Array.isArray(answer) ? answer.length : 0;
      await until(() => bus.stats().handled === 2 - failed, "the others", 2_000);
      await until(async () => (await bus.deadLetters.count()) === failed, "letters", 2_000);
    }
  });
});

describe("two batch handlers that subscribe at once", () => {
  const one = { ...batch, maxSize: 1, retry: atOnce } as const;

  it("with one name: one of them is refused", async () => {
    await using bus = await onMemory();
    const seen = new Seen();
    const handle = async (events: readonly Parameters<typeof seen.handle>[0][]): Promise<void> =>
      events.forEach(seen.handle);
    const both = await Promise.allSettled([
      bus.subscribeBatch(Tick, handle, { ...one, name: "same" }),
      bus.subscribeBatch(Tick, handle, { ...one, name: "same" }),
    ]);
    expect(both.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    expect(both.find(({ status }) => status === "rejected")).toMatchObject({ reason: { code: "BUS_CONFLICT" } });
    await bus.publish(Tick, { n: 1 });
    await until(() => bus.stats().handled === 1, "the event");
    expect([seen.count, bus.stats().subscriptions]).toEqual([1, 1]);
  });

  it("without names are told apart: what one of them failed is tried again by it alone", async () => {
    await using bus = await onMemory();
    const runs = { steady: 0, failing: 0 };
    await Promise.all([
      bus.subscribeBatch(Tick, async () => void (runs.steady += 1), one),
      bus.subscribeBatch(
        Tick,
        async () => {
          if ((runs.failing += 1) === 1) throw new Error("once");
        },
        one,
      ),
    ]);
    await bus.publish(Tick, { n: 1 });
    await until(() => bus.stats().handled === 1, "the event");
    expect(runs).toEqual({ steady: 1, failing: 2 });
  });
});

describe("more time for a batch", () => {
  for (const ms of [Number.POSITIVE_INFINITY, Number.NaN, 0, -1, 2 ** 31]) {
    it(`is refused when it is ${ms}: the limit holds`, async () => {
      await using bus = await onMemory({ retry: { maxAttempts: 1 } });
      let thrown: unknown;
      await bus.subscribeBatch(
        Tick,
        async (_events, { signal, deliveries }) => {
          try {
            deliveries[0]!.extend(ms);
          } catch (error) {
            thrown = error;
          }
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
        },
        { ...batch, maxSize: 1, timeoutMs: 40 },
      );
      await bus.publish(Tick, { n: 1 });
      await until(async () => (await bus.deadLetters.count()) === 1, "the time-out", 2_000);
      expect(thrown).toMatchObject({ code: "BUS_INVALID_OPTION" });
      expect((await bus.deadLetters.list()).items[0]!.reason.code).toBe("BUS_TIMEOUT");
    });
  }
});
