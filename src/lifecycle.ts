import type { Bus } from "./bus.ts";
import { closed, Connector } from "./connector.ts";
import type { Core } from "./core.ts";
import { aborted, within } from "./deadline.ts";
import type { Driver, DriverConnection } from "./driver.ts";
import { BusError } from "./errors.ts";
import type { EventIterator } from "./event-iterator.ts";
import type { Subscription } from "./handler.ts";
import { Outbound } from "./outbound.ts";
import { Publisher } from "./publisher.ts";
import type { Requester } from "./requester.ts";
import type { Responders } from "./responders.ts";
import { Routing } from "./routing.ts";
import { errorFields } from "./status-board.ts";
import type { Subscriptions } from "./subscriptions.ts";
import type { Broker } from "./supervisor.ts";
import { wrapError } from "./wrap-error.ts";

/** The parts of one bus, and the order in which they start and stop. */
export class Lifecycle implements Broker {
  readonly driver: Driver;
  readonly connector: Connector;
  readonly routing: Routing = new Routing();
  readonly outbound: Outbound;
  readonly publisher: Publisher;
  /** Loops over events that are open. */
  readonly iterators: Set<EventIterator> = new Set();
  /** Loaded with the first subscription, the first request, and the first that answers one. */
  readonly loadSubscriptions: () => Promise<Subscriptions>;
  readonly loadRequester: () => Promise<Requester>;
  readonly loadResponders: () => Promise<Responders>;
  #subscriptions: Subscriptions | undefined;
  #requester: Requester | undefined;
  #responders: Responders | undefined;
  /** Those that wait for it were declared before what waits for it later. */
  #subscriptionsLoading: Promise<Subscriptions> | undefined;
  #respondersLoading: Promise<Responders> | undefined;
  #requesterLoading: Promise<Requester> | undefined;
  readonly #core: Core;
  #starting: Promise<void> | undefined;
  #closing: Promise<{ readonly unfinished: number }> | undefined;
  #closed = false;
  readonly #whenClosed: (() => void)[] = [];

