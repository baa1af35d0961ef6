import type { DeadLetters, GroupAdmin, Scheduled, StreamAdmin } from "./admin.ts";
import type { ActiveDriver, Bus, RequestContext, RequestOptions, RespondOptions, Scope } from "./bus.ts";
import { withScope } from "./context.ts";
import { closed } from "./connector.ts";
import type { Core } from "./core.ts";
import type { Driver } from "./driver.ts";
import { validateAttribute, validateSource } from "./attribute.ts";
import { BusError } from "./errors.ts";
import type { BusEvent, EventDefinition, EventOf, InputOf, Outgoing, PublishOptions } from "./event.ts";
import type { Interest, PublishCaused } from "./handler-runner.ts";
import type {
  BatchHandler,
  BatchOptions,
  EventIterator as Events,
  Handler,
  PulledDelivery,
  PullOptions,
  SubscribeOptions,
  Subscription,
} from "./handler.ts";
import { defaultName, interestIn, interestInPattern } from "./interest.ts";
import { batchShape, keyValueShape, resolveSubscribe } from "./normalise.ts";
import {
  abortSignal,
  checkOptions,
  integer,
  invalidOption,
  milliseconds,
  number,
  oneOf,
  either,
  record,
  text,
} from "./option-check.ts";
import { Lifecycle } from "./lifecycle.ts";
import type { KeyValue, KeyValueOptions } from "./key-value.ts";
import { lazyDeadLetters, lazyGroups, lazyKeyValue, lazyScheduled, lazyStreams } from "./lazy-admin.ts";
import type { Pulls } from "./pulls.ts";
import type { PublishOutcome, Receipt } from "./receipt.ts";
import type {
  RequestDefinition,
  RequestInputOf,
  RequestOf,
  ResponseInputOf,
  ResponseOf,
} from "./request-definition.ts";
import type { BusStatus, Health, Stats } from "./status.ts";
import { closeTimeout } from "./subscription.ts";
import type { Subscriptions } from "./subscriptions.ts";
import { validateName } from "./topic.ts";

/** The bus: what users hold. Options are checked here, what they ask for is done by the parts. */
export class MessageBus implements Bus {
  readonly streams: StreamAdmin;
  readonly groups: GroupAdmin;
  readonly deadLetters: DeadLetters;
  readonly scheduled: Scheduled;
  readonly #core: Core;
  readonly #parts: Lifecycle;
  #pulls: Promise<Pulls> | undefined;
  /** Ends what would go on for ever. */
  readonly #closing = new AbortController();

  constructor(core: Core, driver: Driver) {
    const parts = new Lifecycle(core, driver);
    this.#core = core;
    this.#parts = parts;
    this.streams = lazyStreams(
      async () =>
        new (await import("./bus-admin.ts")).BusStreamAdmin(core, parts, parts.routing, () => parts.refresh()),
    );
    this.groups = lazyGroups(
      async () => new (await import("./bus-admin.ts")).BusGroupAdmin(core, parts, parts.routing),
    );
    this.deadLetters = lazyDeadLetters(
      async () => new (await import("./dead-letters.ts")).BusDeadLetters(core, parts, parts.publisher, parts.outbound),
    );
    this.scheduled = lazyScheduled(async () => new (await import("./bus-scheduled.ts")).BusScheduled(parts));
    const { signal } = core.options;
    const abort = (): void => void this.close();
    signal?.addEventListener("abort", abort, { once: true });
    parts.whenClosed(() => signal?.removeEventListener("abort", abort));
    if (signal?.aborted === true) abort();
  }

  get name(): string {
    return this.#core.options.name;
  }

  get state(): Bus["state"] {
    return this.#parts.state;
  }

  /** What the last try to connect said. */
  get lastFailure(): BusError | undefined {
    return this.#parts.connector.lastFailure;
  }

