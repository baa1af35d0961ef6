import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addOwner, timesOf, type HandedOut } from "./handed-out.ts";
import { decodeSequences, encodeSequences } from "./sequence-set.ts";

const ascending = fc
  .array(fc.integer({ min: 1, max: 2 ** 45 }), { maxLength: 60 })
  .map((list) => [...new Set(list)].toSorted((a, b) => a - b));

describe("a set of sequence numbers", () => {
  it("comes back as it was written, whatever the gaps", () => {
    fc.assert(
      fc.property(ascending, fc.integer({ min: 0, max: 2 ** 40 }), (gaps, base) => {
        const sequences = gaps.map((gap) => base + gap);
        expect([...decodeSequences(base, encodeSequences(base, sequences))]).toEqual(sequences);
      }),
    );
  });

  it("is nothing when it is empty, and a byte a number where they are close", () => {
    expect(encodeSequences(7, [])).toBeNull();
    expect(decodeSequences(7, null).size).toBe(0);
    expect(encodeSequences(7, [8, 24, 40])).toHaveLength(3);
  });
});

describe("how often what former owners left was handed out", () => {
  it("counts each owner that handed a message out", () => {
    let counts: HandedOut = addOwner([], 100, 0);
    counts = addOwner(counts, 50, 0);
    expect([1, 50, 51, 100, 101].map((seq) => timesOf(counts, seq))).toEqual([2, 2, 1, 1, 0]);
    counts = addOwner(counts, 200, 60);
    expect([61, 100, 101, 200, 201].map((seq) => timesOf(counts, seq))).toEqual([2, 2, 1, 1, 0]);
  });

  it("agrees with a count of every message", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 8 }), (outs) => {
        let counts: HandedOut = [];
        for (const out of outs) counts = addOwner(counts, out, 0);
        for (let seq = 1; seq <= 31; seq += 1)
          expect(timesOf(counts, seq)).toBe(outs.filter((out) => seq <= out).length);
      }),
    );
  });
});
