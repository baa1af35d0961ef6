import type { StreamOptions } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { NormalMemoryOptions } from "./options.ts";
import type { StoreTime } from "./store-time.ts";
import { StreamLog, type StreamLimits } from "./stream-log.ts";

const sevenDaysMs = 604_800_000;
const defaultPartitions = 16;
const mostPartitions = 4_096;

/** What a stream should become. `apply` does it. */
export interface StreamPlan {
  readonly outcome: "created" | "unchanged" | "updated";
  apply(): StreamLog;
}

/** What the options don't say stays as it is, or is the driver's default. Throws on what can't be. */
export function planStream(
  streams: Map<string, StreamLog>,
  options: StreamOptions,
  defaults: NormalMemoryOptions,
  time: StoreTime,
): StreamPlan {
  check(streams, options);
  const stream = streams.get(options.name);
  const limits = limitsOf(options, stream?.limits ?? { maxAgeMs: sevenDaysMs, idleGroupMs: sevenDaysMs, ...defaults });
  const partitions = stream?.partitions.length ?? options.partitions ?? defaultPartitions;
  if (options.partitions !== undefined && options.partitions !== partitions) {
    throw new DriverError(
      "BUS_CONFLICT",
      `stream (${options.name}): it has ${partitions} partitions and can't have ${options.partitions}`,
    );
  }
  const next: StreamOptions = { ...options, ...limits, partitions };
  if (stream === undefined) {
    return {
      outcome: "created",
      apply: () => {
        const created = new StreamLog("stream", options.name, partitions, limits, time);
        created.options = next;
        streams.set(options.name, created);
        return created;
      },
    };
  }
  const same = JSON.stringify(plain(next)) === JSON.stringify(plain(stream.options ?? next));
  return {
    outcome: same ? "unchanged" : "updated",
    apply: () => {
      if (!same) stream.update(next, limits);
      return stream;
    },
  };
}

function limitsOf(options: StreamOptions, otherwise: StreamLimits): StreamLimits {
  return {
    maxAgeMs: options.maxAgeMs ?? otherwise.maxAgeMs,
    maxBytes: options.maxBytes ?? otherwise.maxBytes,
    maxMessages: options.maxMessages ?? otherwise.maxMessages,
    maxRead: options.maxMessages ?? otherwise.maxRead,
    whenFull: options.whenFull ?? otherwise.whenFull,
    idleGroupMs: options.idleGroupMs ?? otherwise.idleGroupMs,
  };
}

function plain(options: StreamOptions): unknown {
  return [
    options.topics.toSorted(),
    options.maxAgeMs,
    options.maxBytes,
    options.maxMessages,
    options.whenFull,
    options.idleGroupMs,
  ];
}

function check(streams: Map<string, StreamLog>, options: StreamOptions): void {
  const { name, partitions = defaultPartitions, replicas = 1 } = options;
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > mostPartitions) {
    throw new DriverError(
      "BUS_INVALID_OPTION",
      `stream option (${name}, partitions): must be a whole number from 1 to ${mostPartitions}`,
    );
  }
  if (replicas !== 1)
    throw new DriverError("BUS_UNSUPPORTED", `stream option (${name}, replicas): memory has no cluster`);
  for (const other of streams.values()) {
    const same =
      other.name === name ? undefined : other.options?.topics.find((topic) => options.topics.includes(topic));
    if (same !== undefined)
      throw new DriverError("BUS_CONFLICT", `stream (${name}): stream ${other.name} captures "${same}" already`);
  }
}
