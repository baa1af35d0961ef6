import { attachedAdmin } from "./attached-admin.ts";
import { AttachedSchedule, type Later } from "./attached-schedule.ts";
import type {
  Capabilities,
  ConnectContext,
  Consumption,
  Driver,
  DriverAdmin,
  DriverConnection,
  GroupSpec,
  OutMessage,
  Sink,
  Source,
  StateStore,
  StreamOptions,
  Window,
} from "./driver.ts";
import { invalidOption } from "./option-check.ts";
import { wrapError } from "./wrap-error.ts";

/** Where the store is, by its url. */
export interface StoreDriver {
  readonly driver: Driver;
  /** A file: members on another host would have another one. */
  readonly isLocal: boolean;
}

/** A driver whose broker holds no state, with the state store of another one beside it. */
export class AttachedState implements Driver {
  readonly #driver: Driver;
  readonly #store: StoreDriver;

  constructor(driver: Driver, store: StoreDriver) {
    this.#driver = driver;
    this.#store = store;
  }

  get name(): string {
    return this.#driver.name;
  }

  get capabilities(): Capabilities {
    return attached(this.#driver.capabilities);
  }

  classify(error: unknown): { readonly code: string; readonly retryable: boolean } {
    return this.#driver.classify(error);
  }

  async connect(context: ConnectContext): Promise<DriverConnection> {
    const open: DriverConnection[] = [];
    try {
      const connection = await this.#driver.connect(context);
      open.push(connection);
      if (connection.state !== undefined)
        throw invalidOption(`"state" is for a driver without a store: "${this.name}" has one of its own`);
      const store = await this.#connectStore(context);
      open.push(store);
      if (store.state === undefined)
        throw invalidOption(`"state": the driver "${this.#store.driver.name}" has no state store`);
      return new AttachedConnection(connection, store, this.#store, context);
    } catch (error) {
      await Promise.allSettled(open.map((connection) => connection.close(AbortSignal.abort())));
      throw error;
    }
  }

  async #connectStore(context: ConnectContext): Promise<DriverConnection> {
    const { driver } = this.#store;
    try {
      return await driver.connect({
        ...context,
        changed: () => undefined,
        status: ({ type }) => {
          if (type === "disconnected") context.warn("the state store is not reachable", { store: driver.name });
        },
      });
    } catch (error) {
      throw wrapError(driver, "connecting to the state store", error);
    }
  }
}

/** What the broker holds back for a time it can't list, so what is published for later waits in the store. */
const attached = (capabilities: Capabilities): Capabilities => ({
  ...capabilities,
  delay: "moved",
  schedules: "attached",
  state: "attached",
});

class AttachedConnection implements DriverConnection {
  readonly capabilities: Capabilities;
  readonly state: StateStore;
  /** What waits in the store is bytes. */
  readonly unencoded: boolean = false;
  readonly admin: DriverAdmin;
  readonly #schedule: AttachedSchedule;
  readonly #connection: DriverConnection;
  readonly #store: DriverConnection;
  readonly #from: StoreDriver;

  constructor(connection: DriverConnection, store: DriverConnection, from: StoreDriver, context: ConnectContext) {
    this.#connection = connection;
    this.#store = store;
    this.#from = from;
    this.capabilities = attached(connection.capabilities);
    this.state = new WrappedStore(store.state!, from.driver);
    this.#schedule = new AttachedSchedule(connection, this.state, context);
    this.admin = attachedAdmin(connection.admin, this.#schedule);
  }

  get client(): unknown {
    return this.#connection.client;
  }

  send(batch: readonly OutMessage[]): void {
    const now: OutMessage[] = [];
    const later: Later[] = [];
    for (const message of batch)
      if (this.#schedule.takes(message)) later.push(message);
      else now.push(message);
    if (now.length > 0) this.#connection.send(now);
    if (later.length > 0) void this.#schedule.add(later);
  }

  ensureStream(stream: StreamOptions, dryRun?: boolean): Promise<"created" | "unchanged" | "updated"> {
    return this.#connection.ensureStream(stream, dryRun);
  }

  ensureGroup(group: GroupSpec): Promise<GroupSpec> {
    return this.#connection.ensureGroup(group);
  }

  async consume(source: Source, sink: Sink, window: Window): Promise<Consumption> {
    const consumption = await this.#connection.consume(source, sink, window);
    if (source.kind !== "group" || !this.#from.isLocal) return consumption;
    try {
      await this.#checkHosts(source.group);
      return consumption;
    } catch (error) {
      await consumption.close(AbortSignal.abort());
      throw error;
    }
  }

  /** Whoever joins later sees the one who was there. */
  async #checkHosts(group: string): Promise<void> {
    const hosts = new Set((await this.#connection.admin.members(group)).map(({ host }) => host));
    if (hosts.size > 1)
      throw invalidOption(
        `"state": a file can't be the state store of members on several hosts (group "${group}": ${[...hosts].toSorted().join(", ")}); use one that all of them reach`,
      );
  }

  async ping(): Promise<Readonly<Record<string, string | number>>> {
    const store = this.#store.ping().then(
      () => "up",
      () => "down",
    );
    return { ...(await this.#connection.ping()), stateStore: `${this.#from.driver.name}, ${await store}` };
  }

  async close(signal: AbortSignal): Promise<void> {
    await this.#schedule.close(signal);
    try {
      await this.#connection.close(signal);
    } finally {
      await this.#store.close(signal);
    }
  }
}

/** Its errors are the store's and not the broker's. */
class WrappedStore implements StateStore {
  readonly #store: StateStore;
  readonly #driver: Driver;

  constructor(store: StateStore, driver: Driver) {
    this.#store = store;
    this.#driver = driver;
  }

  get: StateStore["get"] = (...args) => this.#ask(() => this.#store.get(...args));
  put: StateStore["put"] = (...args) => this.#ask(() => this.#store.put(...args));
  delete: StateStore["delete"] = (...args) => this.#ask(() => this.#store.delete(...args));
  keys: StateStore["keys"] = (...args) => this.#read(this.#store.keys(...args));
  watch: StateStore["watch"] = (...args) => this.#read(this.#store.watch(...args));
  schedule: StateStore["schedule"] = (...args) => this.#ask(() => this.#store.schedule(...args));
  due: StateStore["due"] = (...args) => this.#ask(() => this.#store.due(...args));
  scheduled: StateStore["scheduled"] = (...args) => this.#ask(() => this.#store.scheduled(...args));
  unschedule: StateStore["unschedule"] = (...args) => this.#ask(() => this.#store.unschedule(...args));

  async #ask<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    try {
      return await ask();
    } catch (error) {
      throw wrapError(this.#driver, "the state store", error);
    }
  }

  async *#read<Item>(items: AsyncIterable<Item>): AsyncGenerator<Item> {
    try {
      yield* items;
    } catch (error) {
      throw wrapError(this.#driver, "the state store", error);
    }
  }
}
