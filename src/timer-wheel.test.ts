import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../test/support/manual-clock.ts";
import { TimerWheel, WheelTimer } from "./timer-wheel.ts";

type Command =
  | { readonly do: "set"; readonly ms: number; readonly withNextTick: boolean }
  | { readonly do: "cancel"; readonly pick: number }
  | { readonly do: "advance"; readonly ms: number }
  | { readonly do: "clear" };

const ms = fc.oneof(
  fc.integer({ min: 0, max: 60 }),
  fc.integer({ min: 0, max: 12_000 }),
  fc.double({ min: 0, max: 100, noNaN: true }),
);
const commands: fc.Arbitrary<readonly Command[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant("set" as const), ms, withNextTick: fc.boolean() }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("cancel" as const), pick: fc.nat(1_000) }) },
    { weight: 6, arbitrary: fc.record({ do: fc.constant("advance" as const), ms }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("clear" as const) }) },
  ),
  { maxLength: 40 },
);

class Probe extends WheelTimer {
  readonly #fired: () => void;

  constructor(fired: () => void) {
    super();
    this.#fired = fired;
  }

  override fire(): void {
    this.#fired();
  }
}

interface Set {
  readonly timer: WheelTimer;
  readonly due: number;
  /** When it must have been called. */
  readonly latest: number;
  /** It will not be called any more. */
  off: boolean;
  calls: number;
}

/** Twice the tick: once for the grid of ticks, once for where the real timer stands in it. */
function compare(list: readonly Command[], latestMs: number): void {
  const clock = new ManualClock();
  const wheel = new TimerWheel(clock);
  const all: Set[] = [];
  for (const command of list) {
    if (command.do === "set") {
      const due = clock.ticks() + command.ms;
      const entry: { -readonly [Key in keyof Set]: Set[Key] } = {
        timer: undefined as never,
        due,
        latest: due + latestMs + (command.withNextTick ? 10 : 0),
        off: false,
        calls: 0,
      };
      entry.timer = new Probe(() => {
        expect(entry.off).toBe(false);
        expect(clock.ticks()).toBeGreaterThanOrEqual(due - 1e-6);
        expect(clock.ticks()).toBeLessThanOrEqual(entry.latest + 1e-6);
        entry.calls += 1;
        entry.off = true;
      });
      if (command.withNextTick) wheel.startWithNextTick(entry.timer, command.ms);
      else wheel.start(entry.timer, command.ms);
      all.push(entry);
    } else if (command.do === "cancel") {
      const entry = all[command.pick % Math.max(all.length, 1)];
      entry?.timer.cancel();
      if (entry !== undefined) entry.off = true;
    } else if (command.do === "advance") {
      clock.advance(command.ms);
      for (const entry of all) if (!entry.off) expect(clock.ticks()).toBeLessThan(entry.latest + 1e-6);
    } else {
      wheel.clear();
      for (const entry of all) entry.off = true;
    }
  }
  clock.advance(13_000);
  for (const entry of all) expect(entry).toMatchObject({ off: true });
  expect(clock.timers).toBe(0);
}

describe("TimerWheel", () => {
  it("calls each timer once, never early, at most two ticks late, and keeps no real timer at the end", () => {
    fc.assert(
      fc.property(commands, (list) => compare(list, 20)),
      { numRuns: 500 },
    );
  });

  it("is at most one tick late, as it says", () => {
    fc.assert(
      fc.property(commands, (list) =>
        compare(
          list.filter((command) => command.do !== "clear"),
          10,
        ),
      ),
      { numRuns: 500 },
    );
  });

  it("forgets for ever what it cleared, whichever of it is cancelled afterwards", () => {
    const clock = new ManualClock();
    const wheel = new TimerWheel(clock);
    const called: string[] = [];
    wheel.set(30, () => called.push("first of the slot"));
    const newest = wheel.set(30, () => called.push("newest of the slot"));
    wheel.clear();
    newest.cancel();
    wheel.set(100, () => called.push("set later"));
    clock.advance(1_000);
    expect(called).toEqual(["set later"]);
  });

  it("is not late for others when a callback takes long and sets a timer itself", () => {
    const clock = new ManualClock();
    const wheel = new TimerWheel(clock);
    let calledAt: number | undefined;
    wheel.set(10, () => {
      clock.advance(50); // the handler that the callback starts computes for 50 ms
      wheel.set(1_000, () => undefined);
    });
    wheel.set(40, () => (calledAt = clock.ticks()));
    clock.advance(200);
    expect(calledAt).toBeLessThanOrEqual(100);
  });

  it("lets a callback cancel another that is due in the same tick, and set new ones", () => {
    const clock = new ManualClock();
    const wheel = new TimerWheel(clock);
    const called: string[] = [];
    const timers: WheelTimer[] = [];
    const only = (name: string) => (): void => {
      called.push(name);
      for (const timer of timers) timer.cancel();
      wheel.set(0, () => called.push("new"));
    };
    timers.push(wheel.set(10, only("a")), wheel.set(10, only("b")));
    clock.advance(100);
    expect(called).toHaveLength(2);
    expect(called[1]).toBe("new");
  });

  it("leaves one that a callback begins anew with the next tick until its new time", () => {
    const clock = new ManualClock();
    const wheel = new TimerWheel(clock);
    const calledAt: number[] = [];
    const other = new Probe(() => calledAt.push(clock.ticks()));
    const first = new Probe(() => wheel.startWithNextTick(other, 500));
    wheel.start(other, 10);
    wheel.start(first, 10); // the newest of a slot is called first
    clock.advance(400);
    expect(calledAt).toEqual([]);
    clock.advance(200);
    expect(calledAt).toHaveLength(1);
  });

  it("sees what fell due during a pause longer than its round", () => {
    const clock = new ManualClock();
    const wheel = new TimerWheel(clock);
    const called: number[] = [];
    for (const each of [10, 5_000, 5_130, 20_000]) wheel.set(each, () => called.push(each));
    clock.advance(60_000);
    expect(called.toSorted((a, b) => a - b)).toEqual([10, 5_000, 5_130, 20_000]);
  });

  it("takes a time that is no number as none, instead of breaking", () => {
    const clock = new ManualClock();
    const wheel = new TimerWheel(clock);
    let called = 0;
    for (const each of [Number.NaN, -5, Number.NEGATIVE_INFINITY]) {
      wheel.set(each, () => (called += 1));
      wheel.startWithNextTick(new Probe(() => (called += 1)), each);
    }
    clock.advance(50);
    expect(called).toBe(6);
  });
});
