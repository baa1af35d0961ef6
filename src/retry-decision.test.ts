import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ResolvedRetry } from "./normalise.ts";
import { backoffMs, decideRetry } from "./retry-decision.ts";
import { Reject, RetryAfter } from "./verdict.ts";

const chance = (value: number) => ({ random: () => value });
const backoff = { baseMs: 100, factor: 2, maxMs: 1_000, jitter: 0 };
const policy = (more: Partial<ResolvedRetry> = {}): ResolvedRetry => ({
  maxAttempts: 5,
  backoff,
  exhausted: "dead-letter",
  ...more,
});

const anyBackoff = fc.record({
  baseMs: fc.integer({ min: 0, max: 100_000 }),
  factor: fc.double({ min: 1, max: 10, noNaN: true }),
  maxMs: fc.integer({ min: 0, max: 10_000_000 }),
  jitter: fc.double({ min: 0, max: 1, noNaN: true }),
});
const anyChance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe("backoffMs", () => {
  it("stays between what the jitter leaves of the whole, and the whole", () => {
    fc.assert(
      fc.property(anyBackoff, fc.integer({ min: 1, max: 2_000 }), anyChance, (given, attempt, random) => {
        let whole = given.baseMs;
        for (let count = 1; count < attempt && whole < given.maxMs && given.factor > 1; count += 1)
          whole *= given.factor;
        whole = Math.min(whole, given.maxMs);
        const wait = backoffMs(given, attempt, undefined, chance(random));
        expect(wait).toBeLessThanOrEqual(whole * 1.000_001);
        expect(wait).toBeGreaterThanOrEqual(whole * (1 - given.jitter) * 0.999_999);
      }),
      { numRuns: 500 },
    );
  });

  it("is the plain exponential without jitter, and anything down to nothing with full jitter", () => {
    expect([1, 2, 3, 4, 5].map((attempt) => backoffMs(backoff, attempt, undefined, chance(0.99)))).toEqual([
      100, 200, 400, 800, 1_000,
    ]);
    expect(backoffMs({ ...backoff, jitter: 1 }, 1, undefined, chance(0))).toBe(100);
    expect(backoffMs({ ...backoff, jitter: 1 }, 1, undefined, chance(0.999))).toBeCloseTo(0.1);
  });

  it("keeps a wait of nothing at nothing, however many attempts there were", () => {
    expect(backoffMs({ ...backoff, baseMs: 0 }, 5_000, undefined, chance(0))).toBe(0);
  });

  it("asks a function with the attempt that failed and its error", () => {
    const error = new Error("x");
    const asked: unknown[] = [];
    const wait = backoffMs((attempt, why) => asked.push(attempt, why) * 10, 3, error, chance(0));
    expect(asked).toEqual([3, error]);
    expect(wait).toBe(20);
  });
});

describe("decideRetry", () => {
  it("retries below the limit, then does what `exhausted` says", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 60 }),
        fc.option(fc.integer({ min: 1, max: 50 }), { nil: undefined }),
        fc.constantFrom("dead-letter" as const, "drop" as const),
        (maxAttempts, attempt, own, exhausted) => {
          const { kind } = decideRetry(policy({ maxAttempts, exhausted }), own, attempt, new Error("x"), chance(0));
          expect(kind).toBe(attempt < (own ?? maxAttempts) ? "retry" : exhausted === "drop" ? "drop" : "dead");
        },
      ),
      { numRuns: 300 },
    );
  });

  it("never gives a wait that no timer can carry", () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        for (const decision of [
          decideRetry(policy({ backoff: () => value as number }), undefined, 1, new Error("x"), chance(0)),
          decideRetry(
            policy(),
            undefined,
            1,
            Object.assign(new RetryAfter(0), { delayMs: value as number }),
            chance(0),
          ),
        ]) {
          expect(decision.kind).toBe("retry");
          if (decision.kind !== "retry") return;
          expect(decision.delayMs).toBeGreaterThanOrEqual(0);
          expect(decision.delayMs).toBeLessThanOrEqual(365 * 24 * 3_600_000);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("waits long, not at all, when a backoff of the user's makes no sense", () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, undefined, "soon"]) {
      const decision = decideRetry(policy({ backoff: () => value as number }), undefined, 1, new Error("x"), chance(0));
      expect(decision).toEqual({ kind: "retry", delayMs: 60_000 });
    }
  });

  it("waits long when a backoff of the user's throws", () => {
    const throwing = (): number => {
      throw new Error("the backoff itself");
    };
    expect(decideRetry(policy({ backoff: throwing }), undefined, 1, new Error("x"), chance(0))).toEqual({
      kind: "retry",
      delayMs: 60_000,
    });
  });

  it("skips the retries of a Reject, of another copy of the package too", () => {
    const foreign = Object.assign(new Error("no"), { [Symbol.for("omnibus.reject")]: true });
    expect(decideRetry(policy({ exhausted: "drop" }), undefined, 1, new Reject("no"), chance(0))).toEqual({
      kind: "dead",
    });
    expect(decideRetry(policy(), undefined, 1, foreign, chance(0))).toEqual({ kind: "dead" });
  });

  it("takes the wait of a RetryAfter, but counts it as an attempt", () => {
    expect(decideRetry(policy(), undefined, 4, new RetryAfter(7), chance(0))).toEqual({ kind: "retry", delayMs: 7 });
    expect(decideRetry(policy(), undefined, 5, new RetryAfter(7), chance(0))).toEqual({ kind: "dead" });
  });
});
