import type {
  Capabilities,
  ConnectContext,
  Consumption,
  DriverConnection,
  GroupSpec,
  Member,
  OutMessage,
  Sink,
  Source,
  StateStore,
  StreamOptions,
  Window,
} from "../../driver.ts";
import type { Clock } from "../../clock.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { MemoryAdmin } from "./admin.ts";
import { memoryCapabilities } from "./capabilities.ts";
import type { Consumer } from "./group-member.ts";
import type { Store } from "./store.ts";

/** One bus at a store. `manage` has nothing to check: a store belongs to its process. */
export class MemoryConnection implements DriverConnection, Consumer {
  /** There is no client below. */
  readonly client: undefined = undefined;
  readonly capabilities: Capabilities = memoryCapabilities;
  readonly unencoded: boolean;
  readonly admin: MemoryAdmin;
  readonly member: Member;
  readonly clock: Clock;
  readonly #store: Store;
  readonly #changed: () => void;
  readonly #open = new Set<Consumption & { leave(counted: boolean): void }>();
  #closed = false;

  constructor(store: Store, context: ConnectContext) {
    this.#store = store;
    this.member = context.member;
    this.clock = context.clock;
    this.#changed = () => context.changed();
    this.unencoded = !store.options.encode;
    this.admin = new MemoryAdmin(store, this);
    store.connections.add(this);
    store.time.attach(context.clock);
  }

  get state(): StateStore {
    return this.#store.state;
  }

  async ensureStream(stream: StreamOptions, dryRun: boolean): Promise<"created" | "unchanged" | "updated"> {
    this.#check();
    const outcome = this.#store.ensureStream(stream, dryRun);
    if (outcome !== "unchanged" && !dryRun) this.tellOthers();
    return outcome;
  }

  async ensureGroup(group: GroupSpec): Promise<GroupSpec> {
    this.#check();
    return this.#store.ensureGroup(group, this);
  }

  send(batch: readonly OutMessage[]): void {
    if (this.#closed) {
      const error = closedError();
      for (const message of batch) message.failed("no", error);
      return;
    }
    const store = this.#store;
    const now = this.clock.now();
    for (let index = 0; index < batch.length; index += 1) store.accept(batch[index]!, this, now);
  }

  async consume(source: Source, sink: Sink, window: Window): Promise<Consumption> {
    this.#check();
    const consumption = this.#store.consume(source, sink, window, this);
    this.#open.add(consumption);
    return consumption;
  }

  async ping(): Promise<Readonly<Record<string, string | number>>> {
    this.#check();
    let messages = 0;
    let bytes = 0;
    for (const stream of this.#store.streams.values()) {
      messages += stream.messages;
      bytes += stream.bytes;
    }
    return {
      store: this.#store.options.name ?? "private",
      connections: this.#store.connections.size,
      streams: this.#store.streams.size,
      groups: this.#store.groups.size,
      messages,
      bytes,
    };
  }

  /** What is still open goes back; when the signal has aborted, as if a handler had had it. */
  async close(signal: AbortSignal): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const consumption of this.#open) consumption.leave(signal.aborted);
    this.#store.disconnect(this);
  }

  /** The routing table changed by this connection. */
  tellOthers(): void {
    for (const connection of this.#store.connections) if (connection !== this) connection.tableChanged();
  }

  tableChanged(): void {
    this.#changed();
  }

  forget(consumption: Consumption): void {
    this.#open.delete(consumption as Consumption & { leave(counted: boolean): void });
  }

  #check(): void {
    if (this.#closed) throw closedError();
  }
}

function closedError(): DriverError {
  return new DriverError("BUS_CLOSED", "memory: the connection is closed");
}
