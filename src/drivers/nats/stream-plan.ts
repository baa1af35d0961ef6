import type { StreamInfo, StreamOptions } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { NativeStream, StreamConfig } from "./api-types.ts";
import type { Attached } from "./options.ts";
import { afterTokens, type Names } from "./names.ts";
import type { ServerVersion } from "./version.ts";

/** The layout that this code writes, and the newest that it reads. */
export const layout = 0;
export const dedupeWindowMs = 120_000;
const sevenDaysMs = 604_800_000;
const defaultPartitions = 16;
const mostPartitions = 4_096;
const nanos = 1e6;

const meta = {
  layout: "omnibus.layout",
  partitions: "omnibus.partitions",
  topics: "omnibus.topics",
  idle: "omnibus.idle",
} as const;

/** One of our streams as the server has it. */
export class StreamFacts {
  readonly name: string;
  /** JetStream's name. */
  readonly native: string;
  readonly topics: readonly string[];
  readonly partitions: number;
  readonly idleGroupMs: number;
  /** When it was made: one that was deleted and made again is another. */
  readonly created: string;
  readonly config: StreamConfig;
  readonly #names: Names;
  /** Of a stream that somebody else made: what stands before the topic. */
  readonly #subjectPrefix: string | undefined;

  constructor(name: string, names: Names, { config, created }: NativeStream, attached?: Attached) {
    const metadata = config.metadata ?? {};
    this.name = name;
    this.native = config.name;
    this.#subjectPrefix = attached?.subjectPrefix;
    this.topics = attached === undefined ? parsedTopics(metadata[meta.topics]) : topicsOf(config, attached);
    this.partitions = attached === undefined ? Number(metadata[meta.partitions] ?? 1) : 1;
    this.idleGroupMs = Number(metadata[meta.idle] ?? sevenDaysMs);
    this.created = created;
    this.config = config;
    this.#names = names;
  }

  /** The subject of an event. */
  event(partition: number, topic: string): string {
    return this.#subjectPrefix === undefined
      ? this.#names.event(this.name, partition, topic)
      : this.#subjectPrefix + topic;
  }

  /** What a consumer reads: a pattern of one partition, or of all. */
  filter(pattern: string, partition?: number): string {
    return this.#subjectPrefix === undefined
      ? this.#names.eventFilter(this.name, pattern, partition)
      : this.#subjectPrefix + pattern;
  }

  /** The topic of an event's subject. */
  readonly topicOf = (subject: string): string =>
    this.#subjectPrefix === undefined ? afterTokens(subject, 4) : subject.slice(this.#subjectPrefix.length);
}

/** What it captures, without what stands before the topic. */
const topicsOf = ({ subjects }: StreamConfig, { subjectPrefix }: Attached): readonly string[] =>
  (subjects ?? []).flatMap((subject) =>
    subject === ">" ? [">"] : subject.startsWith(subjectPrefix) ? [subject.slice(subjectPrefix.length)] : [],
  );

function parsedTopics(text: string | undefined): readonly string[] {
  try {
    const topics: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(topics) ? topics.filter((topic) => typeof topic === "string") : [];
  } catch {
    return []; // another program's
  }
}

export const infoOf = (facts: StreamFacts, { state }: NativeStream, groups: readonly string[]): StreamInfo => ({
  name: facts.name,
  topics: facts.topics,
  partitions: facts.partitions,
  messages: state.messages,
  bytes: state.bytes,
  first: state.messages === 0 ? undefined : new Date(state.first_ts),
  last: state.messages === 0 ? undefined : new Date(state.last_ts),
  groups,
});

/** Refuses what can't be, by itself or beside the others. */
export function checkStream(options: StreamOptions, others: readonly StreamFacts[], clustered: boolean): void {
  const { name, topics, partitions = defaultPartitions, replicas = 1, whenFull } = options;
  if (whenFull === "wait")
    throw new DriverError("BUS_UNSUPPORTED", `nats: stream "${name}": whenFull "wait" is memory's only`);
  if (replicas > 1 && !clustered)
    throw new DriverError(
      "BUS_UNSUPPORTED",
      `nats: stream "${name}": the server is in no cluster, so there are no replicas`,
    );
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > mostPartitions)
    throw new DriverError(
      "BUS_INVALID_OPTION",
      `nats: stream "${name}": "partitions" must be a whole number from 1 to ${mostPartitions}`,
    );
  for (const other of others) {
    if (other.name === name) continue;
    const same = other.topics.find((topic) => topics.includes(topic));
    if (same !== undefined)
      throw new DriverError(
        "BUS_CONFLICT",
        `nats: stream "${name}": stream "${other.name}" captures "${same}" already`,
      );
  }
}

