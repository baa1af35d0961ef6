import { covers, matchesPattern, overlaps, withoutCovered } from "../../internal/topic-trie.ts";

/**
 * What a listener without a group subscribes to next, the oldest first. The server sends it a copy for each subscription that
 * matches, and the copy of the oldest one counts. So one that is no longer wanted stays while a younger one overlaps it: a
 * message whose copies come around its end would count twice or not at all. Pure.
 */
export function nextSubjects(current: readonly string[], wanted: readonly string[]): readonly string[] {
  const missing = withoutCovered(wanted).filter((pattern) => !current.some((each) => covers(each, pattern)));
  const kept: string[] = [];
  for (let index = current.length - 1; index >= 0; index -= 1) {
    const pattern = current[index]!;
    const younger = [...kept, ...missing];
    const others = [...current.slice(0, index), ...younger];
    const serves = wanted.some((each) => covers(pattern, each) && !others.some((other) => covers(other, each)));
    if (serves || younger.some((each) => overlaps(each, pattern))) kept.unshift(pattern);
  }
  return [...kept, ...missing];
}

/** Whether the subscription at `index` is the one whose copy of the topic counts. */
export function isOldest(patterns: readonly string[], index: number, topic: string): boolean {
  for (let older = 0; older < index; older += 1) if (matchesPattern(patterns[older]!, topic)) return false;
  return true;
}
