import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { DueQueue, type DueCall } from "./due-queue.ts";

describe("DueQueue", () => {
  it("calls in order of due times, then of adding, without those that were cancelled", () => {
    const item = fc.record({ due: fc.integer({ min: 0, max: 50 }), cancel: fc.boolean() });
    fc.assert(
      fc.property(fc.array(item, { maxLength: 200 }), (items) => {
        const clock = new ManualClock();
        const queue = new DueQueue((each) => each.ticks());
        queue.use(clock);
        const called: number[] = [];
        const calls: DueCall[] = [];
        for (const [index, { due }] of items.entries()) {
          calls.push(queue.add(due, () => called.push(index)));
          if (items[index >> 1]!.cancel) calls[index >> 1]!.cancel();
        }
        const expected = [...items.keys()]
          .filter((index) => calls[index]!.run !== undefined)
          .toSorted((left, right) => items[left]!.due - items[right]!.due || left - right);
        clock.advance(50);
        expect(called).toEqual(expected);
        expect(clock.timers).toBe(0);
      }),
    );
  });

  it("takes what is added while it calls", () => {
    const clock = new ManualClock();
    const queue = new DueQueue((each) => each.ticks());
    queue.use(clock);
    const called: string[] = [];
    queue.add(5, () => {
      called.push("first");
      queue.add(5, () => called.push("at once"));
      queue.add(7, () => called.push("later"));
    });
    clock.advance(5);
    expect(called).toEqual(["first", "at once"]);
    clock.advance(2);
    expect(called).toEqual(["first", "at once", "later"]);
  });

  it("waits while it has no clock", () => {
    const clock = new ManualClock();
    const queue = new DueQueue((each) => each.ticks());
    const called: number[] = [];
    queue.add(5, () => called.push(1));
    clock.advance(10);
    expect(called).toEqual([]);
    queue.use(clock);
    clock.advance(0);
    expect(called).toEqual([1]);
  });
});
