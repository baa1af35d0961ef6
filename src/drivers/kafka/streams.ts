import type { StreamOptions } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { FullStream, StreamEntry } from "./control-fold.ts";
import { type Session, topicOf } from "./session.ts";
import { planStream, streamConfig } from "./stream-plan.ts";

/** Streams: a Kafka topic each, and a record in the control log by which it is one. */
export class Streams {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  get(name: string): StreamEntry | undefined {
    return this.#session.control.fold.streams.get(name);
  }

  async ensure(options: StreamOptions, dryRun: boolean): Promise<"created" | "unchanged" | "updated"> {
    const { control, brokers } = this.#session;
    const current = await control.current();
    const plan = planStream(options, current.streams, brokers);
    let { outcome } = plan;
    if (dryRun || outcome === "unchanged") {
      if (!dryRun) await this.#make(plan.next, false);
      return outcome;
    }
    await control.change(async ({ streams }) => {
      const { next, outcome: now } = planStream(options, streams, brokers);
      outcome = now;
      if (now === "unchanged") return undefined;
      await this.#make(next, now === "created");
      if (now === "updated") await this.#alter(next);
      return { is: "stream", expect: streams.get(next.name)?.revision ?? 0, options: next };
    });
    return outcome;
  }

  readonly #healing = new Map<string, Promise<void>>();

  /** Its topic was deleted behind our back: it is made again, empty. */
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
    const { name, partitions, replicas } = options;
    const topic = names.stream(name);
    if (cluster.topology.leader(topic, partitions - 1) === undefined) {
      const config = { ...streamConfig(options), ...(replicas > 2 ? { "min.insync.replicas": "2" } : {}) };
      await cluster.createTopics([topicOf(topic, partitions, replicas, config)]);
    }
    const found = cluster.topology.place(topic)?.partitions;
    if (found === undefined || found === partitions) return;
    const text = `the topic ${topic} has ${found} partitions, and the stream ${partitions}`;
    if (isNew || found < partitions) throw new DriverError("BUS_CONFLICT", `stream (${name}): ${text}`);
    if (this.#warned.has(name)) return;
    this.#warned.add(name);
    context.warn(`kafka: ${text}: what others write to the rest of them is not read`, { stream: name });
  }

  async #alter(options: FullStream): Promise<void> {
    const { cluster, names, module } = this.#session;
    const configs = Object.entries(streamConfig(options)).map(([name, value]) => ({
      name,
      configOperation: 0 as const,
      value,
    }));
    const resource = { resourceType: 2 as const, resourceName: names.stream(options.name), configs };
    await cluster.ask(module.incrementalAlterConfigsV1, [[resource], false]);
  }

  /** Out of the control log first: a topic without a route is deleted by the next call. */
  async delete(name: string): Promise<boolean> {
    const { control, cluster, names } = this.#session;
    await control.current();
    const deleted = await control.change(({ streams }) => {
      const entry = streams.get(name);
      return entry === undefined ? undefined : { is: "no-stream", expect: entry.revision, name };
    });
    const topic = names.stream(name);
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
