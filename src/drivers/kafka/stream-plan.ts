import type { StreamOptions } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { Attachment } from "./attach-options.ts";
import { attachmentOf, refuseChanging } from "./attach.ts";
import type { FullStream, StreamEntry } from "./control-fold.ts";
import { besideMessage, usualMessageBytes } from "./options.ts";

const sevenDaysMs = 604_800_000;
const oneGiB = 1_073_741_824;
const oneMiB = 1_048_576;
const defaultPartitions = 16;
const mostPartitions = 4_096;
const leastSegment = 2_097_152;
const mostSegment = 268_435_456;
const dayMs = 86_400_000;
/** What others keep is theirs to say. */
const unlimited = Number.MAX_SAFE_INTEGER;

/** What the options of the driver say of a stream, and how many partitions the topic has that it is attached to. */
export interface Theirs {
  readonly wanted: Attachment | undefined;
  readonly partitions: number | undefined;
}

/** What a stream should become; what the options don't say stays as it is. Throws on what can't be. */
export function planStream(
  options: StreamOptions,
  streams: ReadonlyMap<string, StreamEntry>,
  brokers: number,
  theirs: Theirs = { wanted: undefined, partitions: undefined },
): { readonly outcome: "created" | "unchanged" | "updated"; readonly next: FullStream } {
  const stored = streams.get(options.name)?.options;
  const { name, topics, whenFull = stored?.whenFull, replicas = stored?.replicas } = options;
  if (whenFull === "wait")
    throw new DriverError("BUS_UNSUPPORTED", `stream option (${name}, whenFull): kafka can't let a publish wait`);
  if (replicas !== undefined && replicas > brokers)
    throw new DriverError(
      "BUS_UNSUPPORTED",
      `stream option (${name}, replicas): there are ${brokers} brokers, and no more copies than that`,
    );
  const attached = attachmentOf(options, theirs.wanted, streams);
  if (attached !== undefined) refuseChanging(options, attached);
  const there = attached === undefined ? undefined : theirs.partitions;
  // what an owner's topic had once may stand in somebody's options for ever
  const hadThem = stored !== undefined && there !== undefined && (options.partitions ?? 1) <= there;
  const partitions = hadThem
    ? Math.max(stored.partitions, there)
    : (options.partitions ?? stored?.partitions ?? there ?? defaultPartitions);
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > mostPartitions)
    throw new DriverError(
      "BUS_INVALID_OPTION",
      `stream option (${name}, partitions): must be a whole number from 1 to ${mostPartitions}`,
    );
  if (stored !== undefined && stored.partitions !== partitions && !hadThem)
    throw new DriverError(
      "BUS_CONFLICT",
      `stream (${name}): it has ${stored.partitions} partitions and can't have ${partitions}`,
    );
  if (stored === undefined && there !== undefined && there !== partitions)
    throw new DriverError(
      "BUS_CONFLICT",
      `stream (${name}): the topic "${attached!.topic}" has ${there} partitions, and not ${partitions}`,
    );
  for (const { options: other } of streams.values()) {
    const same = other.name === name ? undefined : other.topics.find((topic) => topics.includes(topic));
    if (same !== undefined)
      throw new DriverError("BUS_CONFLICT", `stream (${name}): stream ${other.name} captures "${same}" already`);
  }
  const next: FullStream = {
    name,
    topics: stored !== undefined && sameTopics(topics, stored.topics) ? stored.topics : topics,
    partitions,
    maxAgeMs: options.maxAgeMs ?? stored?.maxAgeMs ?? (attached === undefined ? sevenDaysMs : unlimited),
    maxBytes: options.maxBytes ?? stored?.maxBytes ?? (attached === undefined ? oneGiB : unlimited),
    maxMessages: options.maxMessages ?? stored?.maxMessages,
    whenFull: whenFull ?? "reject",
    idleGroupMs: options.idleGroupMs ?? stored?.idleGroupMs ?? sevenDaysMs,
    replicas: replicas ?? 1,
    ...(attached === undefined ? {} : { attached }),
  };
  if (stored === undefined) return { outcome: "created", next };
  return { outcome: plain(next) === plain(stored) ? "unchanged" : "updated", next };
}

/** In another order they are no change. */
const sameTopics = (left: readonly string[], right: readonly string[]): boolean =>
  left.toSorted().join(" ") === right.toSorted().join(" ");

const plain = (options: FullStream): string =>
  JSON.stringify([
    options.topics,
    options.partitions,
    options.maxAgeMs,
    options.maxBytes,
    options.maxMessages,
    options.whenFull,
    options.idleGroupMs,
    options.replicas,
    options.attached?.eventTopic,
  ]);

/** Only whole segments go: an eighth of what is to be kept each, and larger than any message. */
export function streamConfig(
  { maxAgeMs, maxBytes, partitions }: FullStream,
  maxMessageBytes: number,
): Readonly<Record<string, string>> {
  const bytes = Math.max(1, Math.floor(maxBytes / partitions));
  const least = Math.max(leastSegment, maxMessageBytes + oneMiB);
  const segment = Math.min(mostSegment, Math.max(least, Math.floor(bytes / 8)));
  return {
    "cleanup.policy": "delete",
    "retention.ms": String(Math.floor(maxAgeMs)),
    "retention.bytes": String(bytes),
    "segment.bytes": String(segment),
    "segment.ms": String(Math.min(dayMs, Math.max(10_000, Math.floor(maxAgeMs / 8)))),
    "message.timestamp.type": "LogAppendTime",
    // also above what the broker itself takes
    ...(maxMessageBytes > usualMessageBytes ? { "max.message.bytes": String(maxMessageBytes + besideMessage) } : {}),
  };
}
