import { setTimeout as sleep } from "node:timers/promises";
import { isFull } from "./settings.ts";

/** How long a condition may take. Generous: it costs nothing when the condition comes true. */
const deadlineMs: number = isFull ? 60_000 : 15_000;

/**
 * Resolves when the condition holds; looks again every few milliseconds. Rejects after the deadline with what it waited
 * for: give a function, and the message tells the last state.
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string | (() => string),
  withinMs: number = deadlineMs,
): Promise<void> {
  const from = performance.now();
  while (!(await condition())) {
    if (performance.now() - from > withinMs) {
      throw new Error(`not within ${withinMs} ms: ${typeof what === "string" ? what : what()}`);
    }
    await sleep(2);
  }
}

/**
 * Resolves when a count is that high, within the deadline; with full parameters, which are large, the deadline is that of the
 * next step, so that a busy machine is not taken for a stop.
 */
export async function reached(count: () => number, wanted: number, what: string | (() => string)): Promise<void> {
  if (!isFull) return until(() => count() >= wanted, what);
  for (let before = count(); before < wanted; before = count()) await until(() => count() > before, what);
}

/** Watches a count for a while, and rejects when it moves: what must not happen did not happen. */
export async function silence(count: () => number, what: string | (() => string), ms: number): Promise<void> {
  const before = count();
  const from = performance.now();
  do {
    await sleep(Math.min(5, ms));
    if (count() !== before) throw new Error(`${typeof what === "string" ? what : what()}: ${before}, then ${count()}`);
  } while (performance.now() - from < ms);
}

/** Resolves when a count has not moved for a while; rejects after the deadline when it always does. */
export async function quiet(
  count: () => number,
  what: string,
  ms: number,
  withinMs: number = deadlineMs,
): Promise<void> {
  const from = performance.now();
  let [last, since] = [count(), from];
  while (performance.now() - since < ms) {
    await sleep(Math.min(5, ms));
    const now = performance.now();
    if (count() !== last) [last, since] = [count(), now];
    if (now - from > withinMs) throw new Error(`not within ${withinMs} ms: ${what}, ${last}, to end for ${ms} ms`);
  }
}

/** Resolves as the promise does, or rejects after the deadline: no test hangs without saying on what. */
export async function within<T>(promise: Promise<T>, what: string, withinMs: number = deadlineMs): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${withinMs} ms: ${what}`)), withinMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
