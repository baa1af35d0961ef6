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
import { PostgresAdmin } from "./admin.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { Chores } from "./chores.ts";
import { Definitions } from "./definitions.ts";
import { DirectLane } from "./direct-lane.ts";
import { DueMover } from "./due-mover.ts";
import { EnsuredStreams } from "./ensured-streams.ts";
import type { GroupContext } from "./group-view.ts";
import { Lanes } from "./lanes.ts";
import { closedError } from "./link.ts";
import type { ResolvedOptions } from "./options.ts";
import { OrderedGroup } from "./ordered-group.ts";
import { Seats } from "./seats.ts";
import { Sender } from "./sender.ts";
import { Session } from "./session.ts";
import { PostgresState } from "./state-store.ts";
import { Streams } from "./streams.ts";
import { openTail } from "./tail.ts";
import { endedUnlessAborted } from "../../internal/unless-aborted.ts";
import { UnorderedGroup } from "./unordered-group.ts";
import { numberOf } from "./values.ts";

/** One bus in one schema of a database. */
export class PostgresConnection implements DriverConnection {
  readonly capabilities: Capabilities;
  readonly unencoded = false;
  readonly admin: PostgresAdmin;
  readonly state: StateStore;
  readonly #session: Session;
  readonly #streams: Streams;
  readonly #definitions: Definitions;
  readonly #seats: Seats;
  readonly #sender: Sender;
  readonly #direct: DirectLane;
  readonly #mover: DueMover;
  readonly #chores: Chores;
  readonly #group: GroupContext;
  readonly #open = new Set<Consumption>();
  readonly #ensured: EnsuredStreams;
  #poll: Disposable | undefined;
  /** What we need of another database. */
  #isUnmade = false;
  #making: Promise<void> | undefined;

  static async open(options: ResolvedOptions, context: ConnectContext): Promise<PostgresConnection> {
    const session = await Session.open(options, context);
    try {
      const seats = new Seats(session);
      await seats.start();
      return new PostgresConnection(session, seats);
    } catch (error) {
      await session.close(AbortSignal.abort());
      throw error;
    }
  }