  get driver(): ActiveDriver | undefined {
    const connection = this.#parts.connector.active;
    return connection === undefined
      ? undefined
      : { name: this.#parts.connector.driver.name, client: connection.client, capabilities: connection.capabilities };
  }

  async connect(): Promise<this> {
    await this.#parts.started();
    return this;
  }

  publish<E extends EventDefinition>(event: E, data: InputOf<E>, options?: PublishOptions): Promise<Receipt> {
    return this.#parts.closed
      ? Promise.reject(closed())
      : this.#parts.publisher.publish(event, undefined, data, options);
  }

  publishTopic(
    topic: string,
    data: unknown,
    options?: PublishOptions & { readonly type?: string | undefined },
  ): Promise<Receipt> {
    return this.#parts.closed
      ? Promise.reject(closed())
      : this.#parts.publisher.publish(undefined, topic, data, options);
  }

  async publishMany(
    items: Iterable<Outgoing> | AsyncIterable<Outgoing>,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<readonly PublishOutcome[]> {
    if (this.#parts.closed) throw closed();
    checkOptions("publishMany", options, { signal: abortSignal });
    const { publishAll } = await import("./publish-many.ts");
    return publishAll(items, options.signal, this.#parts.publisher, this.#parts.outbound, this.#core);
  }

  send<E extends EventDefinition>(
    group: string,
    event: E,
    data: InputOf<E>,
    options?: PublishOptions,
  ): Promise<Receipt> {
    if (this.#parts.closed) return Promise.reject(closed());
    if (options?.delivery === "at-most-once")
      return Promise.reject(invalidOption('send: a group\'s queue is stored, so "at-most-once" makes no sense'));
    return this.#parts.publisher.publish(event, undefined, data, options, group);
  }

  flush(): Promise<void> {
    return this.#parts.flush();
  }

  subscribe<const E extends EventDefinition | readonly EventDefinition[]>(
    events: E,
    handler: Handler<NoInfer<EventOf<E>>>,
    options?: SubscribeOptions,
  ): Promise<Subscription> {
    return this.#subscribe(() => interestIn(events), handler as Handler<BusEvent>, options);
  }

  subscribePattern<Data = unknown>(
    pattern: string,
    handler: Handler<BusEvent<string, Data>>,
    options?: SubscribeOptions,
  ): Promise<Subscription> {
    return this.#subscribe(() => interestInPattern(pattern), handler as Handler<BusEvent>, options);
  }

  async subscribeBatch<const E extends EventDefinition | readonly EventDefinition[]>(
    events: E,
    handler: BatchHandler<NoInfer<EventOf<E>>>,
    options: SubscribeOptions & BatchOptions,
  ): Promise<Subscription> {
    this.#parts.checkOpen();
    const resolved = resolveSubscribe(options, this.#core.options, 1, true);
    checkOptions("the batch", { maxSize: options?.maxSize, maxAgeMs: options?.maxAgeMs }, batchShape);
    if (options?.maxSize === undefined || options.maxAgeMs === undefined)
      throw invalidOption('subscribeBatch needs "maxSize" and "maxAgeMs"');
    const interest = interestIn(events);
    const [subscriptions, { BatchRunner }] = await Promise.all([
      this.#parts.loadSubscriptions(),
      import("./batch-runner.ts"),
    ]);
    this.#parts.checkOpen();
    const name = subscriptions.nameFor(resolved.group, resolved.name, defaultName(interest));
    const runner = new BatchRunner(
      this.#core,
      name,
      interest,
      resolved,
      options,
      handler as BatchHandler<BusEvent>,
      this.#publishCaused,
    );
    return subscriptions.add(runner, resolved, this.#parts.declareOnly);
  }

  async events<const E extends EventDefinition | readonly EventDefinition[]>(
    events: E,
    options?: SubscribeOptions,
  ): Promise<Events<E>> {
    this.#parts.checkOpen();
    const resolved = resolveSubscribe(options, this.#core.options, 1);
    await this.#startedFor("events", resolved.signal);
    const { EventIterator } = await import("./event-iterator.ts");
    const iterator = new EventIterator(resolved.timeoutMs);
    this.#parts.iterators.add(iterator); // before it is subscribed: closing ends it from now on
    const subscription = await this.#run(interestIn(events), iterator.handle, { ...resolved, signal: undefined }).catch(
      (error: unknown) => {
        this.#parts.iterators.delete(iterator);
        throw error;
      },
    );
    const abort = (): void => void iterator.end(new BusError("BUS_ABORTED", "events: aborted by the caller"));
    iterator.whenDone(async () => {
      this.#parts.iterators.delete(iterator);
      resolved.signal?.removeEventListener("abort", abort);
      await subscription.unsubscribe();
    });
    resolved.signal?.addEventListener("abort", abort, { once: true });
    if (resolved.signal?.aborted === true) abort();
    return iterator as unknown as Events<E>;
  }

  async pull<const E extends EventDefinition | readonly EventDefinition[]>(
    events: E,
    options: PullOptions,
  ): Promise<readonly PulledDelivery<EventOf<E>>[]> {
    this.#parts.checkOpen();
    checkOptions("pull", options, { group: text, max: integer(1, 10_000), waitMs: milliseconds, signal: abortSignal });
    if (options?.group === undefined) throw invalidOption('pull needs a "group"');
    const interest = interestIn(events);
    await this.#startedFor("pull", options.signal);
    const [pulls, { PullRunner }, subscriptions] = await Promise.all([
      (this.#pulls ??= import("./pulls.ts").then(({ Pulls }) => new Pulls(this.#core.wheel))),
      import("./pull-runner.ts"),
      this.#parts.loadSubscriptions(),
    ]);
    this.#parts.checkOpen();
    const make = (): {
      readonly runner: InstanceType<typeof PullRunner>;
      readonly subscribed: Promise<Awaited<ReturnType<Subscriptions["add"]>>>;
    } => {
      const resolved = resolveSubscribe({ group: options.group }, this.#core.options);
      const runner = new PullRunner(
        this.#core,
        `pull:${defaultName(interest)}`,
        interest,
        resolved,
        this.#publishCaused,
        () => this.#settled(options.group),
      );
      return { runner, subscribed: subscriptions.add(runner, resolved, false) };
    };
    return pulls.pull(options.group, defaultName(interest), make, {
      max: options.max ?? 10,
      waitMs: options.waitMs ?? 1_000,
      signal: options.signal,
    }) as Promise<readonly PulledDelivery<EventOf<E>>[]>;
  }

  async request<R extends RequestDefinition>(
    request: R,
    data: RequestInputOf<R>,
    options: RequestOptions = {},
  ): Promise<ResponseOf<R>> {
    this.#parts.checkOpen();
    checkOptions("request", options, {
      timeoutMs: number(1, 2 ** 31 - 1),
      key: text,
      correlationId: text,
      metadata: record,
      signal: abortSignal,
    });
    return (await (await this.#parts.loadRequester()).request(request, data, options)) as ResponseOf<R>;
  }

  async respond<R extends RequestDefinition>(
    request: R,
    handler: (data: RequestOf<R>, context: RequestContext) => ResponseInputOf<R> | Promise<ResponseInputOf<R>>,
    options: RespondOptions = {},
  ): Promise<Subscription> {
    this.#parts.checkOpen();
    checkOptions("respond", options, { group: either(oneOf(false), text), concurrency: integer(1, 100_000) });
    const group =
      options.group === false
        ? undefined
        : validateName("group", options.group ?? this.#core.options.group ?? "responders");
    const { declareOnly } = this.#parts;
    const responders = await this.#parts.loadResponders();
    this.#parts.checkOpen();
    return responders.add(
      request,
      handler as (data: unknown, context: RequestContext) => unknown,
      group,
      options.concurrency ?? 16,
      declareOnly,
    );
  }

  within<T>(scope: Scope, work: () => T): T {
    checkOptions("within", scope, { source: text, session: text, metadata: record, correlationId: text });
    if (scope.source !== undefined) validateSource('within: "source"', scope.source);
    for (const name of ["session", "correlationId"] as const)
      if (scope[name] !== undefined) validateAttribute(`within: "${name}"`, scope[name]);
    return withScope(scope, work);
  }

  kv<T = unknown>(bucket: string, options: KeyValueOptions = {}): KeyValue<T> {
    validateName("bucket", bucket);
    checkOptions("kv", options, keyValueShape);
    return lazyKeyValue(async () => {
      const { BusKeyValue } = await import("./bus-key-value.ts");
      return new BusKeyValue<T>(this.#core, this.#parts, this.#closing.signal, bucket, options);
    });
  }

  async health(
    options: { readonly timeoutMs?: number | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Health> {
    checkOptions("health", options, { timeoutMs: number(1, 2 ** 31 - 1), signal: abortSignal });
    const { checkHealth } = await import("./health-check.ts");
    return checkHealth(
      this.#core,
      this.#parts.connector,
      this.#parts.subscriptions,
      this.#parts.responders,
      options.timeoutMs ?? 5_000,
      options.signal,
    );
  }

  stats(): Stats {
    return this.#core.counters.stats();
  }

  onStatus(listener: (status: BusStatus) => void): Disposable {
    if (typeof listener !== "function") throw invalidOption("onStatus takes a function");
    return this.#core.board.listen(listener);
  }

  close(options: { readonly timeoutMs?: number | undefined } = {}): Promise<{ readonly unfinished: number }> {
    const timeoutMs = closeTimeout("close", options);
    if (timeoutMs instanceof Error) return Promise.reject(timeoutMs);
    this.#closing.abort();
    return this.#parts.close(timeoutMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  readonly #publishCaused: PublishCaused = (cause, event, data, options) =>
    this.#parts.closed
      ? Promise.reject(closed())
      : this.#parts.publisher.publish(event, undefined, data, options, undefined, cause);

  async #subscribe(
    interest: () => Interest,
    handler: Handler<BusEvent>,
    options: SubscribeOptions | undefined,
  ): Promise<Subscription> {
    this.#parts.checkOpen();
    const resolved = resolveSubscribe(options, this.#core.options);
    if (typeof handler !== "function" && typeof handler?.handle !== "function")
      throw invalidOption('the handler must be a function, or an object with "handle"');
    return this.#run(interest(), handler, resolved);
  }

  async #run(
    interest: Interest,
    handler: Handler<BusEvent>,
    resolved: ReturnType<typeof resolveSubscribe>,
  ): ReturnType<Subscriptions["add"]> {
    const { declareOnly } = this.#parts; // as of the call: connecting starts what was declared before it
    const subscriptions = await this.#parts.loadSubscriptions();
    this.#parts.checkOpen();
    return subscriptions.handle(interest, handler, resolved, this.#publishCaused, declareOnly);
  }

  /** Connected, unless the caller gives up before. */
  async #startedFor(what: string, signal: AbortSignal | undefined): Promise<void> {
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(new BusError("BUS_ABORTED", `${what}: aborted by the caller`));
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted === true) abort();
    try {
      await Promise.race([aborted.promise, this.#parts.started()]);
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  async #settled(group: string): Promise<void> {
    await this.#parts.subscriptions?.members.find((member) => member.options.group === group)?.flush();
  }
}
