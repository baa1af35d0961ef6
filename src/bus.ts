import type { DeadLetters, GroupAdmin, Scheduled, StreamAdmin } from "./admin.ts";
import type { Capabilities } from "./driver.ts";
import type { BusEvent, EventDefinition, EventOf, InputOf, Outgoing, PublishOptions } from "./event.ts";
import type {
  BatchHandler,
  BatchOptions,
  EventIterator,
  Handler,
  PulledDelivery,
  PullOptions,
  SubscribeOptions,
  Subscription,
} from "./handler.ts";
import type { KeyValue, KeyValueOptions } from "./key-value.ts";
import type { PublishOutcome, Receipt } from "./receipt.ts";
import type {
  RequestDefinition,
  RequestInputOf,
  RequestOf,
  ResponseInputOf,
  ResponseOf,
} from "./request-definition.ts";
import type { BusStatus, Health, Stats } from "./status.ts";

export interface RequestOptions {
  /** How long to wait for the answer. @default 5_000 */
  readonly timeoutMs?: number | undefined;
  /** Travels with the request; no order is kept by it. @default none */
  readonly key?: string | undefined;
  /** Of the request and its answer. @default that of the event being handled, else the request's own id */
  readonly correlationId?: string | undefined;
  /** JSON. @default that of `within` */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  /** Gives up waiting when it aborts. @default none */
  readonly signal?: AbortSignal | undefined;
}

/** What a responder gets beside the question. */
export interface RequestContext {
  readonly request: BusEvent;
  /** Aborted when the requester has stopped waiting, or the bus closes. */
  readonly signal: AbortSignal;
}

export interface RespondOptions {
  /** Responders of one group share the load; false: this one answers whatever the others do. @default the bus's `group`, else "responders" */
  readonly group?: string | false | undefined;
  /** Requests answered at once in this process. @default 16 */
  readonly concurrency?: number | undefined;
}

/** Of everything published inside `within`; an inner scope adds to the outer one. */
export interface Scope {
  /** A URI-reference. @default that of the scope around it, else the bus's name */
  readonly source?: string | undefined;
  /** @default that of the scope around it, else none */
  readonly session?: string | undefined;
  /** JSON; of one key the inner scope's counts, and a publish's own over both. @default that of the scope around it */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  /** @default that of the scope around it, else of the event that is being handled, else the new event's id */
  readonly correlationId?: string | undefined;
}

/** The driver that is connected. */
export interface ActiveDriver {
  readonly name: string;
  /** The escape hatch: what it is stands in the driver's page. */
  readonly client: unknown;
  readonly capabilities: Capabilities;
}

export interface Bus extends AsyncDisposable {
  readonly name: string;
  readonly state: "new" | "connecting" | "connected" | "reconnecting" | "closing" | "closed";
  /** The driver that is active now, undefined before the first connection and after closing. */
  readonly driver: ActiveDriver | undefined;
  /** Resolves when connected and every declared subscription runs. Safe twice and at once. */
  connect(): Promise<this>;

  /** Resolves once the broker has it. Rejects with `PublishError.outcome`, or `ValidationError`. */
  publish<E extends EventDefinition>(event: E, data: InputOf<E>, options?: PublishOptions): Promise<Receipt>;
  /** Untyped: validated only if the type is registered. The type is the topic's last token unless given. */
  publishTopic(
    topic: string,
    data: unknown,
    options?: PublishOptions & {
      /** The event's type. @default the topic's last token */ readonly type?: string | undefined;
    },
  ): Promise<Receipt>;
  /**
   * One outcome for each item, in order; never rejects for an item. An async iterable is taken with backpressure. When the
   * iterable itself throws it waits for what is under way, then rejects with `PublishManyError`, which has the outcomes so far.
   */
  publishMany(
    items: Iterable<Outgoing> | AsyncIterable<Outgoing>,
    options?: {
      /** Takes no more items when it aborts; those under way end as they may. @default none */ readonly signal?:
        | AbortSignal
        | undefined;
    },
  ): Promise<readonly PublishOutcome[]>;
  /** To the lane of one group, which need not have a member yet. No order between this lane and the stream. */
  send<E extends EventDefinition>(
    group: string,
    event: E,
    data: InputOf<E>,
    options?: PublishOptions,
  ): Promise<Receipt>;
  /** Resolves when everything published so far is settled. */
  flush(): Promise<void>;

