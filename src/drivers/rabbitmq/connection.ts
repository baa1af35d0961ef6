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
  StreamOptions,
  Window,
} from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { adminOf } from "./admin.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { Definitions } from "./definitions.ts";
import { Delays } from "./delayed.ts";
import { DirectConsumer } from "./direct-consumer.ts";
import { classify, closedError, isMissing } from "./errors.ts";
import { GroupCounts } from "./group-counts.ts";
import { Groups } from "./groups.ts";
import { Landing } from "./landing.ts";
import { Letters } from "./letters.ts";
import { Logs } from "./logs.ts";
import { GroupMember } from "./member.ts";
import type { ResolvedOptions } from "./options.ts";
import { Presence } from "./presence.ts";
import { QueueLanes } from "./queue-lanes.ts";
import { ReplayJobs } from "./replay-jobs.ts";
import { Room } from "./room.ts";
import { Sender } from "./sender.ts";
import { Session } from "./session.ts";
import type { Shared } from "./shared.ts";
import { Streams } from "./streams.ts";
import { Tail } from "./tail.ts";
import { declareOwn } from "./topology.ts";

/** One bus at one server or cluster. */
export class RabbitMqConnection implements DriverConnection {
  readonly unencoded = false;
  readonly state: undefined = undefined;
  readonly admin: DriverAdmin;
  #capabilities: Capabilities;
  readonly #session: Session;
  readonly #shared: Shared;
  readonly #sender: Sender;
  readonly #delays: Delays;
  readonly #jobs: ReplayJobs;
  readonly #landing: Landing;
  readonly #open = new Set<Consumption>();
  #closing = false;

  static async open(options: ResolvedOptions, context: ConnectContext): Promise<RabbitMqConnection> {
    const session = await Session.open(options, context);
    const connection = new RabbitMqConnection(session);
    try {
      await connection.#start();
      return connection;
    } catch (error) {
      await connection.close(AbortSignal.abort());
      throw error;
    }
  }

