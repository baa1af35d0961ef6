/** Queues for 2^0 to 2^21 seconds. */
export const delaySteps = 22;
/** What hops and timers of the server may be late by, without anybody noticing. */
const marginMs = 250;
const longestSeconds = 2 ** delaySteps - 1;

export interface Cut {
  /** A token for each step, from the longest on: `0.1.…`. Undefined: no queue, it goes straight there. */
  readonly bits: string | undefined;
  /** Held by who receives it. More than the margin and a second: it has to be sent round again. */
  readonly holdMs: number;
}

/** Whole seconds wait in the server's queues, the rest with who receives it: never in sum less than was asked. */
export function cutDelay(delayMs: number): Cut {
  const seconds = Math.min(Math.floor((delayMs - marginMs) / 1_000), longestSeconds);
  if (seconds < 1) return { bits: undefined, holdMs: Math.max(delayMs, 0) };
  const bits = seconds.toString(2).padStart(delaySteps, "0").split("").join(".");
  return { bits, holdMs: delayMs - seconds * 1_000 };
}
