import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { before, compareIds, idOfTime, timeOfId } from "./id.ts";

const last = 2n ** 64n - 1n;
const ids = fc.tuple(fc.nat({ max: 2 ** 41 }), fc.bigInt({ min: 0n, max: last }));
const text = ([ms, sequence]: readonly [number, bigint]): string => `${ms}-${sequence}`;
const numberOf = (id: string): bigint => {
  const [ms, sequence] = id.split("-");
  return BigInt(ms!) * (last + 1n) + BigInt(sequence!);
};

describe("ids", () => {
  it("compare as two numbers", () => {
    fc.assert(
      fc.property(ids, ids, (one, two) => {
        const wanted = numberOf(text(one)) - numberOf(text(two));
        expect(Math.sign(compareIds(text(one), text(two)))).toBe(wanted < 0n ? -1 : wanted > 0n ? 1 : 0);
      }),
    );
  });

  it("have the one just before them", () => {
    fc.assert(
      fc.property(ids, (id) => {
        fc.pre(numberOf(text(id)) > 0n);
        expect(numberOf(before(text(id)))).toBe(numberOf(text(id)) - 1n);
      }),
    );
    expect(before("0-0")).toBe("0-0");
  });

  it("of a time come just before everything of it", () => {
    expect(idOfTime(1_000)).toBe(`999-${last}`);
    expect(idOfTime(0)).toBe("0-0");
    expect(idOfTime(-5)).toBe("0-0");
    expect(timeOfId("1763750000123-7")).toBe(1_763_750_000_123);
  });
});