  private constructor(session: Session, seats: Seats) {
    const { context, clock, options } = session;
    this.#session = session;
    this.#seats = seats;
    this.capabilities = capabilitiesOf(options);
    this.#streams = new Streams(session);
    this.#ensured = new EnsuredStreams(session, this.#streams);
    this.#definitions = new Definitions(session, this.#streams);
    this.#chores = new Chores(session, this.#streams, this.#definitions);
    this.#mover = new DueMover(session);
    const names = { fill: (text: string) => session.fill(text) }; // another database may have them in another schema
    const lanes = new Lanes(names);
    this.#sender = new Sender(session.writer, {
      names,
      lanes,
      dedupeWindowMs: options.dedupeWindowMs,
      clock,
      published: (stream, partitions) => session.announce("n", stream, partitions),
      delayed: (time) => this.#mover.at(time),
      relieve: (stream) => this.#chores.relieve(stream),
      missing: (stream) => this.#ensured.restore(stream),
    });
    this.#direct = new DirectLane(session, seats);
    this.#group = { session, streams: this.#streams, definitions: this.#definitions, seats };
    this.admin = new PostgresAdmin(this.#group, this.#chores);
    this.state = new PostgresState(session);
    session.onNews("r", () => {
      lanes.forget();
      context.changed();
    });
    session.listen({
      up: () => {
        lanes.forget();
        if (this.#isUnmade) void this.#makeAgain(); // or the line was lost before all was made
        context.changed();
      },
      replaced: () => {
        lanes.forget();
        this.#isUnmade = true;
        void this.#makeAgain();
      },
    });
    this.#pollLater();
  }

  /** The user's pool, or one client of ours, which is another one after a reconnect. */
  get client(): unknown {
    return this.#session.native;
  }

  async ensureStream(stream: StreamOptions, dryRun = false): Promise<"created" | "unchanged" | "updated"> {
    const { manage } = this.#session.context;
    if (manage === "off") return "unchanged";
    if (manage === "verify") {
      const missing = await this.#streams.missing(stream);
      if (missing === undefined) return "unchanged";
      throw new DriverError(
        "BUS_NOT_FOUND",
        `postgres: ${missing}: make it by \`omnibus streams\` or connect once with manage "create"`,
      );
    }
    const outcome = await this.#streams.ensure(stream, dryRun);
    if (!dryRun) await this.#ensured.add(stream);
    return outcome;
  }

  async ensureGroup(group: GroupSpec): Promise<GroupSpec> {
    await this.#making;
    return await this.#definitions.ensure(group);
  }

  send(batch: readonly OutMessage[]): void {
    if (this.#session.closed) {
      for (const message of batch) message.failed("no", closedError());
      return;
    }
    const stored = batch.filter(({ to }) => to.kind === "topic" || to.kind === "queue");
    if (stored.length > 0) this.#sender.send(stored);
    if (stored.length < batch.length)
      this.#direct.send(batch.filter(({ to }) => to.kind === "direct" || to.kind === "inbox"));
  }

  async consume(source: Source, sink: Sink, window: Window): Promise<Consumption> {
    if (this.#session.closed) throw closedError();
    const consumption = await this.#consume(source, sink, window);
    this.#open.add(consumption);
    return consumption;
  }

  /** An answer of the database: that it takes statements, and that it is the one that we know. */
  async ping(): Promise<Readonly<Record<string, string | number>>> {
    const { clock, server } = this.#session;
    const from = clock.ticks();
    const [row] = await this.#session.writer.query("SELECT pg_is_in_recovery()");
    if (row?.[0] === "t")
      throw new DriverError("BUS_CONNECTION", "postgres: the server is a standby now", { retryable: true });
    const [size] = await this.#session.desk.query("SELECT pg_total_relation_size($1)", [this.#session.names.of("log")]);
    return {
      postgres: server.version,
      schema: server.schema,
      bytes: numberOf(size?.[0]),
      roundTripMs: Math.round((clock.ticks() - from) * 10) / 10,
      ...(server.warnings.length === 0 ? {} : { warnings: server.warnings.join("; ") }),
    };
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#session.closed) return;
    this.#poll?.[Symbol.dispose]();
    this.#mover.close();
    this.#chores.close();
    // what could not be handed back is another's after the lease
    await Promise.all([...this.#open].map((each) => each.close(signal).catch(() => undefined)));
    await endedUnlessAborted(this.#sender.settled(), signal);
    this.#direct.close();
    this.#seats.stop();
    if (this.#session.isUp) await endedUnlessAborted(this.#seats.close(), signal);
    await this.#session.close(signal);
  }

  async #consume(source: Source, sink: Sink, window: Window): Promise<Consumption> {
    switch (source.kind) {
      case "tail":
        return await openTail(this.#session, this.#streams, source, sink, window);
      case "direct":
      case "inbox":
        return await this.#direct.open(source, sink, window);
      case "group":
        return await this.#openGroup(source, sink, window);
    }
  }

  async #openGroup(
    source: Extract<Source, { readonly kind: "group" }>,
    sink: Sink,
    window: Window,
  ): Promise<Consumption> {
    const group = await this.#definitions.existing(source.group);
    if (source.resume !== undefined && source.resume.size > 0) await this.#definitions.resume(group, source.resume);
    const { seat } = await this.#seats.take(group.id);
    const Member = group.spec.order === "group" ? OrderedGroup : UnorderedGroup;
    const member = new Member(this.#group, group.id, seat, sink, window);
    this.#seats.members.add(member); // if others take us for dead, from now on it is told
    try {
      await member.start();
    } catch (error) {
      await this.#seats.leave(member).catch(() => undefined); // a heartbeat finds it
      throw error;
    }
    return member;
  }

  #pollLater(): void {
    this.#poll = this.#session.later(this.#session.pollMs, () => {
      if (this.#session.isUp) this.#seats.wake(undefined);
      this.#pollLater();
    });
  }

  /** Nothing of ours is there any more: streams first, then the core makes the groups again. */
  #makeAgain(): Promise<void> {
    return (this.#making ??= this.#makeStreams().finally(() => (this.#making = undefined)));
  }

  async #makeStreams(): Promise<void> {
    const { context } = this.#session;
    try {
      if (context.manage === "create") await this.#ensured.makeAll();
      this.#isUnmade = false;
    } catch {
      // lost again: after the next reconnect
    }
    context.changed();
  }
}
