export type HandOn =
  | { readonly kind: "release"; readonly delayMs: number; readonly hops: number; readonly since: number }
  | { readonly kind: "dead" };

/** As long as it has waited already, from 100 ms to 30 s. By time and not by hops, which members that never saw it add too. */
const delayOf = (waitedMs: number): number => Math.min(Math.max(waitedMs, 100), 30_000);

/**
 * An event of the group that no handler here can take is passed to another member, for `handOnMs` since it was first passed
 * on; then it is a dead letter. Forged or broken counts (not a number, in the future) start afresh.
 */
export function decideHandOn(
  hops: string | undefined,
  since: string | undefined,
  now: number,
  handOnMs: number,
): HandOn {
  const count = Number(hops ?? 0);
  const first = Number(since ?? now);
  const started = Number.isFinite(first) && first <= now && first > 0 ? first : now;
  if (now - started >= handOnMs) return { kind: "dead" };
  const done = Number.isSafeInteger(count) && count >= 0 ? count : 0;
  return {
    kind: "release",
    delayMs: Math.min(delayOf(now - started), Math.max(handOnMs - (now - started), 1)),
    hops: done + 1,
    since: started,
  };
}
