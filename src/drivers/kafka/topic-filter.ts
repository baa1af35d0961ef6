import { TopicTrie } from "../../internal/topic-trie.ts";

/** Whether a topic is wanted. Remembers the last one asked for, since neighbours in a log are often alike. */
export class TopicFilter {
  readonly #trie = new TopicTrie<true>();
  readonly all: boolean;
  #last = "";
  #wanted = false;

  constructor(patterns: readonly string[]) {
    for (const pattern of patterns) this.#trie.add(pattern, true);
    this.all = patterns.includes(">");
  }

  matches(topic: string): boolean {
    if (this.all) return true;
    if (topic === this.#last) return this.#wanted;
    this.#last = topic;
    this.#wanted = this.#trie.match(topic).length > 0;
    return this.#wanted;
  }
}
