import { overlaps, withoutCovered } from "../../internal/topic-trie.ts";
import type { ConsumerConfig } from "./api-types.ts";

/** Of a consumer; none: it delivers everything. */
export const filtersOf = ({
  filter_subject: one = "",
  filter_subjects: several = [],
}: Pick<ConsumerConfig, "filter_subject" | "filter_subjects">): readonly string[] => (one === "" ? several : [one]);

/**
 * As few filters as possible, none of which shares a topic with another: the narrowest that cover those that overlap. For a
 * server that refuses filters which overlap in part; what is too much is left out by whoever reads it.
 */
export function disjoint(patterns: readonly string[]): readonly string[] {
  let filters = withoutCovered(patterns);
  for (;;) {
    const pair = firstOverlap(filters);
    if (pair === undefined) return filters;
    filters = withoutCovered([...filters, covering(pair[0], pair[1])]);
  }
}

/** The narrowest filter that covers them all. */
export const coverOf = (patterns: readonly string[]): string => patterns.reduce(covering);

function firstOverlap(filters: readonly string[]): readonly [string, string] | undefined {
  for (const [index, left] of filters.entries())
    for (const right of filters.slice(index + 1)) if (overlaps(left, right)) return [left, right];
  return undefined;
}

function covering(left: string, right: string): string {
  const a = left.split(".");
  const b = right.split(".");
  const tokens: string[] = [];
  for (let index = 0; ; index += 1) {
    const one = a[index];
    const two = b[index];
    if (one === undefined && two === undefined) return tokens.join(".");
    if (one === undefined || two === undefined) return [...tokens.slice(0, -1), ">"].join("."); // `>` is one token at least
    if (one === ">" || two === ">") return [...tokens, ">"].join(".");
    tokens.push(one === two ? one : "*");
  }
}
