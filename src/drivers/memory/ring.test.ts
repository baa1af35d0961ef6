import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Ring } from "./ring.ts";

describe("Ring", () => {
  it("behaves as an array does", () => {
    const step = fc.oneof(
      fc.record({ push: fc.integer({ min: 1, max: 60 }) }),
      fc.record({ shift: fc.integer({ min: 1, max: 60 }) }),
      fc.constant("clear" as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const ring = new Ring<number>();
        let model: number[] = [];
        let next = 0;
        const same: (readonly [unknown, unknown])[] = [];
        for (const step of steps) {
          if (step === "clear") {
            ring.clear();
            model = [];
          } else if ("push" in step) {
            for (let count = 0; count < step.push; count += 1) {
              ring.push(next);
              model.push(next++);
            }
          } else {
            const shifted = Array.from({ length: step.shift }, () => ring.shift());
            same.push([shifted, Array.from({ length: step.shift }, () => model.shift())]);
          }
          expect(ring.length).toBe(model.length);
          expect([ring.at(0), ring.at(model.length - 1), ring.at(model.length), ring.at(-1)]).toEqual([
            model[0],
            model.at(-1),
            undefined,
            undefined,
          ]);
        }
        for (const [left, right] of same) expect(left).toEqual(right);
        expect(model.map((_, index) => ring.at(index))).toEqual(model);
      }),
    );
  });

  it("keeps order while it shrinks", () => {
    const ring = new Ring<number>();
    for (let count = 0; count < 10_000; count += 1) ring.push(count);
    ring.set(9_999, -1);
    for (let count = 0; count < 9_999; count += 1) expect(ring.shift()).toBe(count);
    expect([ring.length, ring.at(0)]).toEqual([1, -1]);
  });
});
