import { hostname } from "node:os";
import type { DeadLetters, GroupAdmin, StreamAdmin } from "./admin.ts";
import type { ActiveDriver, Bus, RequestContext, RequestOptions, RespondOptions, Scope } from "./bus.ts";
import { withScope } from "./context.ts";
import { closed, Connector } from "./connector.ts";
import type { Core } from "./core.ts";
import { within } from "./deadline.ts";
import type { Driver, DriverConnection } from "./driver.ts";
import { validateAttribute, validateSource } from "./attribute.ts";
import { BusError } from "./errors.ts";
import type { BusEvent, EventDefinition, EventOf, InputOf, Outgoing, PublishOptions } from "./event.ts";
import type { EventIterator } from "./event-iterator.ts";
import { HandlerRunner, type Interest, type PublishCaused } from "./handler-runner.ts";
import type { BatchHandler, BatchOptions, EventIterator as Events, Handler, PulledDelivery, PullOptions, SubscribeOptions, Subscription } from "./handler.ts";
import { defaultName, interestIn, interestInPattern } from "./interest.ts";
import { batchShape, resolveSubscribe } from "./normalise.ts";
import { abortSignal, checkOptions, integer, invalidOption, milliseconds, number, oneOf, either, record, text } from "./option-check.ts";
import { Outbound } from "./outbound.ts";
import { lazyDeadLetters, lazyGroups, lazyStreams, once } from "./lazy-offices.ts";
import { Publisher } from "./publisher.ts";
import type { Pulls } from "./pulls.ts";
import type { Requester } from "./requester.ts";
import type { Responders } from "./responders.ts";
import type { PublishOutcome, Receipt } from "./receipt.ts";
import type { RequestDefinition, RequestInputOf, RequestOf, ResponseInputOf, ResponseOf } from "./request-definition.ts";
import { Routing } from "./routing.ts";
import type { BusStatus, Health, Stats } from "./status.ts";
import { closeTimeout } from "./subscription.ts";
import { Subscriptions } from "./subscriptions.ts";
import { validateName } from "./topic.ts";
import { wrapError } from "./wrap-error.ts";

/** The bus: what users hold. It wires the parts and owns the order in which they start and stop. */
export class MessageBus implements Bus {
  readonly streams: StreamAdmin;
  readonly groups: GroupAdmin;
  readonly deadLetters: DeadLetters;
  readonly #core: Core;
  readonly #connector: Connector;
  readonly #routing = new Routing();
  readonly #outbound: Outbound;
  readonly #publisher: Publisher;
  readonly #subscriptions: Subscriptions;
  // loaded with their first use
  readonly #loadRequester: () => Promise<Requester>;
  readonly #loadResponders: () => Promise<Responders>;
  readonly #loadPulls: () => Promise<Pulls>;
  #requester: Requester | undefined;
  #responders: Responders | undefined;
  readonly #iterators = new Set<EventIterator>();
  #starting: Promise<void> | undefined;
  #closing: Promise<{ readonly unfinished: number }> | undefined;
  #closed = false;

