import type {
  Capabilities,
  ConnectContext,
  Consumption,
  DriverAdmin,
  DriverConnection,
  GroupSpec,
  OutMessage,
  Sink,
  Source,
  StateStore,
  StreamOptions,
  Window,
} from "../../driver.ts";
import { adminOf } from "./admin.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { Definitions } from "./definitions.ts";
import { DirectLane } from "./direct-lane.ts";
import { DueMover } from "./due-mover.ts";
import { closedError } from "./errors.ts";
import { openGroup } from "./group.ts";
import { KeptConsumption } from "./kept-consumption.ts";
import type { ResolvedOptions } from "./options.ts";
import { Sender } from "./sender.ts";
import { Session } from "./session.ts";
import { stateOf } from "./state-store.ts";
import { Streams } from "./streams.ts";
import { openTail } from "./tail.ts";
import { missingGroup, missingOwn, missingStream } from "./verify.ts";

/** One bus at one server, cluster or primary. */
export class RedisConnection implements DriverConnection {
  readonly unencoded = false;
  readonly admin: DriverAdmin;
  readonly state: StateStore;
  readonly #session: Session;
  #capabilities: Capabilities;
  readonly #streams: Streams;
  readonly #definitions: Definitions;
  readonly #sender: Sender;
  readonly #direct: DirectLane;
  readonly #mover: DueMover;
  readonly #open = new Set<Consumption>();
  /** To be made again in a database that was flushed. */
  readonly #ensured = new Map<string, StreamOptions>();

  static async open(options: ResolvedOptions, context: ConnectContext): Promise<RedisConnection> {
    const session = await Session.open(options, context);
    try {
      if (context.manage === "verify") await missingOwn(session);
      const capabilities = capabilitiesOf(options);
      return new RedisConnection(session, { ...capabilities, durable: await session.isDurable() });
    } catch (error) {
      await session.close(AbortSignal.abort());
      throw error;
    }
  }

  private constructor(session: Session, capabilities: Capabilities) {
    this.#session = session;
    this.#capabilities = capabilities;
    this.#streams = new Streams(session);
    this.#definitions = new Definitions(session, this.#streams);
    this.#sender = new Sender(session);
    this.#direct = new DirectLane(session);
    this.#mover = new DueMover(session);
    this.admin = adminOf(session, this.#streams, this.#definitions);
    this.state = stateOf(session);
    session.listen({ up: () => session.context.changed(), flushed: () => void this.#makeAgain() });
    session.onEvent("r", (process) => {
      if (process !== session.process) session.context.changed();
    });
  }

  get capabilities(): Capabilities {
    const { maxMessageBytes } = this.#session;
    if (this.#capabilities.maxMessageBytes !== maxMessageBytes)
      this.#capabilities = { ...this.#capabilities, maxMessageBytes };
    return this.#capabilities;
  }

  /** A client of `redis`: the user's, or ours, which is another one after a reconnect. */
  get client(): unknown {
    return this.#session.native;
  }

  async ensureStream(stream: StreamOptions, dryRun = false): Promise<"created" | "unchanged" | "updated"> {
    const { manage } = this.#session.context;
    if (manage === "off") return "unchanged";
    if (manage === "verify") {
      await missingStream(this.#session, this.#streams, stream);
      return "unchanged";
    }
    const outcome = await this.#streams.ensure(stream, dryRun);
    if (!dryRun) this.#ensured.set(stream.name, stream);
    return outcome;
  }

  async ensureGroup(group: GroupSpec): Promise<GroupSpec> {
    if (this.#session.context.manage === "verify") {
      await missingGroup(this.#session, this.#streams, this.#definitions, group);
    }
    return await this.#definitions.ensure(group);
  }

  send(batch: readonly OutMessage[]): void {
    const stored = batch.filter(({ to }) => to.kind === "topic" || to.kind === "queue");
    if (stored.length > 0) this.#sender.send(stored);
    if (stored.length < batch.length) this.#direct.send(batch.filter((message) => !stored.includes(message)));
  }

  async consume(source: Source, sink: Sink, window: Window): Promise<Consumption> {
    const session = this.#session;
    if (session.closed) throw closedError();
    const inner = await this.#consume(source, sink, window);
    const consumption = new KeptConsumption(inner, (closed) => this.#open.delete(closed));
    this.#open.add(consumption);
    if (session.closed) {
      await consumption.close(AbortSignal.abort());
      throw closedError();
    }
    return consumption;
  }

  /** An answer of a script: that the server takes commands, and that it is the database that we know. */
  async ping(): Promise<Readonly<Record<string, string | number>>> {
    const { clock, keys } = this.#session;
    const from = clock.ticks();
    await this.#session.command(["HGET", keys.base, "id"]);
    const roundTripMs = Math.round((clock.ticks() - from) * 10) / 10;
    return { ...(await this.#session.describe()), roundTripMs };
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#session.closed) return;
    this.#mover[Symbol.dispose]();
    // what could not be handed back is claimed after the lease
    await Promise.all([...this.#open].map((each) => each.close(signal).catch(() => undefined)));
    this.#sender.close(closedError());
    await this.#direct.close(signal);
    await this.#session.close(signal);
  }

  #consume(source: Source, sink: Sink, window: Window): Promise<Consumption> {
    switch (source.kind) {
      case "group":
        return openGroup(this.#session, source, sink, window);
      case "tail":
        return openTail(this.#session, source, sink, window);
      case "direct":
      case "inbox":
        return this.#direct.open(source, sink, window);
    }
  }

  /** Nothing of ours is there any more: streams first, then the core makes the groups again. */
  async #makeAgain(): Promise<void> {
    const { context } = this.#session;
    if (context.manage === "create") {
      for (const stream of this.#ensured.values()) {
        // not connected again, or refused: whoever publishes is told
        await this.#streams.ensure(stream, false).catch(() => undefined);
      }
    }
    context.changed();
  }
}
