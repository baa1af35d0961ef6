import { TopicTrie } from "../../internal/topic-trie.ts";
import type { DirectConsumer } from "./direct-consumer.ts";
import { TopicFilter } from "./topic-filter.ts";

interface Listener {
  readonly consumer: DirectConsumer;
  readonly filter: TopicFilter;
  patterns: readonly string[];
}

/** Whom a direct message goes to: a consumer of its own, or one of a group. */
class Target {
  readonly listeners: Listener[] = [];
  #next = 0;

  /** The next in turn that wants the topic. */
  take(topic: string): DirectConsumer | undefined {
    for (let step = 0; step < this.listeners.length; step += 1) {
      const index = (this.#next + step) % this.listeners.length;
      const listener = this.listeners[index]!;
      if (!listener.filter.matches(topic)) continue;
      this.#next = (index + 1) % this.listeners.length;
      return listener.consumer;
    }
    return undefined;
  }

  get patterns(): ReadonlySet<string> {
    return new Set(this.listeners.flatMap((listener) => listener.patterns));
  }
}

/** Which consumers of the direct lane want what: each of those without a group, and one of each group in turn. */
export class DirectIndex {
  readonly #trie = new TopicTrie<Target>();
  readonly #targets = new Map<DirectConsumer | string, Target>();

  /** Takes the place of what it wanted before. */
  set(consumer: DirectConsumer, patterns: readonly string[]): void {
    const key = consumer.group ?? consumer;
    let target = this.#targets.get(key);
    if (target === undefined) this.#targets.set(key, (target = new Target()));
    const before = target.patterns;
    const listener = target.listeners.find((other) => other.consumer === consumer);
    if (listener === undefined) target.listeners.push({ consumer, filter: new TopicFilter(patterns), patterns });
    else {
      listener.patterns = patterns;
      listener.filter.replace(patterns);
    }
    this.#change(target, before);
  }

  delete(consumer: DirectConsumer): void {
    const key = consumer.group ?? consumer;
    const target = this.#targets.get(key);
    const index = target?.listeners.findIndex((listener) => listener.consumer === consumer) ?? -1;
    if (target === undefined || index < 0) return;
    const before = target.patterns;
    target.listeners.splice(index, 1);
    if (target.listeners.length === 0) this.#targets.delete(key);
    this.#change(target, before);
  }

  *match(topic: string): Generator<DirectConsumer> {
    for (const target of this.#trie.match(topic)) {
      const consumer = target.take(topic);
      if (consumer !== undefined) yield consumer;
    }
  }

  /** One of a group. */
  matchGroup(group: string, topic: string): DirectConsumer | undefined {
    return this.#targets.get(group)?.take(topic);
  }

  #change(target: Target, before: ReadonlySet<string>): void {
    const after = target.patterns;
    for (const pattern of before) if (!after.has(pattern)) this.#trie.remove(pattern, target);
    for (const pattern of after) if (!before.has(pattern)) this.#trie.add(pattern, target);
  }
}
