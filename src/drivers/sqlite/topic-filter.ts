import { TopicTrie } from "../../internal/topic-trie.ts";

/** Above this many patterns the database is not asked; all rows are read and matched here. */
const mostGlobs = 8;

/** Patterns as a test on topics, and as a coarser one that the database can make (its `*` spans dots). */
export class TopicFilter {
  readonly patterns: readonly string[];
  readonly all: boolean;
  /** Undefined: every row has to be looked at. */
  readonly globs: readonly string[] | undefined;
  readonly #trie = new TopicTrie<true>();

  constructor(patterns: readonly string[]) {
    this.patterns = patterns;
    this.all = patterns.includes(">");
    for (const pattern of patterns) this.#trie.add(pattern, true);
    this.globs = this.all || patterns.length > mostGlobs ? undefined : patterns.map(globOf);
  }

  matches(topic: string): boolean {
    return this.all || this.#trie.match(topic).length > 0;
  }
}

function globOf(pattern: string): string {
  const escaped = pattern.replaceAll(/[[?]/g, "[$&]");
  return escaped.endsWith(".>") ? `${escaped.slice(0, -1)}*` : escaped;
}
