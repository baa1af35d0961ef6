const shortestMs = 8_000;
const factor = 4;
const count = 10;

/** How long each tier of delays keeps what is in it; the first one keeps a record until it is due, which is less than the second's time. */
export const tierMs: readonly number[] = [
  0,
  ...Array.from({ length: count - 1 }, (_, at) => shortestMs * factor ** at),
];

/** The tier for what is due in so many milliseconds: the longest that is not longer, so that nothing comes late by waiting in it. */
export function tierFor(restMs: number): number {
  let tier = 0;
  while (tier + 1 < tierMs.length && (tierMs[tier + 1] ?? 0) <= restMs) tier += 1;
  return tier;
}
