import { DriverError } from "../../internal/driver-error.ts";
import { boolean, integer, oneOf, optionProblem, type Shape } from "../../internal/option-problem.ts";

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
const shape: Shape = {
  name: (name) =>
    typeof name === "string" && name !== "" && name.length <= 255 ? undefined : "must be a text of 1 to 255 characters",
  encode: boolean,
  maxMessages: integer(1),
  maxBytes: integer(1),
  whenFull: oneOf("reject", "drop-oldest", "wait"),
  maxLetters: integer(1),
};

export function normalMemoryOptions(options: MemoryOptions): NormalMemoryOptions {
  const problem = optionProblem("memory", options, shape);
  if (problem !== undefined) throw new DriverError("BUS_INVALID_OPTION", problem);
  const {
    name,
    encode = true,
    maxMessages = defaultMaxMessages,
    maxBytes = 1_073_741_824,
    whenFull = "reject",
    maxLetters = 1_000,
  } = options;
  return { name, encode, maxMessages, maxRead: options.maxMessages ?? defaultMaxRead, maxBytes, whenFull, maxLetters };
}