  private constructor(session: Session) {
    this.#session = session;
    this.#capabilities = capabilitiesOf(session.options, session.version);
    const definitions = new Definitions(session);
    const streams = new Streams(session, definitions);
    this.#delays = new Delays(session, definitions);
    const lanes = new QueueLanes(session, this.#delays);
    const groups = new Groups(session, definitions, streams, lanes);
    const presence = new Presence(session);
    const counts = new GroupCounts(session, definitions, groups);
    const room = new Room(session, definitions, counts);
    let number = 0;
    this.#shared = {
      session,
      definitions,
      streams,
      groups,
      counts,
      lanes,
      letters: new Letters(session, definitions),
      logs: new Logs(session),
      presence,
      members: new Set(),
      nextNumber: () => (number += 1),
      left: (consumption) => void this.#open.delete(consumption),
    };
    this.#sender = new Sender(session, definitions, streams, this.#delays, lanes, room);
    this.#jobs = new ReplayJobs(session, definitions);
    this.#landing = new Landing(session, definitions);
    this.admin = adminOf(this.#shared, this.#delays);
    presence.provide(() => ({
      holdings: [...this.#shared.members].map((member) => member.holding()),
      landing: this.#landing.places(),
    }));
  }

  /** As it is known now how large a message may be. */
  get capabilities(): Capabilities {
    const { maxMessageBytes } = this.#session;
    if (this.#capabilities.maxMessageBytes !== maxMessageBytes)
      this.#capabilities = { ...this.#capabilities, maxMessageBytes };
    return this.#capabilities;
  }

  /** The connection of amqplib that consumes: another one after a reconnect. */
  get client(): unknown {
    return this.#session.native;
  }

  async ensureStream(stream: StreamOptions, dryRun = false): Promise<"created" | "unchanged" | "updated"> {
    const { manage } = this.#session.context;
    if (manage === "off") return "unchanged";
    if (manage === "verify") {
      await this.#shared.streams.verify(stream);
      return "unchanged";
    }
    return await this.#shared.streams.ensure(stream, dryRun);
  }

  async ensureGroup(group: GroupSpec): Promise<GroupSpec> {
    const spec = await this.#shared.groups.ensure(group);
    if (this.#session.context.manage === "verify") await this.#shared.groups.verify(group.group);
    return spec;
  }

  send(batch: readonly OutMessage[]): void {
    this.#sender.send(batch);
  }

  async consume(source: Source, sink: Sink, window: Window): Promise<Consumption> {
    if (this.#closing) throw closedError();
    const consumption = await this.#consume(source, sink, window);
    this.#open.add(consumption);
    if (this.#closing) {
      await consumption.close(AbortSignal.abort());
      throw closedError();
    }
    return consumption;
  }

  /** To this process's own inbox, through the server. */
  async ping(): Promise<Readonly<Record<string, string | number>>> {
    const { clock, isBlocked } = this.#session;
    if (isBlocked)
      throw new DriverError("BUS_FULL", "rabbitmq: the server takes nothing: it is out of memory or disk", {
        retryable: true,
      });
    const from = clock.ticks();
    await this.#shared.presence.ping();
    return { ...this.#session.describe(), roundTripMs: Math.round((clock.ticks() - from) * 10) / 10 };
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    const { presence, letters, definitions } = this.#shared;
    // what could not be handed back is returned when the channels end
    await Promise.all([...this.#open].map((each) => each.close(signal).catch(() => undefined)));
    await Promise.all(
      [this.#jobs.close(), this.#landing.close(), presence.close()].map((each) => unless(each, signal)),
    );
    await this.#session.own.settled(signal);
    this.#delays.close();
    letters.close();
    definitions.close();
    await this.#session.close(signal);
  }

  async #start(): Promise<void> {
    const { definitions, presence } = this.#shared;
    const { manage } = this.#session.context;
    await definitions.start();
    const { names } = this.#session;
    const logs = [names.own("d"), names.own("l")];
    this.#session.followLogs(() => [...logs, ...[...definitions.streams.keys()].map((name) => names.stream(name))]);
    await this.#session.logsThere();
    if (manage === "create") await definitions.once("own", () => declareOwn(this.#session));
    else await declareOwn(this.#session);
    definitions.listen({ streams: () => this.#session.context.changed() });
    this.#session.listen({ up: () => this.#session.context.changed() });
    try {
      await this.#jobs.start();
    } catch (error) {
      if (!isMissing(error) || manage !== "create") throw error;
      await definitions.exclusively("own", () => declareOwn(this.#session)); // somebody deleted it
      await this.#jobs.start();
    }
    await this.#landing.start();
    await presence.start();
    if (manage === "create") for (const what of definitions.remains) void this.#clear(what);
  }

  /** Of what was deleted, and who did it died before all of it was gone. */
  async #clear(what: string): Promise<void> {
    try {
      await this.#shared.definitions.clear(what);
    } catch (error) {
      // whoever connects next tries again
      if (!this.#closing)
        this.#session.context.warn(`rabbitmq: what was left of the ${what} is not removed yet`, {
          code: classify(error).code,
        });
    }
  }

  async #consume(source: Source, sink: Sink, window: Window): Promise<Consumption> {
    switch (source.kind) {
      case "group":
        return await this.#openGroup(source.group, sink, window);
      case "tail": {
        const tail = new Tail(this.#shared, source.stream, sink, window);
        await tail.open(source);
        return tail;
      }
      case "direct":
      case "inbox": {
        const group = source.kind === "direct" ? source.group : undefined;
        const direct = new DirectConsumer(this.#shared, group, source.kind === "inbox", sink, window);
        await direct.open();
        return direct;
      }
    }
  }

  async #openGroup(group: string, sink: Sink, window: Window): Promise<Consumption> {
    const { definition } = this.#shared.definitions.group(group);
    const missing = (): DriverError => new DriverError("BUS_NOT_FOUND", `group (${group}): there is none`);
    if (definition === undefined) throw missing();
    const member = new GroupMember(this.#shared, definition, sink, window);
    try {
      await member.open();
    } catch (error) {
      throw isMissing(error) ? missing() : error;
    }
    return member;
  }
}

async function unless(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const abort = (): void => resolve();
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  await Promise.race([work.catch(() => undefined), promise]); // it ends with the lines
  signal.removeEventListener("abort", abort);
}
