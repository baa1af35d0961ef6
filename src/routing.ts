import { matchesPattern, overlaps } from "./internal/topic-trie.ts";
import type { Address, GroupSpec } from "./driver.ts";

export interface Route {
  readonly name: string;
  readonly topics: readonly string[];
}

const cacheLimit = 16_384;

/** Which stream captures a topic: of those that match, the one with the most specific pattern. As the broker's table says it. */
export class Routing {
  #routes: readonly { readonly stream: string; readonly pattern: string }[] = [];
  readonly #cache = new Map<string, Address>();
  #text = "";

  update(streams: readonly Route[]): void {
    this.#routes = streams
      .flatMap(({ name, topics }) => topics.map((pattern) => ({ stream: name, pattern })))
      .sort((left, right) => compareSpecificity(left.pattern, right.pattern));
    this.#cache.clear();
    this.#text = textOf(streams);
  }

  /** Whether a table says something else than the last one. */
  differsFrom(streams: readonly Route[]): boolean {
    return this.#text !== textOf(streams);
  }

  get streams(): readonly string[] {
    return [...new Set(this.#routes.map(({ stream }) => stream))];
  }

  /** Where events of this topic go; undefined when no stream captures it. The object is shared. */
  addressOf(topic: string): Address | undefined {
    const known = this.#cache.get(topic);
    if (known !== undefined) return known;
    const stream = this.#routes.find(({ pattern }) => matchesPattern(pattern, topic))?.stream;
    if (stream === undefined) return undefined;
    if (this.#cache.size >= cacheLimit) this.#cache.clear();
    const address: Address = { kind: "topic", stream, topic };
    this.#cache.set(topic, address);
    return address;
  }

  /** Every stream that a pattern overlaps, with the patterns to read from it. */
  reads(patterns: readonly string[]): GroupSpec["reads"] {
    const reads = new Map<string, Set<string>>();
    for (const { stream, pattern } of this.#routes) {
      for (const wanted of patterns) {
        if (!overlaps(pattern, wanted)) continue;
        const set = reads.get(stream) ?? new Set();
        reads.set(stream, set.add(wanted));
      }
    }
    return [...reads]
      .map(([stream, set]) => ({ stream, patterns: [...set].sort() }))
      .sort((left, right) => (left.stream < right.stream ? -1 : 1));
  }
}

const textOf = (streams: readonly Route[]): string =>
  streams
    .map(({ name, topics }) => `${name}: ${topics.toSorted().join(" ")}`)
    .toSorted()
    .join("\n");

/** Negative when `left` is the more specific: token by token, a literal before `*` before `>`; then the longer one. */
export function compareSpecificity(left: string, right: string): number {
  const rank = (token: string | undefined): number =>
    token === undefined ? 3 : token === ">" ? 2 : token === "*" ? 1 : 0;
  const a = left.split(".");
  const b = right.split(".");
  for (let index = 0; index < Math.max(a.length, b.length); index += 1) {
    const difference = rank(a[index]) - rank(b[index]);
    if (difference !== 0) return difference;
  }
  return left < right ? -1 : left > right ? 1 : 0;
}
