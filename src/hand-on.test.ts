import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decideHandOn } from "./hand-on.ts";

const now = Date.UTC(2026, 0, 1);
const forged = fc.oneof(
  fc.constant(undefined),
  fc.string(),
  fc.constantFrom("NaN", "-1", "1e309", "Infinity", "-Infinity", "0x10", "1.5", "9007199254740993", " 3 ", "null"),
  fc.integer().map(String),
);

describe("decideHandOn", () => {
  it("hands on with waits that grow with the time, and ends within the time it was given", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3_600_000 }), (handOnMs) => {
        let at = now;
        let hops: string | undefined;
        let since: string | undefined;
        let last = 0;
        for (let count = 0; ; count += 1) {
          expect(count).toBeLessThan(200);
          const decision = decideHandOn(hops, since, at, handOnMs);
          if (decision.kind === "dead") break;
          expect(decision).toMatchObject({ hops: count + 1, since: now });
          expect(decision.delayMs).toBeGreaterThan(0);
          const naive = Math.min(Math.max(at - now, 100), 30_000);
          expect(decision.delayMs).toBe(Math.min(naive, Math.max(now + handOnMs - at, 1)));
          last = decision.delayMs;
          at += decision.delayMs;
          hops = String(decision.hops);
          since = String(decision.since);
        }
        expect(at - now).toBeGreaterThanOrEqual(handOnMs);
        expect(at - now).toBeLessThanOrEqual(handOnMs + last);
      }),
      { numRuns: 100 },
    );
  });

  it("survives forged headers: a sane wait, a sane count, a start that is not in the future", () => {
    fc.assert(
      fc.property(forged, forged, fc.integer({ min: 1, max: 3_600_000 }), (hops, since, handOnMs) => {
        const decision = decideHandOn(hops, since, now, handOnMs);
        if (decision.kind === "dead") {
          expect(Number(since)).toBeGreaterThan(0);
          expect(Number(since)).toBeLessThanOrEqual(now - handOnMs);
          return;
        }
        expect(decision.delayMs).toBeGreaterThan(0);
        expect(decision.delayMs).toBeLessThanOrEqual(30_000);
        expect(Number.isSafeInteger(decision.hops) && decision.hops >= 1).toBe(true);
        expect(decision.since > now - handOnMs && decision.since <= now).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it("gives up at once when it was given no time", () => {
    expect(decideHandOn(undefined, undefined, now, 0)).toEqual({ kind: "dead" });
  });
});
