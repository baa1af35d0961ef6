import type {
  Capabilities,
  ConnectContext,
  Consumption,
  DriverConnection,
  GroupSpec,
  OutMessage,
  Sink,
  Source,
  StreamOptions,
  Window,
} from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { NatsAdmin } from "./admin.ts";
import { Api } from "./api.ts";
import { Bucket, type BucketWatch } from "./bucket.ts";
import { capabilities } from "./capabilities.ts";
import type { NatsClient } from "./client.ts";
import { Definitions } from "./definition.ts";
import { Delayed } from "./delayed.ts";
import { DirectLane } from "./direct.ts";
import { isOrdered } from "./group-plan.ts";
import { UnorderedGroup } from "./group.ts";
import { Housekeeping } from "./housekeeping.ts";
import { Members } from "./members.ts";
import { keys } from "./names.ts";
import { unlessAborted } from "./open-client.ts";
import { OrderedGroup } from "./ordered-group.ts";
import { Retention } from "./retention.ts";
import { Sender } from "./sender.ts";
import type { Session } from "./session.ts";
import type { Shared } from "./shared.ts";
import { NatsState } from "./state-store.ts";
import { Streams } from "./streams.ts";
import { Tail } from "./tail.ts";
import { missingOwn, missingStream } from "./verify.ts";

/** What is open, until it says that it left. */
interface Seat {
  consumption: Consumption | undefined;
  left: boolean;
}

/** One bus on one connection to the server. */
export class NatsConnection implements DriverConnection {
  readonly unencoded = false;
  readonly admin: NatsAdmin;
  readonly state: NatsState;
  readonly #context: ConnectContext;
  readonly #session: Session;
  readonly #shared: Shared;
  readonly #sender: Sender;
  readonly #direct: DirectLane;
  readonly #housekeeping: Housekeeping;
  readonly #seats = new Set<Seat>();
  /** To be made again when somebody deleted them. */
  readonly #ensured = new Map<string, StreamOptions>();
  #routes: BucketWatch | undefined;
  #healing = false;
  #closed = false;

