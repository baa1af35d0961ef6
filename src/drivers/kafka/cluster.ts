import type { Clock } from "../../clock.ts";
import type { ClientModule, KafkaApi, ListOffsetsAnswer, Metadata, NewTopic } from "./client.ts";
import { apiIdOf, classify, NoAnswer } from "./errors.ts";
import type { Host, Link } from "./link.ts";
import { Links } from "./links.ts";
import { Topology } from "./topology.ts";

type Asked<Args extends readonly unknown[], Answer> = { readonly api: KafkaApi<Args, Answer> };

const pauseMs = 50;
/** As long as a leader may be moving, however short a request may take. */
const leastMs = 5_000;
/** A controller that is busy makes topics slowly. */
const slowMs = 20_000;
export const oldest = -2;
export const newest = -1;

export interface ClusterOptions {
  readonly module: ClientModule;
  readonly clock: Clock;
  readonly open: (host: Host, signal: AbortSignal) => Promise<Link>;
  readonly bootstrap: readonly Host[];
  readonly requestTimeoutMs: number;
}

export interface OffsetsAsked {
  readonly topic: string;
  readonly partition: number;
  /** Ms since the epoch, `oldest` or `newest`. */
  readonly at: number;
}

/** The brokers, whichever of them has the answer: asked again while leaders move and connections are made anew. */
export class Cluster {
  readonly module: ClientModule;
  readonly clock: Clock;
  readonly topology: Topology;
  readonly requestTimeoutMs: number;
  readonly #options: ClusterOptions;
  readonly #any: Links;
  /** For what a broker takes long over: it answers the requests of a connection one after another. */
  readonly #slow: Links;
  readonly #offsets: Links;
  readonly #duties: Links[] = [];
  #hosts: readonly Host[];
  #turn = 0;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.module = options.module;
    this.clock = options.clock;
    this.requestTimeoutMs = options.requestTimeoutMs;
    this.#hosts = options.bootstrap;
    this.#any = this.links();
    this.#slow = this.links();
    this.#offsets = this.links();
    this.topology = new Topology((topics) => this.metadata(topics), options.clock);
  }

  /** Connections of a duty of their own, closed with all others. */
  links(): Links {
    const open = async (host: Host, signal: AbortSignal): Promise<Link> => {
      try {
        return await this.#options.open(host, signal);
      } catch (error) {
        this.#turn += 1; // who sent us there may not have heard yet that it is away: another one is asked next
        throw error;
      }
    };
    const links = new Links(open, this.clock);
    this.#duties.push(links);
    return links;
  }

  /** No more of them are wanted. */
  drop(links: Links): void {
    const at = this.#duties.indexOf(links);
    if (at >= 0) this.#duties.splice(at, 1);
    links.destroy();
  }

  /** To whichever broker answers. */
  async any(links: Links = this.#any): Promise<Link> {
    const [hosts, from] = [this.#hosts, this.#turn];
    let last: unknown;
    for (let turn = from; turn < from + hosts.length; turn += 1) {
      try {
        const link = await links.to(hosts[turn % hosts.length]!);
        if (turn > from) this.#turn = turn;
        return link;
      } catch (error) {
        last = error;
      }
    }
    throw last;
  }

  /** Of any broker. One item in error makes an error of the whole, which `partly` takes for the answer that it has with it. */
  async ask<Args extends readonly unknown[], Answer>(message: Asked<Args, Answer>, args: Args): Promise<Answer> {
    return await this.retried(async () => await (await this.any()).ask(message, args, this.requestTimeoutMs));
  }

  async metadata(topics: readonly string[]): Promise<Metadata> {
    const link = await this.any();
    const answer = await partly(link.ask(this.module.metadataV12, [topics, false, false], this.requestTimeoutMs));
    if (answer.brokers.length > 0) this.#hosts = answer.brokers.map(({ host, port }) => ({ host, port }));
    return answer;
  }

  /** As long as what is wrong passes by waiting, and no longer than a request may take. */
  async retried<Value>(
    work: () => Promise<Value>,
    withinMs: number = Math.max(leastMs, this.requestTimeoutMs),
  ): Promise<Value> {
    const until = this.clock.ticks() + withinMs;
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!passes(error) || this.clock.ticks() + pauseMs > until) throw error;
        await this.pause(pauseMs);
      }
    }
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.clock.after(ms, resolve));
  }

  /** Where these are, in the order of the question; a time behind all records is the end. */
  async offsets(asked: readonly OffsetsAsked[]): Promise<readonly number[]> {
    const ends = new Map<string, number>();
    const found = new Map<string, number>();
    const timed = asked.filter(({ at }) => at >= 0).map((each) => ({ ...each, at: newest }));
    // first: what is stored between the questions is behind that end, and newer than the time
    if (timed.length > 0) await this.#offsetsInto(timed, ends);
    await this.#offsetsInto(asked, found);
    return asked.map((each) => {
      const offset = found.get(keyOf(each)) ?? -1;
      return offset >= 0 ? offset : (ends.get(keyOf({ ...each, at: newest })) ?? 0);
    });
  }

  /** A request may have a partition once. */
  async #offsetsInto(asked: readonly OffsetsAsked[], found: Map<string, number>): Promise<void> {
    const layers: Map<string, OffsetsAsked>[] = [];
    for (const each of asked) {
      const place = `${each.topic}:${each.partition}`;
      const layer = layers.find((one) => one.get(place)?.at === each.at || !one.has(place));
      if (layer === undefined) layers.push(new Map([[place, each]]));
      else layer.set(place, each);
    }
    await Promise.all(layers.map((layer) => this.#layerInto([...layer.values()], found)));
  }

  async #layerInto(asked: readonly OffsetsAsked[], found: Map<string, number>): Promise<void> {
    await this.retried(async () => {
      await this.#byLeader(
        asked.filter((each) => !found.has(keyOf(each))),
        async (host, ours) => {
          const topics = byTopic(ours, ({ partition, at }) => ({
            partitionIndex: partition,
            currentLeaderEpoch: -1,
            timestamp: BigInt(Math.floor(at)),
          }));
          const link = await this.#offsets.to(host);
          const answer = await partly<ListOffsetsAnswer>(
            link.ask(this.module.listOffsetsV9, [-1, 0, topics], this.requestTimeoutMs),
          );
          const codes = new Map<string, number>();
          for (const { name, partitions } of answer.topics)
            for (const { partitionIndex, errorCode, offset } of partitions)
              codes.set(`${name}:${partitionIndex}`, errorCode === 0 ? Number(offset) : Number.NaN);
          for (const each of ours) {
            const offset = codes.get(`${each.topic}:${each.partition}`);
            if (offset !== undefined && !Number.isNaN(offset)) found.set(keyOf(each), offset);
          }
        },
      );
      if (asked.some((each) => !found.has(keyOf(each)))) {
        await this.topology.refresh();
        throw new NoAnswer("nobody leads a partition", false);
      }
    });
  }

  /** As much of a topic's id as is kept: of one that was made again under its name it is another. */
  async topicId(topic: string): Promise<string> {
    return await this.retried(async () => {
      const id = await this.topicIdNow(topic);
      if (id === undefined) throw new NoAnswer(`there is no topic ${topic}, or nobody leads it`, false);
      return id;
    });
  }

  /** The same; undefined: there is none now, as far as is known. */
  async topicIdNow(topic: string): Promise<string | undefined> {
    this.topology.watch(topic);
    if (this.topology.place(topic) === undefined) await this.topology.refresh();
    return this.topology.place(topic)?.id.slice(0, 8);
  }

  /** The same; empty: the brokers say that there is none, and nobody makes it. */
  async topicIdIfAny(topic: string): Promise<string> {
    return await this.topicId(topic).catch((error: unknown) => {
      if (!this.topology.isMissing(topic)) throw error;
      return "";
    });
  }

  /** What is below these offsets goes. */
  async deleteRecords(
    below: readonly { readonly topic: string; readonly partition: number; readonly offset: number }[],
  ): Promise<void> {
    await this.retried(() =>
      this.#byLeader(below, async (host, ours) => {
        const topics = byTopic(ours, ({ partition, offset }) => ({
          partitionIndex: partition,
          offset: BigInt(offset),
        }));
        const link = await this.#offsets.to(host);
        await link.ask(this.module.deleteRecordsV2, [topics, this.requestTimeoutMs], this.requestTimeoutMs);
      }),
    );
  }

  async #byLeader<Item extends { readonly topic: string; readonly partition: number }>(
    items: readonly Item[],
    work: (host: Host, ours: readonly Item[]) => Promise<void>,
  ): Promise<void> {
    const { topology } = this;
    for (const { topic } of items) topology.watch(topic);
    if (items.some(({ topic, partition }) => topology.leader(topic, partition) === undefined)) await topology.refresh();
    const leaders = new Map<Host, Item[]>();
    for (const item of items) {
      const host = topology.leader(item.topic, item.partition);
      if (host === undefined) continue;
      const ours = leaders.get(host);
      if (ours === undefined) leaders.set(host, [item]);
      else ours.push(item);
    }
    if (leaders.size === 0 && items.length > 0) throw new NoAnswer(`nobody leads ${items[0]!.topic}`, false);
    await Promise.all([...leaders].map(([host, ours]) => work(host, ours)));
  }

  /** One that is there already is as good. Resolves when each partition has a leader. */
  async createTopics(topics: readonly NewTopic[]): Promise<void> {
    const { module, requestTimeoutMs, topology } = this;
    const wanted = new Map(topics.map((each) => [each.name, each]));
    await this.retried(async () => {
      const link = await this.any(this.#slow);
      const asked = [...wanted.values()];
      if (asked.length === 0) return;
      let failure: unknown;
      const answer = await link
        .ask(module.createTopicsV7, [asked, slowMs, false], slowMs + requestTimeoutMs)
        .catch((error: unknown) => {
          const { response } = error as { readonly response?: { readonly topics: readonly CreatedTopic[] } };
          if (response === undefined) throw error;
          failure = error;
          return response;
        });
      for (const { name, errorCode } of answer.topics)
        if (errorCode === 0 || errorCode === alreadyExists) wanted.delete(name);
      if (wanted.size > 0) throw failure;
    }, slowMs);
    for (const { name } of topics) {
      topology.watch(name);
      if (topology.place(name) === undefined) topology.forget(name); // it is asked for at once
    }
    await this.retried(async () => {
      if (topics.every(({ name, numPartitions }) => this.#isLed(name, numPartitions))) return;
      await topology.refresh();
      if (!topics.every(({ name, numPartitions }) => this.#isLed(name, numPartitions)))
        throw new NoAnswer("a new topic has no leader yet", false);
    }, slowMs);
  }

  /** One that was there already may have fewer partitions than were asked for. */
  #isLed(topic: string, partitions: number): boolean {
    const all = Math.min(partitions, this.topology.place(topic)?.partitions ?? partitions);
    for (let partition = 0; partition < all; partition += 1)
      if (this.topology.leader(topic, partition) === undefined) return false;
    return true;
  }

  /** Whether there were any of these. */
  async deleteTopics(names: readonly string[]): Promise<boolean> {
    if (names.length === 0) return false;
    const answer = await this.retried(async () =>
      partly(
        (await this.any(this.#slow)).ask(
          this.module.deleteTopicsV6,
          [names.map((name) => ({ name })), slowMs],
          slowMs + this.requestTimeoutMs,
        ),
      ),
    );
    for (const name of names) this.topology.forget(name);
    return answer.responses.some(({ errorCode }) => errorCode === 0);
  }

  /** At once; what is under way rejects. */
  destroy(): void {
    for (const links of this.#duties) links.destroy();
  }
}

interface CreatedTopic {
  readonly name: string;
  readonly errorCode: number;
}

const alreadyExists = 36;
const keyOf = ({ topic, partition, at }: OffsetsAsked): string => `${topic}:${partition}:${at}`;

function byTopic<Item extends { readonly topic: string }, Part>(
  items: readonly Item[],
  part: (item: Item) => Part,
): { readonly name: string; readonly partitions: readonly Part[] }[] {
  const topics = new Map<string, Part[]>();
  for (const item of items) {
    const parts = topics.get(item.topic);
    if (parts === undefined) topics.set(item.topic, [part(item)]);
    else parts.push(part(item));
  }
  return [...topics].map(([name, partitions]) => ({ name, partitions }));
}

/** The answer, also where one part of it is an error. */
export async function partly<Answer>(answer: Promise<Answer>): Promise<Answer> {
  try {
    return await answer;
  } catch (error) {
    const { response } = error as { readonly response?: Answer };
    if (response === undefined || response === null) throw error;
    return response;
  }
}

const passing = new Set(["UNKNOWN_TOPIC_OR_PARTITION", "UNKNOWN_TOPIC_ID", "NOT_LEADER_OR_FOLLOWER"]);

/** What is wrong may be right a moment later. */
export function passes(error: unknown): boolean {
  const { code, retryable } = classify(error);
  if (passing.has(apiIdOf(error) ?? "")) return true;
  return retryable && (code === "BUS_CONNECTION" || code === "BUS_TIMEOUT");
}
