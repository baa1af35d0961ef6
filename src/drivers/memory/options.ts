import { DriverError } from "../../internal/driver-error.ts";

export interface MemoryOptions {
  /**
   * Buses of one process with the same name share one store, which lives as long as the process: a bus that closes and
   * connects again finds its events. @default a store of its own for each `memory()`
   */
  readonly name?: string | undefined;
  /** False: handlers get what was published as it is, without encoding; faster, and sizes in bytes are unknown. @default true */
  readonly encode?: boolean | undefined;
  /**
   * Of a stream that does not say, and of each group's queue. @default 1_000_000, of which at most about 1_000 are messages that
   * every group has read
   */
  readonly maxMessages?: number | undefined;
  /** Of a stream that does not say, and of each group's queue. @default 1_073_741_824 (1 GiB) */
  readonly maxBytes?: number | undefined;
  /**
   * Of a stream that does not say, and of each group's queue: refuse a publish, forget the oldest (and say so), or let the
   * publish wait. What every group has read is forgotten first in any case. @default "reject"
   */
  readonly whenFull?: "reject" | "drop-oldest" | "wait" | undefined;
  /** Dead letters of one group; beyond it the oldest is forgotten, and said so. @default 1_000 */
  readonly maxLetters?: number | undefined;
}

/** The options with every default in its place. */
export interface NormalMemoryOptions {
  readonly name: string | undefined;
  readonly encode: boolean;
  readonly maxMessages: number;
  readonly maxRead: number;
  readonly maxBytes: number;
  readonly whenFull: "reject" | "drop-oldest" | "wait";
  readonly maxLetters: number;
}

const defaultMaxMessages = 1_000_000;
const defaultMaxRead = 1_000;
const known = ["name", "encode", "maxMessages", "maxBytes", "whenFull", "maxLetters"];
const waysWhenFull = ["reject", "drop-oldest", "wait"];

export function normalMemoryOptions(options: MemoryOptions): NormalMemoryOptions {
  for (const option of Object.keys(options))
    if (!known.includes(option)) refuse(option, `unknown; there are ${known.join(", ")}`);
  const {
    name,
    encode = true,
    maxMessages = defaultMaxMessages,
    maxBytes = 1_073_741_824,
    whenFull = "reject",
    maxLetters = 1_000,
  } = options;
  if (name !== undefined && (typeof name !== "string" || name === "" || name.length > 255))
    refuse("name", "must be a text of 1 to 255 characters");
  if (typeof encode !== "boolean") refuse("encode", "must be true or false");
  if (!waysWhenFull.includes(whenFull)) refuse("whenFull", `must be one of ${waysWhenFull.join(", ")}`);
  for (const [option, value] of Object.entries({ maxMessages, maxBytes, maxLetters })) {
    if (!Number.isSafeInteger(value) || value < 1) refuse(option, "must be a whole number from 1");
  }
  return { name, encode, maxMessages, maxRead: options.maxMessages ?? defaultMaxRead, maxBytes, whenFull, maxLetters };
}

function refuse(option: string, why: string): never {
  throw new DriverError("BUS_INVALID_OPTION", `memory option (${option}): ${why}`);
}