  constructor(session: Session, context: ConnectContext) {
    this.#context = context;
    this.#session = session;
    const api = new Api(session);
    const bucket = new Bucket(session, api);
    const streams = new Streams(session, api, bucket);
    const shared = { session, api, bucket, streams } as { -readonly [Key in keyof Shared]: Shared[Key] };
    shared.members = new Members(shared);
    shared.definitions = new Definitions(shared);
    shared.retention = new Retention(shared);
    shared.delayed = new Delayed(shared, (batch) => this.send(batch));
    this.#shared = shared;
    this.#sender = new Sender(shared, {
      full: (stream) => shared.retention.full(stream),
      missing: () => this.#heal(),
    });
    this.#direct = new DirectLane(shared);
    this.admin = new NatsAdmin(shared);
    this.state = new NatsState(shared);
    this.#housekeeping = new Housekeeping(shared);
  }

  /** As the server says now how large a message may be. */
  get capabilities(): Capabilities {
    return { ...capabilities, maxMessageBytes: this.#session.maxPayload };
  }

  /** The client of `@nats-io/transport-node`; another one after it gave up for ever and was replaced. */
  get client(): NatsClient {
    return this.#session.client;
  }

  /** Rejects what can't be worked with; the connection is to be closed then. */
  async start(): Promise<void> {
    const { streams, bucket, members } = this.#shared;
    const { manage } = this.#context;
    await this.#refuseCaptured();
    if (manage === "create") await streams.prepare();
    else {
      if (manage === "verify") await missingOwn(this.#shared);
      await streams.checkLayout();
    }
    await streams.list();
    await members.start();
    let known: number | undefined;
    this.#routes = bucket.watch([keys.routes], {
      entry: ({ revision }) => {
        if (known !== undefined && known !== revision) void this.#rerouted();
        known = revision;
      },
      current: () => (known ??= 0),
    });
    await this.#routes.ready;
    this.#housekeeping.start();
    this.#warn();
  }

  async ensureStream(options: StreamOptions, dryRun = false): Promise<"created" | "unchanged" | "updated"> {
    const { manage } = this.#context;
    if (manage === "off") return "unchanged";
    if (manage === "verify") {
      await missingStream(this.#shared, options);
      return "unchanged";
    }
    const outcome = await this.#shared.streams.ensure(options, dryRun);
    if (!dryRun) this.#ensured.set(options.name, options);
    return outcome;
  }

  ensureGroup(spec: GroupSpec): Promise<GroupSpec> {
    return this.#shared.definitions.ensure(spec);
  }

  send(batch: readonly OutMessage[]): void {
    if (this.#closed) {
      for (const message of batch) message.failed("no", closedError());
      return;
    }
    let direct: OutMessage[] | undefined;
    for (let index = 0; index < batch.length; index += 1) {
      const message = batch[index]!;
      const { kind } = message.to;
      if (kind === "topic" || kind === "queue") this.#sender.send(message);
      else (direct ??= []).push(message);
    }
    if (direct !== undefined) this.#direct.send(direct);
  }

  async consume(source: Source, sink: Sink, window: Window): Promise<Consumption> {
    if (this.#closed) throw closedError();
    const seat: Seat = { consumption: undefined, left: false };
    const consumption = await this.#open(source, sink, window, () => {
      seat.left = true;
      this.#seats.delete(seat);
    });
    if (this.#closed) {
      await consumption.close(AbortSignal.abort());
      throw closedError();
    }
    seat.consumption = consumption;
    if (!seat.left) this.#seats.add(seat);
    return consumption;
  }

  /** What is kept is read from the leader of its stream: a socket that is open alone proves nothing. */
  async ping(): Promise<Readonly<Record<string, string | number>>> {
    const { clock, version, client, names } = this.#session;
    const started = clock.ticks();
    if ((await this.#shared.api.streamInfo(names.bucketStream)) === undefined)
      throw new DriverError("BUS_NOT_FOUND", `nats: the bucket "${names.bucket}" was deleted`, { retryable: true });
    const { server_name: server = "", cluster } = client.info ?? {};
    return {
      nats: version.text,
      server,
      ...(cluster === undefined ? {} : { cluster }),
      roundTripMs: Math.round((clock.ticks() - started) * 10) / 10,
    };
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const { members, retention } = this.#shared;
    const inTime = async (work: Promise<unknown>): Promise<void> => {
      await unlessAborted(work, signal).catch(() => undefined);
    };
    this.#housekeeping.close();
    retention.close();
    this.#routes?.close();
    await inTime(Promise.all([...this.#seats].map(async ({ consumption }) => await consumption?.close(signal))));
    this.#direct.close();
    this.state.close(closedError());
    await inTime(members.close(signal));
    await this.#session.close(signal);
  }

  async #open(source: Source, sink: Sink, window: Window, left: () => void): Promise<Consumption> {
    switch (source.kind) {
      case "tail":
        return await Tail.open(this.#shared, source, sink, window, left);
      case "direct":
      case "inbox":
        return await this.#direct.open(source, sink, window, left);
      case "group": {
        const found = await this.#shared.definitions.get(source.group);
        if (found === undefined) throw new DriverError("BUS_NOT_FOUND", `nats: there is no group "${source.group}"`);
        this.#shared.retention.joined(source.group);
        const Group = isOrdered(found.definition) ? OrderedGroup : UnorderedGroup;
        return await Group.open(this.#shared, source.group, sink, window, source.resume, left);
      }
    }
  }

  #warn(): void {
    const { version, client, options } = this.#session;
    if (!version.atLeast(2, 11) && version.patch < 23)
      this.#context.warn("nats: servers before 2.10.23 may lose whole streams when they are killed", {
        version: version.text,
      });
    if (client.info?.cluster !== undefined && options.replicas === 1)
      this.#context.warn(
        'nats: queues, dead letters and state are on one server of the cluster alone: option "replicas"',
      );
  }

  /** A publish to a subject that a stream of somebody else's captures would be answered by that stream. */
  async #refuseCaptured(): Promise<void> {
    const { names } = this.#session;
    for (const subject of [names.direct(">"), names.request(">"), names.inbox(">")]) {
      const [captor] = await this.#shared.api.streamNames(subject);
      if (captor === undefined) continue;
      throw new DriverError(
        "BUS_CONFLICT",
        `nats: the stream "${captor}" captures "${subject}", which the bus needs for requests: give it other subjects, or the bus another prefix`,
      );
    }
  }

  async #rerouted(): Promise<void> {
    try {
      await this.#shared.streams.list();
      if (!this.#closed) this.#context.changed();
    } catch (error) {
      if (!this.#closed) this.#session.fault(error);
    }
  }

  /** Nobody takes what is sent: what was deleted behind our back is made again. */
  #heal(): void {
    if (this.#closed || this.#healing || this.#context.manage !== "create") return;
    this.#healing = true;
    this.#makeAgain()
      .catch(() => undefined) // no leader yet, or no connection: the next refusal tries again
      .finally(() => (this.#healing = false));
  }

  async #makeAgain(): Promise<void> {
    const { streams } = this.#shared;
    const before = streams.all.map(({ name, created }) => `${name} ${created}`).join();
    await streams.prepare();
    const there = new Set((await streams.list()).map(({ facts }) => facts.name));
    for (const [name, options] of this.#ensured) if (!there.has(name)) await streams.ensure(options, false);
    const after = streams.all.map(({ name, created }) => `${name} ${created}`).join();
    if (before !== after && !this.#closed) this.#context.changed();
  }
}

const closedError = (): DriverError => new DriverError("BUS_CLOSED", "nats: the connection is closed");