  constructor(core: Core, driver: Driver) {
    this.#core = core;
    this.driver = driver;
    this.connector = new Connector(
      core,
      driver,
      memberOf(core),
      (connection) => this.#prepare(connection),
      () => this.#rerouted(),
    );
    this.outbound = new Outbound(core, driver);
    this.publisher = new Publisher(core, this.outbound, this, this.routing);
    this.loadSubscriptions = () => (this.#subscriptionsLoading ??= this.#loadSubscriptions());
    this.loadRequester = () => (this.#requesterLoading ??= this.#loadRequester());
    this.loadResponders = () => (this.#respondersLoading ??= this.#loadResponders());
  }

  get state(): Bus["state"] {
    if (this.#closed) return "closed";
    if (this.#closing !== undefined) return "closing";
    return this.connector.state;
  }
  /** Nothing can be published any more. */
  get closed(): boolean {
    return this.#closed;
  }
  /** While the bus has never been asked to connect, subscriptions are only written down. */
  get declareOnly(): boolean {
    return this.#starting === undefined;
  }
  get active(): DriverConnection | undefined {
    return this.connector.active;
  }
  get whenBack(): Set<() => void> {
    return this.connector.whenBack;
  }
  /** Undefined before the first one. */
  get subscriptions(): Subscriptions | undefined {
    return this.#subscriptions;
  }
  get responders(): readonly Subscription[] {
    return this.#responders?.all ?? [];
  }
  get driverName(): string {
    return this.driver.name;
  }

  /** Throws BUS_CLOSED once closing has begun. */
  checkOpen(): void {
    if (this.#closed || this.#closing !== undefined) throw closed();
  }

  /** Called back once, at the end of closing. */
  whenClosed(release: () => void): void {
    this.#whenClosed.push(release);
  }

  /** Connected, with everything declared running. */
  started(): Promise<void> {
    if (this.#closed || this.#closing !== undefined) return Promise.reject(closed());
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  /** Connected; for parts that start with the rest. */
  async ready(): Promise<DriverConnection> {
    if (this.#closed) throw closed();
    if (this.#starting === undefined) await this.started();
    return this.connector.ready();
  }

  /** Resolves when everything published so far is settled. */
  async flush(): Promise<void> {
    await this.publisher.idle();
    await this.outbound.flush();
  }

  /** Reads the routing table again; groups and tails follow. Rejects with BusError. */
  async refresh(): Promise<void> {
    const connection = this.connector.active;
    if (connection === undefined) return;
    try {
      this.routing.update(await connection.admin.streams());
      await this.#subscriptions?.rerouted(connection);
    } catch (error) {
      throw wrapError(this.connector.driver, "reading the routing table", error);
    }
  }

  close(timeoutMs: number): Promise<{ readonly unfinished: number }> {
    return (this.#closing ??= this.#close(timeoutMs));
  }

  async #start(): Promise<void> {
    const connection = await this.connector.ready();
    this.outbound.connected(connection);
    await (await this.#subscriptionsLoading)?.startAll();
    await (await this.#respondersLoading)?.startAll();
  }

  async #loadSubscriptions(): Promise<Subscriptions> {
    const { Subscriptions } = await import("./subscriptions.ts");
    return (this.#subscriptions = new Subscriptions(this.#core, this, this.routing));
  }

  async #loadRequester(): Promise<Requester> {
    const { Requester } = await import("./requester.ts");
    return (this.#requester = new Requester(this.#core, this, this.publisher, this.outbound));
  }

  async #loadResponders(): Promise<Responders> {
    const [subscriptions, { Responders }] = await Promise.all([this.loadSubscriptions(), import("./responders.ts")]);
    return (this.#responders = new Responders(this.#core, this.publisher, this.outbound, subscriptions));
  }

  async #prepare(connection: DriverConnection): Promise<void> {
    const { streams, manage } = this.#core.options;
    if (manage === "create") for (const stream of streams) await connection.ensureStream(stream, false);
    const existing = await connection.admin.streams();
    const missing =
      manage === "verify" ? streams.filter(({ name }) => !existing.some((stream) => stream.name === name)) : [];
    if (missing.length > 0)
      throw new BusError(
        "BUS_NOT_FOUND",
        `missing at the broker: ${missing.map(({ name, topics }) => `stream "${name}" (${topics.join(", ")})`).join(", ")}; connect once with manage: "create", or call bus.streams.ensure`,
      );
    this.routing.update(existing);
  }

  #rerouted(): void {
    this.refresh().catch((error: unknown) =>
      this.#core.board.say({ type: "error", driver: this.connector.driver.name, error: error as BusError }),
    );
  }

  /** Stop fetching; let handlers finish, who may still publish; flush; hand back; close. By force when the time is up. */
  async #close(timeoutMs: number): Promise<{ readonly unfinished: number }> {
    const force = new AbortController();
    const timer = this.#core.wheel.set(timeoutMs, () =>
      force.abort(new BusError("BUS_TIMEOUT", `not closed within ${timeoutMs} ms`)),
    );
    const said = (error: unknown): void => this.#core.board.log("warn", "closing", errorFields(error));
    const inTime = async (work: () => Promise<unknown>): Promise<void> => {
      if (force.signal.aborted) return;
      await Promise.race([work().catch(said), aborted(force.signal)]);
    };
    for (const iterator of this.iterators) iterator.end(undefined).catch(said);
    const connected = this.connector.active !== undefined;
    if (!connected) await inTime(() => this.connector.close(force.signal)); // ends a try that is under way, and whatever waits for it
    await inTime(() => Promise.all([this.#subscriptions?.stop(), this.#responders?.stop()]));
    const unfinished = (this.#subscriptions?.cutOff(closed()) ?? 0) + (this.#responders?.abort(closed()) ?? 0);
    const closing = Promise.resolve(this.#subscriptions?.close(force.signal)).catch(said);
    await inTime(() => closing);
    if (connected) await inTime(() => this.flush());
    await inTime(async () => this.#requester?.close(force.signal));
    this.#closed = true;
    this.publisher.close();
    this.outbound.close(closed());
    const disconnected = this.connector.close(force.signal).catch(said);
    await inTime(() => disconnected);
    force.abort(closed()); // a driver that is forced closes at once
    await within(this.#core.wheel, 1_000, disconnected);
    timer.cancel();
    this.#core.wheel.close();
    for (const release of this.#whenClosed) release();
    this.#core.board.say({ type: "closed", driver: this.connector.driver.name });
    this.#core.board.log("info", "closed", { unfinished });
    return { unfinished };
  }
}

function memberOf({ options, clock, ids }: Core): Parameters<Driver["connect"]>[0]["member"] {
  const now = new Date(clock.now());
  const { pid } = process;
  const host = process.getBuiltinModule("node:os").hostname();
  const name = options.member ?? `${options.name}@${host}:${pid}`;
  return { id: ids.next(), name, host, pid, since: now, lastSeen: now, partitions: undefined };
}
