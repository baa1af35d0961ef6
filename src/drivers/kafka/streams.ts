import type { StreamOptions } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { attachmentOf, notOurs } from "./attach.ts";
import type { FullStream, StreamEntry } from "./control-fold.ts";
import { classify } from "./errors.ts";
import { besideMessage } from "./options.ts";
import { type Session, topicOf } from "./session.ts";
import { planStream, streamConfig, type Theirs } from "./stream-plan.ts";

const looks = 5;

/** Streams: a Kafka topic each, and a record in the control log by which it is one. */
export class Streams {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  get(name: string): StreamEntry | undefined {
    return this.#session.control.fold.streams.get(name);
  }

  /** Throws where what is known of a stream is not what the options say. */
  check(): void {
    const { control, options } = this.#session;
    const { streams } = control.fold;
    for (const [name, wanted] of options.attach) {
      const entry = streams.get(name);
      if (entry !== undefined) attachmentOf(entry.options, wanted, streams);
    }
  }

  /** Throws where it is not there, or attached in another way. */
  async verify(options: StreamOptions): Promise<void> {
    const { streams } = await this.#session.control.current();
    if (!streams.has(options.name))
      throw new DriverError("BUS_NOT_FOUND", `kafka: there is no stream "${options.name}"`);
    await this.#theirs(options, streams);
  }

  /** All but those whose topic is another's and is no more. */
  async there(): Promise<readonly FullStream[]> {
    const { control, cluster } = this.#session;
    const all = [...control.fold.streams.values()].map(({ options }) => options);
    if (all.every(({ attached }) => attached === undefined)) return all;
    await cluster.retried(() => cluster.topology.refresh());
    return all.filter(({ attached }) => attached === undefined || !cluster.topology.isMissing(attached.topic));
  }

  async ensure(options: StreamOptions, dryRun: boolean): Promise<"created" | "unchanged" | "updated"> {
    const { control, brokers } = this.#session;
    const current = await control.current();
    const theirs = await this.#theirs(options, current.streams);
    const plan = planStream(options, current.streams, brokers, theirs);
    let { outcome } = plan;
    if (dryRun || outcome === "unchanged") {
      if (!dryRun) await this.#make(plan.next, false);
      return outcome;
    }
    await control.change(async ({ streams }) => {
      const { next, outcome: now } = planStream(options, streams, brokers, theirs);
      outcome = now;
      if (now === "unchanged") return undefined;
      await this.#make(next, now === "created");
      if (now === "updated") await this.#alter(next);
      return { is: "stream", expect: streams.get(next.name)?.revision ?? 0, options: next };
    });
    return outcome;
  }

