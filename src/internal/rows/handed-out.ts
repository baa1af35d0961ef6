/**
 * How often each message of a partition was handed out by former owners: `[upTo, times]`, ascending, each for what is above the
 * one before it.
 */
export type HandedOut = readonly (readonly [upTo: number, times: number])[];

/** One more owner died, having handed out everything up to `out`. */
export function addOwner(counts: HandedOut, out: number, settled: number): HandedOut {
  const bounds = [...new Set([...counts.map(([upTo]) => upTo), out])].filter((bound) => bound > settled);
  return bounds
    .toSorted((a, b) => a - b)
    .map((bound) => [bound, timesOf(counts, bound) + (bound <= out ? 1 : 0)] as const)
    .filter(([, times]) => times > 0);
}

export function timesOf(counts: HandedOut, seq: number): number {
  for (const [upTo, times] of counts) if (seq <= upTo) return times;
  return 0;
}
