import type { Clock } from "./clock.ts";
import type { ResolvedRetry } from "./normalise.ts";
import { isReject, isRetryAfter } from "./verdict.ts";

export type RetryDecision =
  | { readonly kind: "retry"; readonly delayMs: number }
  | { readonly kind: "dead" }
  | { readonly kind: "drop" };

/** Of a backoff that throws or gives no number. */
const unknownDelayMs = 60_000;
const longestDelayMs = 365 * 24 * 3_600_000;

/**
 * What follows a failed attempt (from 1). `maxAttempts` is the event's own, over the policy's. A delay that is no number, from
 * a backoff of the user's or one that throws, counts as a minute rather than as none: a retry storm is worse than a late retry.
 */
export function decideRetry(
  policy: ResolvedRetry,
  maxAttempts: number | undefined,
  attempt: number,
  error: unknown,
  clock: Pick<Clock, "random">,
): RetryDecision {
  if (isReject(error)) return { kind: "dead" };
  if (attempt >= (maxAttempts ?? policy.maxAttempts))
    return policy.exhausted === "drop" ? { kind: "drop" } : { kind: "dead" };
  const delay = isRetryAfter(error) ? error.delayMs : askedMs(policy.backoff, attempt, error, clock);
  return {
    kind: "retry",
    delayMs: Number.isFinite(delay) ? Math.min(Math.max(delay, 0), longestDelayMs) : unknownDelayMs,
  };
}

function askedMs(
  backoff: ResolvedRetry["backoff"],
  attempt: number,
  error: unknown,
  clock: Pick<Clock, "random">,
): number {
  try {
    return backoffMs(backoff, attempt, error, clock);
  } catch {
    return Number.NaN; // the user's own function
  }
}

/** The wait after attempt number `attempt`: exponential, capped, and a random part of it taken off by the jitter. */
export function backoffMs(
  backoff: ResolvedRetry["backoff"],
  attempt: number,
  error: unknown,
  clock: Pick<Clock, "random">,
): number {
  if (typeof backoff === "function") return backoff(attempt, error);
  const whole = backoff.baseMs === 0 ? 0 : Math.min(backoff.baseMs * backoff.factor ** (attempt - 1), backoff.maxMs);
  return whole * (1 - backoff.jitter * clock.random());
}