  /** Resolves once everything published from now on will reach the handler. */
  subscribe<const E extends EventDefinition | readonly EventDefinition[]>(
    events: E,
    handler: Handler<NoInfer<EventOf<E>>>,
    options?: SubscribeOptions,
  ): Promise<Subscription>;
  /** Whatever travels on these topics; validated only if its type is registered. */
  subscribePattern<Data = unknown>(
    pattern: string,
    handler: Handler<BusEvent<string, Data>>,
    options?: SubscribeOptions,
  ): Promise<Subscription>;
  /** Several events at once, each of which is settled by itself. */
  subscribeBatch<const E extends EventDefinition | readonly EventDefinition[]>(
    events: E,
    handler: BatchHandler<NoInfer<EventOf<E>>>,
    options: SubscribeOptions & BatchOptions,
  ): Promise<Subscription>;
  /** Subscribed when it resolves. Asking for the next settles the one before; leaving the loop hands back what is open. */
  events<const E extends EventDefinition | readonly EventDefinition[]>(
    events: E,
    options?: SubscribeOptions,
  ): Promise<EventIterator<E>>;
  /** At most `max` events of the group; an empty list when none came within `waitMs`. */
  pull<const E extends EventDefinition | readonly EventDefinition[]>(
    events: E,
    options: PullOptions,
  ): Promise<readonly PulledDelivery<EventOf<E>>[]>;

  /** Time-out (BUS_TIMEOUT), failure of the responder (BUS_REMOTE) and nobody there (BUS_NO_RESPONDER) are three different errors. */
  request<R extends RequestDefinition>(
    request: R,
    data: RequestInputOf<R>,
    options?: RequestOptions,
  ): Promise<ResponseOf<R>>;
  /** Resolves once requests reach the handler. */
  respond<R extends RequestDefinition>(
    request: R,
    handler: (data: RequestOf<R>, context: RequestContext) => ResponseInputOf<R> | Promise<ResponseInputOf<R>>,
    options?: RespondOptions,
  ): Promise<Subscription>;

  /** Source, session, metadata and correlation of everything published inside `work`. */
  within<T>(scope: Scope, work: () => T): T;

  /**
   * A bucket of values that all processes share, which stay when they end (where the driver is `durable`). Throws BUS_INVALID_OPTION;
   * what asks the broker is the bucket's methods.
   *
   * @example
   * const prices = bus.kv<{ cents: number }>("prices", { maxAgeMs: 3_600_000 });
   * await prices.put("book", { cents: 990 });
   */
  kv<T = unknown>(bucket: string, options?: KeyValueOptions): KeyValue<T>;

  readonly streams: StreamAdmin;
  readonly groups: GroupAdmin;
  readonly deadLetters: DeadLetters;
  readonly scheduled: Scheduled;

  /** Asks the broker and every subscription now; never says up of one that would receive nothing. */
  health(options?: {
    /** How long the broker may take. @default 5_000 */ readonly timeoutMs?: number | undefined;
    /** Gives up asking when it aborts. @default none */ readonly signal?: AbortSignal | undefined;
  }): Promise<Health>;
  stats(): Stats;
  /** Connection, failures, dead letters, losses, as they happen; a listener that throws harms nobody. */
  onStatus(listener: (status: BusStatus) => void): Disposable;
  /** Stops taking work, finishes or hands back what is in flight, flushes, closes. Safe twice, at any time. */
  close(options?: {
    /** When it ends by force. @default 30_000 */ readonly timeoutMs?: number | undefined;
  }): Promise<{ readonly unfinished: number }>;
}
