import type { Member, StreamInfo, StreamOptions } from "./driver.ts";
import type { BusEvent } from "./event.ts";
import type { Positions } from "./handler.ts";

/** `bus.streams` */
export interface StreamAdmin {
  /** Rejects with BUS_CONFLICT when it overlaps another with an equal pattern, or can't be changed. */
  ensure(
    stream: StreamOptions,
    options?: {
      /** Says what would be done and does nothing. @default false */ readonly dryRun?: boolean | undefined;
    },
  ): Promise<"created" | "unchanged" | "updated">;
  list(): Promise<readonly StreamInfo[]>;
  /** Rejects with BUS_NOT_FOUND. */
  info(name: string): Promise<StreamInfo>;
  /** One position for each partition, as of now: what `from: { positions }` takes. */
  positions(name: string): Promise<Positions>;
  /** Never what a group has not handled. How many went. */
  trim(name: string, before: Date | { readonly positions: Positions }): Promise<number>;
  /** True when it was there. */
  delete(name: string): Promise<boolean>;
}

/** `bus.groups` */
export interface GroupAdmin {
  list(stream?: string): Promise<readonly GroupInfo[]>;
  /** Rejects with BUS_NOT_FOUND. */
  info(group: string): Promise<GroupInfo>;
  /** Patterns only grow by subscribing; shrinking is said here. */
  update(group: string, patterns: readonly string[]): Promise<void>;
  /** Rejects with BUS_CONFLICT while members are active, or a key is halted. */
  reset(group: string, from: "oldest" | "newest" | Date): Promise<void>;
  /** Takes over what dead members left, now. */
  recover(
    group: string,
    options?: {
      /** A member that was silent for this long counts as dead too. @default 60_000 */ readonly idleMs?:
        | number
        | undefined;
    },
  ): Promise<{ readonly redelivered: number }>;
  /** With its queue, its dead letters and what waits behind them: rejects with BUS_CONFLICT where that is in a state store which this bus does not have. True when it was there. */
  delete(group: string): Promise<boolean>;
}

/** A group as the broker knows it now. */
export interface GroupInfo {
  readonly group: string;
  readonly streams: readonly string[];
  readonly patterns: readonly string[];
  readonly order: "group" | "process" | "none";
  readonly members: readonly Member[];
  /** Not yet handled, those in flight not counted. */
  readonly waiting: number;
  /** False where the broker can't filter: an upper bound. */
  readonly waitingExact: boolean;
  readonly inFlight: number;
  /** Of those waiting, with a due time in the future. */
  readonly scheduled: number;
  readonly deadLetters: number;
  readonly oldestWaitingMs: number | undefined;
}

/** An event that was published with `delayMs` or `at`, and is not delivered yet. */
export interface ScheduledEvent {
  /** The event's id, as its receipt has it. */
  readonly id: string;
  /** When it is due, by the broker's clock where it has one. */
  readonly at: Date;
  readonly topic: string;
}

export interface ScheduledQuery {
  /** A pattern. @default all */
  readonly topic?: string | undefined;
  /** Events of one page. @default 100 */
  readonly limit?: number | undefined;
  /** From the page before. @default the one that is due first */
  readonly cursor?: string | undefined;
}

/** `bus.scheduled`: what is published for later, sends to groups included. Retries are not among it. */
export interface Scheduled {
  /** By due time, the next one first. */
  list(
    query?: ScheduledQuery,
  ): Promise<{ readonly items: readonly ScheduledEvent[]; readonly cursor: string | undefined }>;
  /**
   * True: it was waiting, and will never be delivered, to nobody. False: there is none of this id, or it is too late. The id is
   * not free again: a publish with it may be taken for a second one of the same event, and dropped.
   */
  cancel(id: string): Promise<boolean>;
}

/** A message that a group gave up on, and why. */
export interface DeadLetter {
  /** What `get`, `replay` and `discard` take: the group and the event's id. */
  readonly id: string;
  readonly group: string;
  /** Undefined when it could not be decoded. */
  readonly event: BusEvent | undefined;
  /** As it came from the broker. */
  readonly raw: Uint8Array;
  readonly topic: string;
  readonly stream: string | undefined;
  readonly position: string | undefined;
  readonly reason: {
    readonly code: string;
    readonly name: string;
    readonly message: string;
    readonly stack: string | undefined;
  };
  /** The later events of its key wait in the group until it is replayed and handled, or discarded. */
  readonly haltsKey: boolean;
  /** Those that failed; a replay runs these. */
  readonly handlers: readonly string[];
  readonly attempts: number;
  readonly firstFailedAt: Date;
  readonly failedAt: Date;
  readonly history: readonly { readonly at: Date; readonly error: string }[];
}

export interface DeadLetterQuery {
  /** Of one group. @default all */
  readonly group?: string | undefined;
  /** A pattern. @default all */
  readonly topic?: string | undefined;
  /** The reason's code or name, or a part of its message. @default any */
  readonly error?: string | undefined;
  /** Failed before. @default no bound */
  readonly before?: Date | undefined;
  /** Failed after. @default no bound */
  readonly after?: Date | undefined;
  /** Letters of one page; of a replay or discard, in all. @default 100, of a replay or discard unlimited */
  readonly limit?: number | undefined;
  /** From the page before. @default the oldest */
  readonly cursor?: string | undefined;
}

export interface ReplayOptions {
  /** Instead of the event's data: the input form, validated. Of one letter only. @default as it was */
  readonly data?: unknown;
  /** Letters a second, sent one by one up to 100 and in hundredths of a second above. @default unlimited */
  readonly ratePerSecond?: number | undefined;
  /** Stops when it aborts, once the letters under way (64 at most, one below 100 a second) are sent. @default none */
  readonly signal?: AbortSignal | undefined;
  /** Called after each letter with how many are done. @default none */
  readonly onProgress?: ((done: number) => void) | undefined;
}

/** `bus.deadLetters` */
export interface DeadLetters {
  /** Oldest first. */
  list(
    query?: DeadLetterQuery,
  ): Promise<{ readonly items: readonly DeadLetter[]; readonly cursor: string | undefined }>;
  get(id: string): Promise<DeadLetter | undefined>;
  count(query?: DeadLetterQuery): Promise<number>;
  /** To the queue of the group that gave it up, and to no other; resumable; harmless twice. */
  replay(
    which: string | DeadLetterQuery,
    options?: ReplayOptions,
  ): Promise<{ readonly replayed: number; readonly failed: number }>;
  /** How many went. */
  discard(which: string | DeadLetterQuery): Promise<number>;
}
