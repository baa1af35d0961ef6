import { TopicTrie } from "../../internal/topic-trie.ts";
import type { ConsumerRow } from "./direct-file.ts";
import { TopicFilter } from "./topic-filter.ts";

interface Listener {
  readonly id: number;
  readonly filter: TopicFilter;
}

/** A consumer of its own, or those of one group, who take turns. */
class Target {
  readonly listeners: Listener[] = [];
  #turn = 0;

  /** The next that wants the topic and is there. */
  choose(topic: string, there: (id: number) => boolean): number | undefined {
    for (let step = 0; step < this.listeners.length; step += 1) {
      const index = (this.#turn + step) % this.listeners.length;
      const { id, filter } = this.listeners[index]!;
      if (!filter.matches(topic) || !there(id)) continue;
      this.#turn = (index + 1) % this.listeners.length;
      return id;
    }
    return undefined;
  }
}

/** One of each group, and everybody without one, by pattern. */
class Listeners {
  readonly #trie = new TopicTrie<Target>();
  readonly #groups = new Map<string, Target>();

  add(id: number, group: string | null, patterns: readonly string[]): void {
    if (patterns.length === 0) return;
    let target = group === null ? undefined : this.#groups.get(group);
    if (target === undefined) {
      target = new Target();
      if (group !== null) this.#groups.set(group, target);
    }
    target.listeners.push({ id, filter: new TopicFilter(patterns) });
    for (const pattern of patterns) this.#trie.add(pattern, target);
  }

  choose(topic: string, there: (id: number) => boolean): number[] {
    return this.#trie.match(topic).flatMap((target) => target.choose(topic, there) ?? []);
  }
}

/** Who listens to which direct topics and answers which requests, in whatever process. Pure. */
export class DirectRegistry {
  readonly rows: ReadonlyMap<number, ConsumerRow>;
  readonly #addresses = new Map<string, number>();
  readonly #listeners = new Listeners();
  readonly #responders = new Listeners();

  constructor(rows: readonly ConsumerRow[]) {
    this.rows = new Map(rows.map((row) => [row.id, row]));
    for (const { id, grp, address, patterns, answers } of rows) {
      if (address !== null) this.#addresses.set(address, id);
      this.#listeners.add(id, grp, JSON.parse(patterns) as readonly string[]);
      this.#responders.add(id, grp, JSON.parse(answers) as readonly string[]);
    }
  }

  choose(topic: string, request: boolean, there: (id: number) => boolean): number[] {
    return (request ? this.#responders : this.#listeners).choose(topic, there);
  }

  at(address: string): number | undefined {
    return this.#addresses.get(address);
  }
}
