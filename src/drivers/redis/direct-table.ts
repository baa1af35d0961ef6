import { matchesPattern, TopicTrie } from "../../internal/topic-trie.ts";

/** One consumer of the direct lane, as its process tells it. */
export interface Listener {
  /** Within its process. */
  readonly number: number;
  readonly group: string | undefined;
  readonly patterns: readonly string[];
  /** Of the requests that it answers. */
  readonly answers: readonly string[];
}

export interface Receiver {
  readonly process: string;
  readonly number: number;
}

/** A consumer of its own, or those of one group, who take turns. */
export class Target {
  readonly #members: { readonly receiver: Receiver; readonly patterns: readonly string[] }[] = [];
  #turn: number;

  constructor(turn: number) {
    this.#turn = turn;
  }

  add(receiver: Receiver, patterns: readonly string[]): void {
    this.#members.push({ receiver, patterns });
  }

  /** The next that wants the topic and is not known to be gone. */
  choose(topic: string, gone: ReadonlySet<string>): Receiver | undefined {
    const { length } = this.#members;
    for (let step = 0; step < length; step += 1) {
      const index = (this.#turn + step) % length;
      const { receiver, patterns } = this.#members[index]!;
      if (gone.has(receiver.process) || !patterns.some((pattern) => matchesPattern(pattern, topic))) continue;
      this.#turn = index + 1;
      return receiver;
    }
    return undefined;
  }
}

class Index {
  readonly #trie = new TopicTrie<Target>();
  readonly #groups = new Map<string, Target>();

  add(receiver: Receiver, group: string | undefined, patterns: readonly string[], turn: number): void {
    if (patterns.length === 0) return;
    let target = group === undefined ? undefined : this.#groups.get(group);
    if (target === undefined) {
      target = new Target(turn);
      if (group !== undefined) this.#groups.set(group, target);
    }
    target.add(receiver, patterns);
    for (const pattern of patterns) this.#trie.add(pattern, target);
  }

  match(topic: string): readonly Target[] {
    return this.#trie.match(topic);
  }
}

/** Who listens to what in all processes, at one revision. */
export class DirectTable {
  readonly revision: string;
  readonly #listeners = new Index();
  readonly #responders = new Index();

  /** `turn`: where members begin to take turns, so that a table that changes often does not favour the first. */
  constructor(revision: string, processes: Iterable<readonly [process: string, json: string]>, turn: number) {
    this.revision = revision;
    for (const [process, json] of processes) {
      for (const { number, group, patterns, answers } of decodeListeners(json)) {
        this.#listeners.add({ process, number }, group, patterns, turn);
        this.#responders.add({ process, number }, group, answers, turn);
      }
    }
  }

  /** A request reaches those who answer it, anything else those who listen. */
  match(topic: string, request: boolean): readonly Target[] {
    return (request ? this.#responders : this.#listeners).match(topic);
  }
}

/** "": it listens to nothing. */
export function encodeListeners(listeners: readonly Listener[]): string {
  const wanted = listeners.filter(({ patterns, answers }) => patterns.length + answers.length > 0);
  if (wanted.length === 0) return "";
  return JSON.stringify(
    wanted.map(({ number, group, patterns, answers }) => [number, group ?? null, patterns, answers]),
  );
}

function decodeListeners(json: string): readonly Listener[] {
  try {
    const rows = JSON.parse(json) as [number, string | null, string[], string[]][];
    return rows.map(([number, group, patterns, answers]) => ({ number, group: group ?? undefined, patterns, answers }));
  } catch {
    return []; // another program's
  }
}