  constructor(core: Core, driver: Driver) {
    this.#core = core;
    const { options, clock, ids } = core;
    const now = new Date(clock.now());
    const member = { id: ids.next(), name: options.member ?? `${options.name}@${hostname()}:${process.pid}`, host: hostname(), pid: process.pid, since: now, lastSeen: now, partitions: undefined };
    this.#connector = new Connector(core, driver, member, (connection) => this.#prepare(connection), () => this.#rerouted());
    const connector = this.#connector;
    const broker = { driver, ready: () => this.#ready(), get active(): DriverConnection | undefined { return connector.active; } };
    this.#outbound = new Outbound(core, driver);
    this.#publisher = new Publisher(core, this.#outbound, { driverName: driver.name, ready: () => this.#started(), get active(): DriverConnection | undefined { return connector.active; } }, this.#routing);
    this.#subscriptions = new Subscriptions(core, broker, this.#routing);
    this.#loadRequester = once(async () => (this.#requester = new (await import("./requester.ts")).Requester(core, broker, this.#publisher, this.#outbound)));
    this.#loadResponders = once(async () => (this.#responders = new (await import("./responders.ts")).Responders(core, this.#publisher, this.#outbound, this.#subscriptions)));
    this.#loadPulls = once(async () => new (await import("./pulls.ts")).Pulls(core.wheel));
    this.streams = lazyStreams(once(async () => new (await import("./administration.ts")).StreamOffice(broker, () => this.#refresh())));
    this.groups = lazyGroups(once(async () => new (await import("./administration.ts")).GroupOffice(core, broker, this.#routing)));
    this.deadLetters = lazyDeadLetters(once(async () => new (await import("./dead-letters.ts")).DeadLetterOffice(core, broker, this.#publisher, this.#outbound)));
    options.signal?.addEventListener("abort", () => void this.close(), { once: true });
    if (options.signal?.aborted === true) void this.close();
  }

  get name(): string {
    return this.#core.options.name;
  }

  get state(): Bus["state"] {
    if (this.#closed) return "closed";
    if (this.#closing !== undefined) return "closing";
    const { state } = this.#connector;
    return state === "closed" ? "closed" : state;
  }

  /** What the last try to connect said. */
  get lastFailure(): BusError | undefined {
    return this.#connector.lastFailure;
  }

  get driver(): ActiveDriver | undefined {
    const connection = this.#connector.active;
    return connection === undefined ? undefined : { name: this.#connector.driver.name, client: connection.client, capabilities: connection.capabilities };
  }

  async connect(): Promise<this> {
    await this.#started();
    return this;
  }

  publish<E extends EventDefinition>(event: E, data: InputOf<E>, options?: PublishOptions): Promise<Receipt> {
    return this.#closed ? Promise.reject(closed()) : this.#publisher.publish(event, undefined, data, options);
  }

  publishTopic(topic: string, data: unknown, options?: PublishOptions & { readonly type?: string | undefined }): Promise<Receipt> {
    return this.#closed ? Promise.reject(closed()) : this.#publisher.publish(undefined, topic, data, options);
  }

  async publishMany(items: Iterable<Outgoing> | AsyncIterable<Outgoing>, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<readonly PublishOutcome[]> {
    if (this.#closed) throw closed();
    checkOptions("publishMany", options, { signal: abortSignal });
    const { publishAll } = await import("./publish-many.ts");
    return publishAll(items, options.signal, this.#publisher, this.#outbound, this.#core);
  }

  send<E extends EventDefinition>(group: string, event: E, data: InputOf<E>, options?: PublishOptions): Promise<Receipt> {
    if (this.#closed) return Promise.reject(closed());
    if (options?.delivery === "at-most-once") return Promise.reject(invalidOption('send: a group\'s queue is stored, so "at-most-once" makes no sense'));
    return this.#publisher.publish(event, undefined, data, options, group);
  }

  async flush(): Promise<void> {
    await this.#publisher.idle();
    await this.#outbound.flush();
  }

  subscribe<const E extends EventDefinition | readonly EventDefinition[]>(events: E, handler: Handler<NoInfer<EventOf<E>>>, options?: SubscribeOptions): Promise<Subscription> {
    return this.#subscribe(() => interestIn(events), handler as Handler<BusEvent>, options);
  }

  subscribePattern<Data = unknown>(pattern: string, handler: Handler<BusEvent<string, Data>>, options?: SubscribeOptions): Promise<Subscription> {
    return this.#subscribe(() => interestInPattern(pattern), handler as Handler<BusEvent>, options);
  }

  async subscribeBatch<const E extends EventDefinition | readonly EventDefinition[]>(events: E, handler: BatchHandler<NoInfer<EventOf<E>>>, options: SubscribeOptions & BatchOptions): Promise<Subscription> {
    this.#open();
    const resolved = resolveSubscribe(options, this.#core.options, 1, true);
    checkOptions("the batch", { maxSize: options?.maxSize, maxAgeMs: options?.maxAgeMs }, batchShape);
    if (options?.maxSize === undefined || options.maxAgeMs === undefined) throw invalidOption('subscribeBatch needs "maxSize" and "maxAgeMs"');
    const interest = interestIn(events);
    const name = this.#subscriptions.nameFor(resolved.group, resolved.name, defaultName(interest));
    const { BatchRunner } = await import("./batch-runner.ts");
    const runner = new BatchRunner(this.#core, name, interest, resolved, options, handler as BatchHandler<BusEvent>, this.#publishCaused);
    return this.#subscriptions.add(runner, resolved, this.#declareOnly);
  }

  async events<const E extends EventDefinition | readonly EventDefinition[]>(events: E, options?: SubscribeOptions): Promise<Events<E>> {
    this.#open();
    await this.#started();
    const resolved = resolveSubscribe(options, this.#core.options, 1);
    const iterator = new (await import("./event-iterator.ts")).EventIterator();
    const subscription = await this.#run(interestIn(events), iterator.handle, { ...resolved, signal: undefined });
    const abort = (): void => iterator.end(new BusError("BUS_ABORTED", "events: aborted by the caller"));
    resolved.signal?.addEventListener("abort", abort, { once: true });
    if (resolved.signal?.aborted === true) abort();
    this.#iterators.add(iterator);
    return iterator.whenDone(async () => {
      this.#iterators.delete(iterator);
      resolved.signal?.removeEventListener("abort", abort);
      await subscription.unsubscribe();
    }) as unknown as Events<E>;
  }

  async pull<const E extends EventDefinition | readonly EventDefinition[]>(events: E, options: PullOptions): Promise<readonly PulledDelivery<EventOf<E>>[]> {
    this.#open();
    checkOptions("pull", options, { group: text, max: integer(1, 10_000), waitMs: milliseconds, signal: abortSignal });
    if (options?.group === undefined) throw invalidOption('pull needs a "group"');
    const interest = interestIn(events);
    await this.#started();
    const [pulls, { PullRunner }] = await Promise.all([this.#loadPulls(), import("./pull-runner.ts")]);
    const make = (): { readonly runner: InstanceType<typeof PullRunner>; readonly subscribed: Promise<Awaited<ReturnType<Subscriptions["add"]>>> } => {
      const resolved = resolveSubscribe({ group: options.group }, this.#core.options);
      if (this.#subscriptions.members.some((member) => member.options.group === options.group)) throw new BusError("BUS_CONFLICT", `group "${options.group}" has handlers in this bus: pull and handlers of one group exclude each other`);
      const runner = new PullRunner(this.#core, `pull:${defaultName(interest)}`, interest, resolved, this.#publishCaused, () => this.#settled(options.group));
      return { runner, subscribed: this.#subscriptions.add(runner, resolved, false) };
    };
    return pulls.pull(options.group, defaultName(interest), make, { max: options.max ?? 10, waitMs: options.waitMs ?? 1_000, signal: options.signal }) as Promise<readonly PulledDelivery<EventOf<E>>[]>;
  }

  async request<R extends RequestDefinition>(request: R, data: RequestInputOf<R>, options: RequestOptions = {}): Promise<ResponseOf<R>> {
    this.#open();
    checkOptions("request", options, { timeoutMs: number(1, 2 ** 31 - 1), key: text, correlationId: text, metadata: record, signal: abortSignal });
    return (await (await this.#loadRequester()).request(request, data, options)) as ResponseOf<R>;
  }

  async respond<R extends RequestDefinition>(request: R, handler: (data: RequestOf<R>, context: RequestContext) => ResponseInputOf<R> | Promise<ResponseInputOf<R>>, options: RespondOptions = {}): Promise<Subscription> {
    this.#open();
    checkOptions("respond", options, { group: either(oneOf(false), text), concurrency: integer(1, 100_000) });
    const group = options.group === false ? undefined : validateName("group", options.group ?? this.#core.options.group ?? "responders");
    const responders = await this.#loadResponders();
    return responders.add(request, handler as (data: unknown, context: RequestContext) => unknown, group, options.concurrency ?? 16, this.#declareOnly);
  }

  within<T>(scope: Scope, work: () => T): T {
    checkOptions("within", scope, { source: text, session: text, metadata: record, correlationId: text });
    if (scope.source !== undefined) validateSource('within: "source"', scope.source);
    for (const name of ["session", "correlationId"] as const) if (scope[name] !== undefined) validateAttribute(`within: "${name}"`, scope[name]);
    return withScope(scope, work);
  }

  async health(options: { readonly timeoutMs?: number | undefined; readonly signal?: AbortSignal | undefined } = {}): Promise<Health> {
    checkOptions("health", options, { timeoutMs: number(1, 2 ** 31 - 1), signal: abortSignal });
    const { checkHealth } = await import("./health-check.ts");
    return checkHealth(this.#core, this.#connector, this.#subscriptions, options.timeoutMs ?? 5_000, options.signal);
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
    return timeoutMs instanceof Error ? Promise.reject(timeoutMs) : (this.#closing ??= this.#close(timeoutMs));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  readonly #publishCaused: PublishCaused = (cause, event, data, options) => (this.#closed ? Promise.reject(closed()) : this.#publisher.publish(event, undefined, data, options, undefined, cause));

  /** While the bus has never been asked to connect, subscriptions are only written down. */
  get #declareOnly(): boolean {
    return this.#starting === undefined;
  }

  #open(): void {
    if (this.#closed || this.#closing !== undefined) throw closed();
  }

  async #subscribe(interest: () => Interest, handler: Handler<BusEvent>, options: SubscribeOptions | undefined): Promise<Subscription> {
    this.#open();
    const resolved = resolveSubscribe(options, this.#core.options);
    if (typeof handler !== "function" && typeof handler?.handle !== "function") throw invalidOption('the handler must be a function, or an object with "handle"');
    return this.#run(interest(), handler, resolved);
  }

  async #run(interest: Interest, handler: Handler<BusEvent>, resolved: ReturnType<typeof resolveSubscribe>): ReturnType<Subscriptions["add"]> {
    const name = this.#subscriptions.nameFor(resolved.group, resolved.name, defaultName(interest));
    const runner = new HandlerRunner(this.#core, name, interest, resolved, handler, this.#publishCaused);
    return this.#subscriptions.add(runner, resolved, this.#declareOnly);
  }

  /** Connected, with everything declared running. */
  #started(): Promise<void> {
    if (this.#closed || this.#closing !== undefined) return Promise.reject(closed());
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  async #start(): Promise<void> {
    const connection = await this.#connector.ready();
    this.#outbound.connected(connection);
    await this.#subscriptions.startAll();
    await this.#responders?.startAll();
  }

  /** For parts that start with the rest: connects, without waiting for what is declared. */
  async #ready(): Promise<DriverConnection> {
    if (this.#closed) throw closed();
    if (this.#starting === undefined) await this.#started();
    return this.#connector.ready();
  }

  async #prepare(connection: DriverConnection): Promise<void> {
    const { streams, manage } = this.#core.options;
    if (manage === "create") for (const stream of streams) await connection.ensureStream(stream, false);
    const existing = await connection.admin.streams();
    const missing = manage === "verify" ? streams.filter(({ name }) => !existing.some((stream) => stream.name === name)) : [];
    if (missing.length > 0) throw new BusError("BUS_NOT_FOUND", `missing at the broker: ${missing.map(({ name, topics }) => `stream "${name}" (${topics.join(", ")})`).join(", ")}; connect once with manage: "create", or call bus.streams.ensure`);
    this.#routing.update(existing);
  }

  async #refresh(): Promise<void> {
    const connection = this.#connector.active;
    if (connection === undefined) return;
    this.#routing.update(await connection.admin.streams());
    await this.#subscriptions.rerouted(connection);
  }

  #rerouted(): void {
    this.#refresh().catch((error: unknown) => {
      const failure = wrapError(this.#connector.driver, "reading the routing table", error);
      this.#core.board.say({ type: "error", driver: this.#connector.driver.name, error: failure });
    });
  }

  async #settled(group: string): Promise<void> {
    await this.#subscriptions.members.find((member) => member.options.group === group)?.flush();
  }

  /** Stop fetching; let handlers finish, who may still publish; flush; hand back; close. By force when the time is up. */
  async #close(timeoutMs: number): Promise<{ readonly unfinished: number }> {
    const force = new AbortController();
    const timer = this.#core.wheel.set(timeoutMs, () => force.abort(new BusError("BUS_TIMEOUT", `not closed within ${timeoutMs} ms`)));
    const inTime = async (work: () => Promise<unknown>): Promise<void> => {
      if (force.signal.aborted) return;
      const aborted = new Promise<void>((resolve) => force.signal.addEventListener("abort", () => resolve(), { once: true }));
      await Promise.race([work().catch((error: unknown) => this.#core.board.log("warn", "closing", { reason: String(error) })), aborted]);
    };
    for (const iterator of this.#iterators) iterator.end(undefined);
    const connected = this.#connector.active !== undefined;
    if (!connected) await inTime(() => this.#connector.close(force.signal)); // ends a try that is under way, and whatever waits for it
    await inTime(() => Promise.all([this.#subscriptions.stop(), this.#responders?.stop()]));
    const unfinished = this.#subscriptions.cutOff(closed()) + (this.#responders?.abort(closed()) ?? 0);
    const closing = this.#subscriptions.close(force.signal);
    await inTime(() => closing);
    if (connected) await inTime(() => this.flush());
    await inTime(async () => this.#requester?.close(force.signal));
    this.#closed = true;
    this.#outbound.close(closed());
    await within(this.#core.wheel, 1_000, this.#connector.close(force.signal)); // a driver closes at once when forced
    timer.cancel();
    this.#core.wheel.clear();
    this.#core.board.say({ type: "closed", driver: this.#connector.driver.name });
    this.#core.board.log("info", "closed", { unfinished });
    return { unfinished };
  }
}
