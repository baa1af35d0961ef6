import type { StreamOptions } from "../../driver.ts";
import type { RedisAttachment } from "./options.ts";
import { DriverError } from "../../internal/driver-error.ts";

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
  readonly replicas: 1;
  /** Somebody else's key; undefined: ours. */
  readonly attach: RedisAttachment | undefined;
}

const sevenDaysMs = 604_800_000;
const defaultMaxBytes = 1_073_741_824;
const defaultPartitions = 16;
const mostPartitions = 256;

/** What a stream should become; what the options don't say stays as it is. Throws on what can't be. */
export function planStream(
  options: StreamOptions,
  streams: ReadonlyMap<string, StoredStream>,
  attachment: RedisAttachment | undefined,
): StoredStream {
  const { name } = options;
  const stored = streams.get(name);
  const attach = attachmentOf(name, attachment, stored);
  const attached = attach !== undefined;
  const partitions = partitionsOf(options, stored, attached);
  if (options.replicas !== undefined && options.replicas !== 1)
    throw new DriverError(
      "BUS_UNSUPPORTED",
      `stream option (${name}, replicas): how many copies there are is the Redis operator's to say`,
    );
  const { whenFull = stored?.whenFull ?? "reject" } = options;
  if (whenFull === "wait")
    throw new DriverError("BUS_UNSUPPORTED", `stream option (${name}, whenFull): redis can't let a publish wait`);
  const limit = attached
    ? (["maxAgeMs", "maxBytes", "maxMessages", "whenFull"] as const).find((each) => options[each] !== undefined)
    : undefined;
  if (limit !== undefined)
    throw new DriverError(
      "BUS_UNSUPPORTED",
      `stream option (${name}, ${limit}): an attached stream is somebody else's, and nothing of it is trimmed`,
    );
  for (const other of streams.values()) {
    const same = other.name === name ? undefined : other.topics.find((topic) => options.topics.includes(topic));
    if (same !== undefined)
      throw new DriverError("BUS_CONFLICT", `stream (${name}): stream ${other.name} captures "${same}" already`);
  }
  return {
    name,
    topics: sameTopics(options.topics, stored?.topics) ? stored!.topics : options.topics,
    partitions,
    maxAgeMs: options.maxAgeMs ?? stored?.maxAgeMs ?? (attached ? Number.MAX_SAFE_INTEGER : sevenDaysMs),
    maxBytes: options.maxBytes ?? stored?.maxBytes ?? (attached ? Number.MAX_SAFE_INTEGER : defaultMaxBytes),
    maxMessages: options.maxMessages ?? stored?.maxMessages,
    whenFull,
    idleGroupMs: options.idleGroupMs ?? stored?.idleGroupMs ?? sevenDaysMs,
    replicas: 1,
    attach,
  };
}

/** It is kept with the stream: a process that does not name it must not take the key for ours. */
function attachmentOf(
  name: string,
  wanted: RedisAttachment | undefined,
  stored: StoredStream | undefined,
): RedisAttachment | undefined {
  if (stored === undefined || wanted === undefined) return wanted ?? stored?.attach;
  if (stored.attach === undefined)
    throw new DriverError("BUS_CONFLICT", `stream (${name}): it has keys of its own, so "attach" can't be another's`);
  if (stored.attach.key !== wanted.key)
    throw new DriverError("BUS_CONFLICT", `stream (${name}): it is attached to the key "${stored.attach.key}" already`);
  return wanted;
}

function partitionsOf(
  { name, partitions: wanted }: StreamOptions,
  stored: StoredStream | undefined,
  attached: boolean,
): number {
  const partitions = wanted ?? stored?.partitions ?? (attached ? 1 : defaultPartitions);
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > mostPartitions)
    throw new DriverError(
      "BUS_INVALID_OPTION",
      `stream option (${name}, partitions): must be a whole number from 1 to ${mostPartitions}`,
    );
  if (stored !== undefined && stored.partitions !== partitions)
    throw new DriverError(
      "BUS_CONFLICT",
      `stream (${name}): it has ${stored.partitions} partitions and can't have ${partitions}`,
    );
  if (attached && partitions !== 1)
    throw new DriverError("BUS_INVALID_OPTION", `stream option (${name}, partitions): an attached stream has one`);
  return partitions;
}

/** In another order they are no change. */
function sameTopics(left: readonly string[], right: readonly string[] | undefined): boolean {
  return right !== undefined && left.toSorted().join(" ") === right.toSorted().join(" ");
}
