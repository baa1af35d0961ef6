import type { Feed, FeedSource } from "./feed.ts";

/** `stream/3`, as its messages have it. */
export const labelOf = ({ label, partition }: FeedSource): string => `${label}/${partition ?? 0}`;

/** Nothing of it can be running: what is out waits for its next attempt, or behind such a one of its key. */
export function isIdle({ given }: Pick<Feed, "given">, soon: number): boolean {
  const waiting = new Set<string>();
  for (const { key, notBefore } of given) {
    if (notBefore !== undefined && notBefore > soon) {
      if (key !== undefined) waiting.add(key);
    } else if (key === undefined || !waiting.has(key)) return false;
  }
  return true;
}