  /** Of one that is attached, or is to be: its topic has to be there. */
  async #theirs(options: StreamOptions, streams: ReadonlyMap<string, StreamEntry>): Promise<Theirs> {
    const { cluster, names, options: driver } = this.#session;
    const { name } = options;
    const wanted = driver.attach.get(name);
    const topic = attachmentOf(options, wanted, streams)?.topic;
    if (topic === undefined) return { wanted, partitions: undefined };
    if (names.isOwn(topic)) throw notOurs(name, topic, "attach: it is one that the driver makes for itself");
    const { topology } = cluster;
    topology.watch(topic);
    // a broker may not know yet what was made a moment ago, and know less partitions than there are
    const least = streams.get(name)?.options.partitions ?? 1;
    const isBehind = (): boolean => (topology.place(topic)?.partitions ?? 0) < least;
    for (let left = looks; left > 0 && (left === looks || isBehind()); left -= 1)
      await cluster.retried(() => topology.refresh());
    const partitions = topology.place(topic)?.partitions;
    if (partitions === undefined)
      throw new DriverError("BUS_NOT_FOUND", `kafka: stream "${name}", which is the topic "${topic}", does not exist`);
    return { wanted, partitions };
  }

  readonly #healing = new Map<string, Promise<void>>();

  /** Its topic was deleted behind our back: it is made again, empty, if it is ours. */
  heal(name: string): Promise<void> {
    const options = this.get(name)?.options;
    const { cluster, names, context } = this.#session;
    if (options === undefined || context.manage !== "create") return cluster.topology.refresh();
    let healing = this.#healing.get(name);
    if (healing === undefined) {
      cluster.topology.forget(names.stream(name));
      healing = cluster.topology
        .refresh()
        .then(() => this.#make(options, false))
        .finally(() => this.#healing.delete(name));
      this.#healing.set(name, healing);
    }
    return healing;
  }

  readonly #warned = new Set<string>();

  async #make(options: FullStream, isNew: boolean): Promise<void> {
    const { cluster, names, context } = this.#session;
    const { name, partitions, replicas, attached } = options;
    const topic = attached?.topic ?? names.ownStream(name);
    if (attached === undefined && cluster.topology.leader(topic, partitions - 1) === undefined) {
      const config = { ...this.#config(options), ...(replicas > 2 ? { "min.insync.replicas": "2" } : {}) };
      await cluster.createTopics([topicOf(topic, partitions, replicas, config)]);
    }
    if (attached === undefined && isNew) await this.#refuseCompacted(name, topic);
    const found = cluster.topology.place(topic)?.partitions;
    if (found === undefined || found === partitions) return;
    const text = `the topic ${topic} has ${found} partitions, and the stream ${partitions}`;
    if (isNew || found < partitions) throw new DriverError("BUS_CONFLICT", `stream (${name}): ${text}`);
    if (this.#warned.has(name)) return;
    this.#warned.add(name);
    context.warn(`kafka: ${text}: what others write to the rest of them is not read`, { stream: name });
  }

  /** One that is there already may be anything: what is compacted loses events that somebody has not handled. */
  async #refuseCompacted(name: string, topic: string): Promise<void> {
    const policy = await this.#described(topic, "cleanup.policy");
    if (policy?.includes("compact") !== true) return;
    throw new DriverError(
      "BUS_CONFLICT",
      `stream (${name}): the topic ${topic} has "cleanup.policy" "${policy}", and a stream keeps every event: "delete"`,
    );
  }

  /** What others made it take: smaller segments than that would refuse what is large. */
  async #messageBytesOf(topic: string): Promise<number> {
    const value = await this.#described(topic, "max.message.bytes");
    return value === undefined ? 0 : Number(value) - besideMessage;
  }

  /** Undefined: it is not for us to know. */
  async #described(topic: string, name: string): Promise<string | undefined> {
    const { cluster, module } = this.#session;
    const resource = { resourceType: 2 as const, resourceName: topic, configurationKeys: [name] };
    try {
      const { results } = await cluster.ask(module.describeConfigsV4, [[resource], false, false]);
      return results[0]?.configs.find((each) => each.name === name)?.value ?? undefined;
    } catch (error) {
      if (classify(error).code !== "BUS_AUTHENTICATION") throw error;
      return undefined;
    }
  }

  #config(options: FullStream): Readonly<Record<string, string>> {
    return streamConfig(options, this.#session.options.maxMessageBytes);
  }

  async #alter(options: FullStream): Promise<void> {
    if (options.attached !== undefined) return;
    const { cluster, names, module } = this.#session;
    const topic = names.ownStream(options.name);
    const most = Math.max(this.#session.options.maxMessageBytes, await this.#messageBytesOf(topic));
    const configs = Object.entries(streamConfig(options, most)).map(([name, value]) => ({
      name,
      configOperation: 0 as const,
      value,
    }));
    const resource = { resourceType: 2 as const, resourceName: topic, configs };
    await cluster.ask(module.incrementalAlterConfigsV1, [[resource], false]);
  }

  /** Out of the control log first: a topic without a route is deleted by the next call. */
  async delete(name: string): Promise<boolean> {
    const { control, cluster, names, options } = this.#session;
    const attached = options.attach.get(name);
    if (attached !== undefined) throw notOurs(name, attached.topic, 'delete: leave it out of "attach" first');
    await control.current();
    const deleted = await control.change(({ streams }) => {
      const entry = streams.get(name);
      return entry === undefined ? undefined : { is: "no-stream", expect: entry.revision, name };
    });
    const topic = names.ownStream(name); // never one that is attached, also where it is by now
    const there = await cluster.deleteTopics([topic]);
    if (there) await this.#untilGone(topic);
    return deleted;
  }

  /** So that whoever makes it again gets a new one. */
  async #untilGone(topic: string): Promise<void> {
    const { cluster, clock, options } = this.#session;
    const until = clock.ticks() + options.requestTimeoutMs;
    while (clock.ticks() < until) {
      const { topics } = await cluster.metadata([topic]);
      if (topics.every(({ name, errorCode }) => name !== topic || errorCode !== 0)) return;
      await cluster.pause(20);
    }
  }
}
