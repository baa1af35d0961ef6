import { TopicTrie } from "../topic-trie.ts";

export interface ListenerRow {
  readonly id: number;
  readonly grp: string | null;
  readonly address: string | null;
  /** As JSON. */
  readonly patterns: string;
  /** Patterns of the requests that it answers, as JSON. */
  readonly answers: string;
}

interface Listener {
  readonly id: number;
  readonly wanted: TopicTrie<true>;
}

/** A consumer of its own, or those of one group, who take turns. */
class Target {
  readonly listeners: Listener[] = [];
  #turn = 0;

  /** The next that wants the topic and is there. */
  choose(topic: string, there: (id: number) => boolean): number | undefined {
    for (let step = 0; step < this.listeners.length; step += 1) {
      const index = (this.#turn + step) % this.listeners.length;
      const { id, wanted } = this.listeners[index]!;
      if (wanted.match(topic).length === 0 || !there(id)) continue;
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
    const wanted = new TopicTrie<true>();
    target.listeners.push({ id, wanted });
    for (const pattern of patterns) {
      wanted.add(pattern, true);
      this.#trie.add(pattern, target);
    }
  }

  choose(topic: string, there: (id: number) => boolean): number[] {
    return this.#trie.match(topic).flatMap((target) => target.choose(topic, there) ?? []);
  }
}

/** Who listens to which direct topics and answers which requests, in whatever process. Pure. */
export class DirectRegistry<Row extends ListenerRow> {
  readonly rows: ReadonlyMap<number, Row>;
  readonly #addresses = new Map<string, number>();
  readonly #listeners = new Listeners();
  readonly #responders = new Listeners();

  constructor(rows: readonly Row[]) {
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
