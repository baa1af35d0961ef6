import type { Clock } from "../../clock.ts";
import type { ConnectContext, Headers } from "../../driver.ts";
import type { ClientModule, Metadata, NewTopic } from "./client.ts";
import { Cluster } from "./cluster.ts";
import { ControlLog } from "./control-log.ts";
import { FetchLoop } from "./fetch-loop.ts";
import { lengthOf, type More, recordHeaders, sizeOf } from "./headers.ts";
import type { Parcel } from "./lane.ts";
import type { Host, Link } from "./link.ts";
import { Names } from "./names.ts";
import type { ResolvedOptions } from "./options.ts";
import { Producer } from "./producer.ts";
import type { ProduceSettings } from "./produce.ts";
import type { Field } from "./record-encoder.ts";

export interface SessionOptions {
  readonly module: ClientModule;
  readonly options: ResolvedOptions;
  readonly context: ConnectContext;
  readonly metadata: Metadata;
  readonly open: (host: Host, signal: AbortSignal) => Promise<Link>;
}

export interface NewRecord {
  readonly topic: string;
  readonly partition: number;
  readonly key: Field | undefined;
  readonly value: Uint8Array;
  readonly headers: readonly Field[];
}

const batchOverhead = 100;
/** Statuses follow what lasts, not each request. */
const downAfter = 2;

/** One process at the brokers: what all parts of the driver share. */
export class Session {
  readonly module: ClientModule;
  readonly context: ConnectContext;
  readonly options: ResolvedOptions;
  readonly names: Names;
  readonly cluster: Cluster;
  /** Of events, as the user wants it. */
  readonly producer: Producer;
  /** Of what the driver itself goes by, which has to have a place, and is stored for certain. */
  readonly own: Producer;
  /** Of the control log, tails, the direct lane and inboxes. */
  readonly loop: FetchLoop;
  readonly control: ControlLog;
  readonly brokers: number;
  readonly clusterId: string;
  #connected = true;
  #failures = 0;
  #closed = false;

  constructor({ module, options, context, metadata, open }: SessionOptions) {
    this.module = module;
    this.context = context;
    this.options = options;
    this.names = new Names(context.prefix, {
      topic: (stream) => this.control.fold.streams.get(stream)?.options.attached?.topic,
      group: (group) => this.control.fold.groups.get(group)?.id,
    });
    this.brokers = metadata.brokers.length;
    this.clusterId = metadata.clusterId ?? "";
    const { clock } = context;
    const { requestTimeoutMs, batchSize, batchBytes, acks, compression } = options;
    const bootstrap = metadata.brokers.length > 0 ? metadata.brokers : options.servers.hosts;
    const watched = async (...to: Parameters<typeof open>): Promise<Link> => {
      const link = await open(...to);
      link.fell = (error) => this.#fell(error);
      return link;
    };
    this.cluster = new Cluster({ module, clock, open: watched, bootstrap, requestTimeoutMs });
    const { cluster } = this;
    const producer = (certainty: ProduceSettings["acks"]): Producer =>
      new Producer({
        ...{ module, clock, topology: cluster.topology, links: cluster.links() },
        any: () => cluster.any(),
        limits: { batchSize, batchBytes },
        settings: { acks: certainty, compression, requestTimeoutMs },
      });
    this.producer = producer(acks);
    this.own = acks === -1 ? this.producer : producer(-1);
    this.loop = new FetchLoop(cluster, options, (error) => this.#health(error));
    this.control = new ControlLog({
      cluster,
      loop: this.loop,
      producer: this.own,
      topic: this.names.control,
      partition: 0,
      timeoutMs: requestTimeoutMs * 2,
    });
    // its topic may have been deleted, and another one have its name by now
    this.control.listen((what, name) => {
      if (what === "streams" && name !== "") cluster.topology.forget(this.names.stream(name));
    });
  }

  get clock(): Clock {
    return this.context.clock;
  }

  get connected(): boolean {
    return this.#connected;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get replicas(): number {
    return Math.min(this.options.replicas ?? 3, this.brokers);
  }

  /** A topic of the driver's own; what isn't said keeps for ever. */
  ownTopic(name: string, partitions: number, configs: Readonly<Record<string, string>>): NewTopic {
    return topicOf(name, partitions, this.replicas, {
      "cleanup.policy": "delete",
      "retention.ms": "-1",
      "retention.bytes": "-1",
      "message.timestamp.type": "LogAppendTime",
      ...(this.replicas > 2 ? { "min.insync.replicas": "2" } : {}),
      ...configs,
    });
  }

  /** Where it is, when it is stored. */
  store({ topic, partition, key, value, headers }: NewRecord): Promise<number> {
    return new Promise((resolve, reject) => {
      this.own.add(
        topic,
        partition,
        this.parcel(
          { key, value, headers },
          { stored: (offset) => resolve(Number(offset)), failed: (_, error) => reject(error as Error) },
        ),
      );
      this.own.flush();
    });
  }

  parcel(
    { key, value, headers }: Pick<NewRecord, "key" | "value" | "headers">,
    told: Pick<Parcel, "stored" | "failed">,
  ): Parcel {
    return {
      key,
      value,
      headers,
      bytes: value.byteLength + (key === undefined ? 0 : lengthOf(key)) + sizeOf(headers) + batchOverhead,
      deadline: this.clock.ticks() + this.options.deliveryTimeoutMs,
      ...told,
    };
  }

  headers(topic: string, more: More | undefined, headers: Headers): readonly Field[] {
    return recordHeaders(topic, more, headers);
  }

  /** Of several brokers one that is away is no outage. */
  #fell(error: unknown): void {
    if (this.brokers > 1) return;
    this.#failures = downAfter;
    this.#health(error);
  }

  #health(error: unknown): void {
    if (this.#closed) return;
    if (error === undefined) {
      this.#failures = 0;
      if (this.#connected) return;
      this.#connected = true;
      this.context.status({ type: "connected" });
      return;
    }
    this.#failures += 1;
    if (this.#failures < downAfter || !this.#connected) return;
    this.#connected = false;
    this.context.status({ type: "disconnected", error });
  }

  /** Everything open ends with the error. */
  close(error: unknown): void {
    this.#closed = true;
    this.producer.close(error);
    this.own.close(error);
    this.control.close(error);
    this.loop.close();
    this.cluster.destroy();
  }
}

export const topicOf = (
  name: string,
  numPartitions: number,
  replicationFactor: number,
  configs: Readonly<Record<string, string>>,
): NewTopic => ({
  name,
  numPartitions,
  replicationFactor,
  assignments: [],
  configs: Object.entries(configs).map(([each, value]) => ({ name: each, value })),
});
