import type { StreamOptions } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { type AttachedExchange, attachedExchange } from "./attach.ts";
import type { RabbitMqAttachment } from "./options.ts";

/** Every value given; `maxMessages` undefined: unlimited. */
export interface StoredStream {
  readonly name: string;
  readonly topics: readonly string[];
  readonly partitions: number;
  readonly maxAgeMs: number;
  readonly maxBytes: number;
  readonly maxMessages: number | undefined;
  readonly whenFull: "reject" | "drop-oldest";
  readonly idleGroupMs: number;
  readonly replicas: number;
  /** Of this log, and no later one of its name. */
  readonly born: string;
  /** The exchange that it is, where that has a name of its own. */
  readonly attached?: AttachedExchange;
  /** What the log was declared with: it keeps less when less is asked, never more. */
  readonly log: { readonly maxAgeMs: number; readonly maxBytes: number };
}

const sevenDaysMs = 604_800_000;
const defaultMaxBytes = 1_073_741_824;
const defaultPartitions = 16;
const mostPartitions = 256;

/** What a stream should become; what the options don't say stays as it is. Throws on what can't be. */
export function planStream(
  options: StreamOptions,
  streams: ReadonlyMap<string, StoredStream>,
  read: ReadonlySet<string>,
  born: string,
  attachment?: RabbitMqAttachment,
): StoredStream {
  const { name } = options;
  const stored = streams.get(name);
  const { whenFull = stored?.whenFull ?? "reject" } = options;
  if (whenFull === "wait")
    throw new DriverError("BUS_UNSUPPORTED", `stream option (${name}, whenFull): rabbitmq can't let a publish wait`);
  for (const other of streams.values()) {
    const same = other.name === name ? undefined : other.topics.find((topic) => options.topics.includes(topic));
    if (same !== undefined)
      throw new DriverError("BUS_CONFLICT", `stream (${name}): stream ${other.name} captures "${same}" already`);
  }
  const maxAgeMs = options.maxAgeMs ?? stored?.maxAgeMs ?? sevenDaysMs;
  const maxBytes = options.maxBytes ?? stored?.maxBytes ?? defaultMaxBytes;
  const attached = attachment === undefined ? stored?.attached : attachedExchange(attachment, options.topics);
  if (stored !== undefined && JSON.stringify(attached) !== JSON.stringify(stored.attached))
    throw new DriverError(
      "BUS_CONFLICT",
      `stream (${name}): it is ${exchangeOf(stored.attached)}, and can't become ${exchangeOf(attached)}`,
    );
  const planned: StoredStream = {
    name,
    topics: sameTopics(options.topics, stored?.topics) ? stored!.topics : options.topics,
    partitions: fixed(
      name,
      "partitions",
      options.partitions,
      stored?.partitions,
      attached === undefined ? defaultPartitions : 1,
      mostPartitions,
    ),
    maxAgeMs,
    maxBytes,
    maxMessages: options.maxMessages ?? stored?.maxMessages,
    whenFull,
    idleGroupMs: options.idleGroupMs ?? stored?.idleGroupMs ?? sevenDaysMs,
    replicas: fixed(name, "replicas", options.replicas, stored?.replicas, 1, 127),
    born: stored?.born ?? born,
    log: stored?.log ?? { maxAgeMs, maxBytes },
    ...(attached === undefined ? {} : { attached }),
  };
  if (attached !== undefined && planned.partitions !== 1)
    throw new DriverError(
      "BUS_UNSUPPORTED",
      `stream option (${name}, partitions): what is published to an attached exchange has no partition`,
    );
  if (stored !== undefined) checkLimits(planned, stored, read.has(name));
  return planned;
}

const exchangeOf = (attached: AttachedExchange | undefined): string =>
  attached === undefined
    ? "no attached exchange"
    : `the exchange ${JSON.stringify(attached.name)} (${attached.type}, durable ${attached.durable}, autoDelete ${attached.autoDelete}, keys ${JSON.stringify(attached.keys)}, match ${JSON.stringify(attached.match)})`;

/** The arguments of a queue are fixed when it is declared. */
function checkLimits(planned: StoredStream, stored: StoredStream, isRead: boolean): void {
  const { name, log } = planned;
  for (const [limit, argument] of [
    ["maxAgeMs", "x-max-age"],
    ["maxBytes", "x-max-length-bytes"],
  ] as const) {
    if (planned[limit] > log[limit])
      throw new DriverError(
        "BUS_CONFLICT",
        `stream (${name}): its log was declared with "${argument}" ${log[limit]}, so "${limit}" can't become ${planned[limit]}`,
      );
  }
  const drops = planned.whenFull === "drop-oldest" || stored.whenFull === "drop-oldest";
  if (
    isRead &&
    drops &&
    (planned.whenFull !== stored.whenFull ||
      planned.maxMessages !== stored.maxMessages ||
      planned.maxBytes !== stored.maxBytes)
  )
    throw new DriverError(
      "BUS_CONFLICT",
      `stream (${name}): its groups' queues were declared with "x-max-length" and "x-overflow", so what is dropped can't change`,
    );
}

function fixed(
  name: string,
  option: "partitions" | "replicas",
  wanted: number | undefined,
  stored: number | undefined,
  usual: number,
  most: number,
): number {
  const value = wanted ?? stored ?? usual;
  if (!Number.isInteger(value) || value < 1 || value > most)
    throw new DriverError(
      "BUS_INVALID_OPTION",
      `stream option (${name}, ${option}): must be a whole number from 1 to ${most}`,
    );
  if (stored !== undefined && stored !== value)
    throw new DriverError("BUS_CONFLICT", `stream (${name}): it has ${stored} ${option} and can't have ${value}`);
  return value;
}

/** In another order they are no change. */
function sameTopics(left: readonly string[], right: readonly string[] | undefined): boolean {
  return right !== undefined && left.toSorted().join(" ") === right.toSorted().join(" ");
}