/** What the options don't say stays as it is, or is the default. */
export function streamConfig(options: StreamOptions, names: Names, found: StreamFacts | undefined): StreamConfig {
  const { name } = options;
  if (found !== undefined && options.partitions !== undefined && options.partitions !== found.partitions)
    throw new DriverError(
      "BUS_CONFLICT",
      `nats: stream "${name}" has ${found.partitions} partitions and can't have ${options.partitions}: that is fixed when it is made`,
    );
  const old = found?.config;
  const maxAge = options.maxAgeMs === undefined ? (old?.max_age ?? sevenDaysMs * nanos) : ages(options.maxAgeMs);
  const discard = options.whenFull === undefined ? (old?.discard ?? "new") : discards[options.whenFull];
  const idle = options.idleGroupMs ?? found?.idleGroupMs ?? sevenDaysMs;
  return {
    ...old,
    name: names.stream(name),
    subjects: [names.events(name)],
    retention: "limits",
    storage: "file",
    discard,
    max_age: maxAge,
    max_bytes: options.maxBytes ?? old?.max_bytes ?? 2 ** 30,
    max_msgs: options.maxMessages ?? old?.max_msgs ?? -1,
    duplicate_window: Math.min(dedupeWindowMs * nanos, maxAge === 0 ? Infinity : maxAge),
    num_replicas: options.replicas ?? old?.num_replicas ?? 1,
    metadata: {
      ...old?.metadata,
      [meta.layout]: String(layout),
      [meta.partitions]: String(found?.partitions ?? options.partitions ?? defaultPartitions),
      [meta.topics]: JSON.stringify(options.topics),
      [meta.idle]: String(idle),
    },
  };
}

/** Every stream that the bus makes says so from the moment it is there. */
export const isOurs = ({ metadata }: StreamConfig): boolean => metadata?.[meta.layout] !== undefined;

const discards = { reject: "new", wait: "new", "drop-oldest": "old" } as const;

/** 0 is for ever. */
const ages = (ms: number): number => (Number.isFinite(ms) ? Math.max(Math.round(ms * nanos), 100 * nanos) : 0);

/** Whether the server has what is asked for; it may say more. */
export function differs(wanted: StreamConfig, found: StreamConfig): string | undefined {
  for (const [key, value] of Object.entries(wanted)) {
    const has = (found as unknown as Readonly<Record<string, unknown>>)[key];
    if (key === "metadata") {
      const entries = Object.entries(value as Readonly<Record<string, string>>);
      if (entries.some(([name, text]) => !name.startsWith("_nats.") && found.metadata?.[name] !== text)) return key;
    } else if (JSON.stringify(value) !== JSON.stringify(has) && !(value === false && has === undefined)) return key;
  }
  return undefined;
}

/** What the driver keeps for itself. */
export function ownStreams(names: Names, version: ServerVersion, replicas = 1): readonly StreamConfig[] {
  const common = { storage: "file", num_replicas: replicas, metadata: { [meta.layout]: String(layout) } } as const;
  return [
    {
      ...common,
      name: names.bucketStream,
      subjects: [names.key(">")],
      max_msgs_per_subject: 1,
      discard: "new",
      allow_rollup_hdrs: true,
      deny_delete: true,
      ...(version.atLeast(2, 11) ? { allow_msg_ttl: true } : {}),
    },
    {
      ...common,
      name: names.queue,
      subjects: [names.allQueued()],
      retention: "workqueue",
      discard: "old", // without limits that is nothing
      duplicate_window: dedupeWindowMs * nanos,
    },
    { ...common, name: names.letters, subjects: [names.letterFilter()], max_msgs_per_subject: 1, discard: "new" },
    {
      ...common,
      name: names.notes,
      subjects: [names.noteFilter()],
      max_msgs_per_subject: 1,
      max_age: 30 * 86_400_000 * nanos,
    },
    { ...common, name: names.parked, subjects: [names.parkedFilter()], discard: "new" },
  ];
}
