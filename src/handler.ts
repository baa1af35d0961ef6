import type { BusEvent, EventDefinition, EventOf, InputOf, PublishOptions } from "./event.ts";
import type { RetryPolicy } from "./options.ts";
import type { Receipt } from "./receipt.ts";
import type { Stats } from "./status.ts";

/** Returning settles; throwing retries. */
export type Handler<E extends BusEvent> = ((event: E, delivery: Delivery<E>) => unknown) | EventHandler<E>;

/** For classes: `class Ship implements EventHandler<EventOf<typeof OrderPlaced>>`. */
export interface EventHandler<E extends BusEvent> {
  handle(event: E, delivery: Delivery<E>): unknown;
  /** False: this handler is done with the event without running. */
  canHandle?(event: E): boolean;
}

/** Returning settles all but the failures it names; throwing retries all of them. */
export type BatchHandler<E extends BusEvent> = (
  events: readonly E[],
  context: BatchContext<E>,
) => Promise<void | readonly BatchFailure[]>;
/** Of one batch; `deliveries` are in the order of the events. */
export interface BatchContext<E extends BusEvent = BusEvent> {
  readonly signal: AbortSignal;
  readonly deliveries: readonly Delivery<E>[];
}
/** One event of a batch that is to be tried again, and why. */
export interface BatchFailure {
  readonly id: string;
  readonly error: unknown;
}

/** What a handler gets beside the event. */
export interface Delivery<E extends BusEvent = BusEvent> {
  readonly event: E;
  /** From 1; counted when a handler ran. */
  readonly attempt: number;
  readonly group: string | undefined;
  /** Aborted on time-out, lost ownership or close; made on first access. */
  readonly signal: AbortSignal;
  /** The handler's limit is `ms` from now. */
  extend(ms: number): void;
  /** With this event's correlation. */
  readonly publish: <Definition extends EventDefinition>(
    event: Definition,
    data: InputOf<Definition>,
    options?: PublishOptions,
  ) => Promise<Receipt>;
}

/** Not settled by itself: `ack`, `retry` or `reject` it, or its lease passes it to another when the bus closes. */
export interface PulledDelivery<E extends BusEvent = BusEvent> extends Omit<Delivery<E>, "extend"> {
  ack(): Promise<void>;
  retry(options?: {
    /** The wait before it comes again. @default by the backoff */ readonly delayMs?: number | undefined;
  }): Promise<void>;
  reject(reason: string): Promise<void>;
}

export interface SubscribeOptions {
  /**
   * Durable and shared. All handlers of one group in one bus are one member: each event it gets goes to every one that
   * matches, a failed one is retried without the others. An event of the group that this member can't handle (no handler,
   * unknown type, newer version: a rolling deploy) is kept for one that can. Without a group: ephemeral, a copy for this
   * subscriber, from now on; a throw is retried here, then reported and gone. @default the bus's `group`; false: none
   */
  readonly group?: string | false | undefined;
  /** The handler's identity in its group, part of retries and letters. Twice in one bus and group is an error. @default its types and ordinal */
  readonly name?: string | undefined;
  /** The group shares load among those connected now and stores nothing. @default false */
  readonly live?: boolean | undefined;
  /** Where a group that is new starts. @default "oldest" where the driver has `replay`, else "newest" */
  readonly from?: "oldest" | "newest" | Date | { readonly positions: Positions } | undefined;
  /** Handlers running at once in this process, whatever the driver. @default 16 */
  readonly concurrency?: number | undefined;
  /** One event of a key at a time, retries included: across the group, in this process, or not. The group's, fixed when it is made. @default as stored; for a new group "group" where the driver can, else "process" */
  readonly order?: "group" | "process" | "none" | undefined;
  /** What follows a throw. @default the bus's */
  readonly retry?: RetryPolicy | undefined;
  /** The handler's limit: aborted, then retried. The lease is renewed by itself meanwhile. @default 30_000 */
  readonly timeoutMs?: number | undefined;
  /** How many messages handled out of order may stand between the oldest unhandled and the newest handled of a partition. @default 10_000 */
  readonly runAhead?: number | undefined;
  /** How long an event that no handler here can take is kept for a member that can, before it is a dead letter (BUS_NO_HANDLER). @default 900_000 (15 minutes) */
  readonly handOnMs?: number | undefined;
  /** Of a subscriber without a group: events waiting for its handlers; above it the oldest are dropped, which is said. @default 10_000 */
  readonly bufferSize?: number | undefined;
  /** Unsubscribes when it aborts. @default none */
  readonly signal?: AbortSignal | undefined;
}
/** One for each partition, as `streams.positions` gives them. */
export type Positions = Readonly<Record<string, string>>;

export interface BatchOptions {
  /**
   * Events of one batch. With `order` "group" or "process" at most one of each key, because the next of a key waits for the one
   * before it: batches fill across keys only.
   */
  readonly maxSize: number;
  /** Of the oldest event of a batch: an age, not a debounce. */
  readonly maxAgeMs: number;
}

export interface PullOptions {
  /** Made when it is new; not one that has handlers in this bus. */
  readonly group: string;
  /** Events at once. @default 10 */
  readonly max?: number | undefined;
  /** How long to wait for the first. @default 1_000 */
  readonly waitMs?: number | undefined;
  /** Stops waiting when it aborts. @default none */
  readonly signal?: AbortSignal | undefined;
}

/** What `subscribe` and its like resolve with; at the end of its block it unsubscribes. */
export interface Subscription extends AsyncDisposable {
  readonly id: string;
  readonly group: string | undefined;
  readonly patterns: readonly string[];
  readonly state: "declared" | "running" | "paused" | "recovering" | "closed";
  /** No handler starts after it resolves; what is running goes on. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  stats(): Stats;
  /**
   * Waits for the handlers that run. True when it was there. With the last handler of a group it hands back what is unsettled, and
   * rejects with BUS_CONNECTION when the broker could not be told: it is over all the same, and the broker finds out. So does the
   * end of a loop over `bus.events`. Others resolve.
   */
  unsubscribe(options?: {
    /** When handlers are cut off. @default 30_000 */ readonly timeoutMs?: number | undefined;
  }): Promise<boolean>;
}

/** Iterates the events of `bus.events`. */
export type EventIterator<E> = AsyncIterableIterator<EventOf<E>> & AsyncDisposable;
