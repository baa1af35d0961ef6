import type { Clock } from "../../clock.ts";
import type { Metadata } from "./client.ts";
import type { Host } from "./link.ts";

const freshMs = 300_000;
const pauseMs = 100;
const unknownTopic = 3;

export interface TopicPlace {
  readonly id: string;
  readonly partitions: number;
}

/**
 * Who leads which partition, as far as was asked. One question at a time: who asks meanwhile waits for the next one, because the
 * one that is under way may have been answered before he found out.
 */
export class Topology {
  readonly #ask: (topics: readonly string[]) => Promise<Metadata>;
  readonly #clock: Clock;
  readonly #topics = new Map<string, { place: TopicPlace; leaders: readonly number[] } | undefined>();
  readonly #missing = new Set<string>();
  #hosts = new Map<number, Host>();
  #askedAt = Number.NEGATIVE_INFINITY;
  /** Something is wanted that was not asked for yet. */
  #hasNew = false;
  #underWay: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(ask: (topics: readonly string[]) => Promise<Metadata>, clock: Clock) {
    this.#ask = ask;
    this.#clock = clock;
  }

  /** From now on it is asked for. */
  watch(topic: string): void {
    if (this.#topics.has(topic)) return;
    this.#topics.set(topic, undefined);
    this.#hasNew = true;
  }

  /** It was deleted, or another one may have its name. */
  forget(topic: string): void {
    if (this.#topics.has(topic)) this.#topics.set(topic, undefined);
    this.#hasNew = true;
  }

  get isStale(): boolean {
    return this.#clock.ticks() - this.#askedAt > freshMs;
  }

  /** Undefined: not known, or not there. */
  place(topic: string): TopicPlace | undefined {
    return this.#topics.get(topic)?.place;
  }

  /** The brokers say that there is none. */
  isMissing(topic: string): boolean {
    return this.#missing.has(topic);
  }

  /** Undefined: nobody, as far as is known. */
  leader(topic: string, partition: number): Host | undefined {
    const id = this.#topics.get(topic)?.leaders[partition];
    return id === undefined ? undefined : this.#hosts.get(id);
  }

  /** Asks for all that is watched; rejects when no broker answers. */
  refresh(): Promise<void> {
    if (this.#underWay !== undefined) {
      return (this.#next ??= this.#underWay
        .catch(() => undefined)
        .then(() => {
          this.#next = undefined;
          return this.refresh();
        }));
    }
    return (this.#underWay = this.#refresh().finally(() => {
      this.#underWay = undefined;
    }));
  }

  async #refresh(): Promise<void> {
    const since = this.#clock.ticks() - this.#askedAt;
    if (since < pauseMs && !this.#hasNew)
      await new Promise<void>((resolve) => void this.#clock.after(pauseMs - since, resolve));
    this.#askedAt = this.#clock.ticks();
    this.#hasNew = false;
    const { brokers, topics } = await this.#ask([...this.#topics.keys()]);
    this.#hosts = new Map(brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]));
    for (const { name, topicId, partitions, errorCode } of topics) {
      if (name === null) continue;
      if (errorCode === unknownTopic) this.#missing.add(name);
      else this.#missing.delete(name);
      const leaders: number[] = [];
      for (const { partitionIndex, leaderId } of partitions) leaders[partitionIndex] = leaderId;
      this.#topics.set(
        name,
        errorCode === 0 ? { place: { id: topicId, partitions: partitions.length }, leaders } : undefined,
      );
    }
  }
}
