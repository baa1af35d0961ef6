import type {
  Capabilities,
  ConnectContext,
  Consumption,
  DriverConnection,
  GroupSpec,
  OutMessage,
  Sink,
  Source,
  StateStore,
  StreamOptions,
  Window,
} from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { SqliteAdmin } from "./admin.ts";
import type { Database } from "./database.ts";
import { DirectLane } from "./direct-lane.ts";
import { Housekeeping } from "./housekeeping.ts";
import type { ResolvedOptions } from "./options.ts";
import { prepared } from "./prepared.ts";
import { OrderedGroup } from "./ordered-group.ts";
import { SqliteState } from "./state-store.ts";
import { Store, type WakeUpHints } from "./store.ts";
import { Tail } from "./tail.ts";
import { UnorderedGroup } from "./unordered-group.ts";
import { WakeUp } from "./wake-up.ts";

/** One bus on the file. Everything durable goes through `Store.turn`, everything else through the direct lane. */
export class SqliteConnection implements DriverConnection {
  readonly capabilities: Capabilities;
  readonly unencoded = false;
  readonly admin: SqliteAdmin;
  readonly state: StateStore;
  readonly #options: ResolvedOptions;
  readonly #direct: DirectLane;
  readonly #context: ConnectContext;
  readonly #wakeUp: WakeUp;
  readonly #housekeeping: Housekeeping;
  /** To be made again in another file. */
  readonly #streams = new Map<string, StreamOptions>();
  #store: Store;
  readonly #consumptions = new Set<Consumption>();
  #closed = false;
  readonly #hints: WakeUpHints = {
    committed: () => this.#wakeUp.committed(),
    wrote: () => this.#wakeUp.wrote(),
  };

  constructor(database: Database, capabilities: Capabilities, context: ConnectContext, options: ResolvedOptions) {
    this.capabilities = capabilities;
    this.#context = context;
    this.#options = options;
    this.#store = new Store(database, context, options, this.#hints);
    this.#direct = new DirectLane(options.path, context, options);
    const state = new SqliteState(() => this.#store);
    this.state = state;
    this.admin = new SqliteAdmin(() => this.#store);
    this.#housekeeping = new Housekeeping(() => this.#store, this.#direct, state, options.leaseMs, {
      replaced: (error) => void this.#reopen(error),
      directReplaced: () => this.#watch(),
    });
    this.#wakeUp = new WakeUp(context.clock, options.pollMs, { look: () => this.#look(), poll: () => this.#poll() });
    this.#watch();
  }

  get client(): unknown {
    return this.#store.database.raw;
  }

  /** Takes a row among the processes of the file. */
  async join(): Promise<void> {
    await this.#store.renew();
  }

  async ensureStream(options: StreamOptions, dryRun = false): Promise<"created" | "unchanged" | "updated"> {
    if (this.#context.manage === "off") return "unchanged";
    if (this.#context.manage === "verify") {
      const missing = this.#store.streams.missing(options);
      if (missing === undefined) return "unchanged";
      throw new DriverError(
        "BUS_NOT_FOUND",
        `sqlite: ${missing}: make it by \`omnibus streams\` or connect once with manage "create"`,
      );
    }
    const outcome = await this.#store.turn.do(() => this.#store.streams.ensure(options, dryRun));
    this.#store.routed();
    if (!dryRun) this.#streams.set(options.name, options);
    return outcome;
  }

  async ensureGroup(spec: GroupSpec): Promise<GroupSpec> {
    const { row, grew } = await this.#store.turn.do(() => this.#store.groups.ensure(spec, this.#store.clock.now()));
    if (grew) await this.#store.allKnow(row.id, row.version);
    return this.#store.groups.spec(row);
  }

  send(batch: readonly OutMessage[]): void {
    if (this.#closed) {
      for (const message of batch)
        message.failed("no", new DriverError("BUS_CLOSED", "sqlite: the connection is closed"));
      return;
    }
    const durable = batch.filter(({ to }) => to.kind === "topic" || to.kind === "queue");
    if (durable.length > 0) this.#store.publish(durable);
    if (durable.length < batch.length)
      this.#direct.send(batch.filter(({ to }) => to.kind === "direct" || to.kind === "inbox"));
  }

  async consume(source: Source, sink: Sink, window: Window): Promise<Consumption> {
    if (this.#closed) throw new DriverError("BUS_CLOSED", "sqlite: the connection is closed");
    const consumption = await this.#open(source, sink, window);
    this.#consumptions.add(consumption);
    return consumption;
  }

  async ping(): Promise<Readonly<Record<string, string | number>>> {
    const { database, turn, members } = this.#store;
    await turn.do(() => members.renew(this.#store.seating.process));
    const pages = database.query<{ readonly page_count: number }>("PRAGMA page_count").get()?.page_count ?? 0;
    const size = database.query<{ readonly page_size: number }>("PRAGMA page_size").get()?.page_size ?? 0;
    return { sqlite: process.versions.sqlite ?? "", path: database.path, bytes: pages * size };
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#store.unlessAborted(Promise.all([...this.#consumptions].map((each) => each.close(signal))), signal);
    await this.#store.unlessAborted(Promise.all([this.#store.turn.settled(), this.#direct.settled()]), signal);
    await this.#store.unlessAborted(
      this.#store.turn.do(() => this.#store.members.bury(this.#store.seating.process)),
      signal,
    );
    this.destroy();
  }

  destroy(): void {
    this.#closed = true;
    this.#wakeUp.close();
    this.#store.close();
    this.#direct.close();
    this.#store.database.close();
  }

  async #open(source: Source, sink: Sink, window: Window): Promise<Consumption> {
    switch (source.kind) {
      case "tail":
        return new Tail(this.#store, source.stream, source.from, source.resume, sink, window);
      case "direct":
        return this.#direct.open({ group: source.group }, sink, window);
      case "inbox":
        return this.#direct.open("inbox", sink, window);
      case "group":
        return this.#openGroup(source, sink, window);
    }
  }

  async #openGroup(
    source: Extract<Source, { readonly kind: "group" }>,
    sink: Sink,
    window: Window,
  ): Promise<Consumption> {
    const { groups, members, seating } = this.#store;
    const { group, seat } = await seating.take((process) => {
      const row = groups.named(source.group);
      if (row === undefined) throw new DriverError("BUS_NOT_FOUND", `sqlite: there is no group "${source.group}"`);
      if (source.resume !== undefined && source.resume.size > 0) groups.resume(row, source.resume);
      return { group: row, seat: members.takeSeat(row.id, process, row.version) };
    });
    const Member = group.keeps === "group" ? OrderedGroup : UnorderedGroup;
    const consumption = new Member(this.#store, group.id, seat, group.version, sink, window);
    this.#store.joined(consumption);
    return consumption;
  }

  readonly #look = (): void => {
    if (this.#closed) return;
    this.#store.guarded(() => {
      this.#store.lookForOthers();
      this.#direct.look();
    });
  };

  #poll(): void {
    this.#store.guarded(() => {
      this.#store.poll();
      this.#direct.look();
    });
    this.#store.guarded(() => this.#housekeeping.poll());
  }

  /** The file under our name is another one, or gone. */
  async #reopen(error: DriverError): Promise<void> {
    const old = this.#store;
    old.trouble(error);
    old.end(error);
    old.close(error);
    try {
      const store = new Store(prepared(this.#options, this.#context), this.#context, this.#options, this.#hints);
      store.troubled = true;
      this.#store = store;
      old.database.close();
      this.#watch();
      await this.join();
      if (this.#context.manage === "create")
        for (const stream of this.#streams.values()) await this.ensureStream(stream);
      if (this.#closed) return this.destroy();
      this.#context.changed();
    } catch (failure) {
      this.#store.trouble(failure); // tried again in a second
    }
  }

  #watch(): void {
    this.#wakeUp.unwatch();
    this.#wakeUp.watch(`${this.#store.database.path}-wal`);
    this.#wakeUp.watch(this.#direct.path);
  }
}
