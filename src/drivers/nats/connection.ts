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
import { filesRemoved } from "./files-removed.ts";
import { isOrdered } from "./group-plan.ts";
import { UnorderedGroup } from "./group.ts";
import { Housekeeping } from "./housekeeping.ts";
import { Members } from "./members.ts";
import { keys } from "./names.ts";
import { endedUnlessAborted } from "../../internal/unless-aborted.ts";
import { OrderedGroup } from "./ordered-group.ts";
import { Retention } from "./retention.ts";
import { Sender } from "./sender.ts";
import type { Session } from "./session.ts";
import type { Shared } from "./shared.ts";
import { NatsState } from "./state-store.ts";
import { Streams } from "./streams.ts";
import { Tail } from "./tail.ts";
import { missingOwn, missingStream } from "./verify.ts";
import { warnings } from "./warnings.ts";

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
  /** Of these, what somebody could not publish to. */
  readonly #missing = new Set<string>();
  #routes: BucketWatch | undefined;
  #healing = false;
  #ill = false;
  /** When what is missing may be said once more, in ticks. */
  #sayAgainAt = -Infinity;
  #closed = false;

  constructor(session: Session, context: ConnectContext) {
    this.#context = context;
    this.#session = session;
    const api = new Api(session, () => this.#heal(undefined));
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
      missing: (stream) => this.#heal(stream),
    });
    this.#direct = new DirectLane(shared);
    this.admin = new NatsAdmin(shared, (stream) => this.#ensured.delete(stream));
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
    const { streams, members } = this.#shared;
    const { manage } = this.#context;
    await this.#refuseCaptured();
    if (manage === "create") await streams.prepare();
    else {
      if (manage === "verify") await missingOwn(this.#shared);
      await streams.checkLayout();
    }
    await streams.list();
    await members.start(() => (manage === "create" ? streams.prepare() : streams.checkLayout()));
    await this.#watchRoutes();
    members.listen({ emptied: () => void this.#emptied() });
    this.#housekeeping.start();
    await this.#warn();
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
    // what fails or takes too long is over by itself: the others miss us after a lease
    const inTime = async (work: Promise<unknown>): Promise<void> => {
      await endedUnlessAborted(work, signal);
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

  async #warn(): Promise<void> {
    const { version, client, names } = this.#session;
    const clustered = client.info?.cluster !== undefined;
    const copies = clustered ? (await this.#shared.api.streamInfo(names.bucketStream))?.config.num_replicas : undefined;
    for (const [text, fields] of warnings(version, clustered, copies)) this.#context.warn(text, fields);
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

  async #watchRoutes(): Promise<void> {
    let current = false;
    this.#routes = this.#shared.bucket.watch([keys.routes], {
      entry: ({ value }) => {
        if (current) void this.#rerouted(deletedBy(value));
      },
      current: () => (current = true),
    });
    await this.#routes.ready;
  }

  /** The bucket was deleted and made again. */
  async #emptied(): Promise<void> {
    if (this.#closed) return;
    this.#routes?.close();
    try {
      await this.#watchRoutes();
      await this.#shared.streams.list();
      const gone = [...this.#ensured.keys()].filter((name) => this.#shared.streams.get(name) === undefined);
      // a stream that goes with the bucket was not deleted by a bus: routes without it would refuse what it takes
      if (gone.length === 0 || this.#context.manage !== "create") return await this.#rerouted();
      for (const name of gone) this.#heal(name);
    } catch {
      if (!this.#closed) void this.#session.clock.after(againMs, () => void this.#emptied());
    }
  }

  async #rerouted(deleted?: string): Promise<void> {
    if (deleted !== undefined) this.#ensured.delete(deleted);
    try {
      await this.#shared.streams.list();
      if (!this.#closed) this.#context.changed();
    } catch (error) {
      if (!this.#closed) this.#session.fault(error);
    }
  }

  /** Nobody takes what is sent to a stream, a queue, or what the driver keeps: what was deleted behind our back is made again. */
  #heal(stream: string | undefined): void {
    if (this.#closed) return;
    const makes = this.#context.manage === "create";
    if (makes) {
      if (stream !== undefined) this.#missing.add(stream);
      this.#ill = true;
    }
    if (this.#healing) return;
    this.#healing = true;
    (makes ? this.#makeAgain() : this.#sayMissing())
      .catch(() => undefined) // no leader yet, or no connection: the next refusal tries again
      .finally(() => (this.#healing = false));
  }

  /** What the driver keeps for itself is others' to make; who may is told how. */
  async #sayMissing(): Promise<void> {
    const { clock } = this.#shared.session;
    if (clock.ticks() < this.#sayAgainAt) return;
    this.#sayAgainAt = clock.ticks() + lookAgainMs;
    try {
      await missingOwn(this.#shared);
    } catch (error) {
      if (!(error instanceof DriverError)) throw error;
      this.#sayAgainAt = clock.ticks() + sayAgainMs;
      if (!this.#closed) this.#context.warn(error.message);
    }
  }

  async #makeAgain(): Promise<void> {
    while (this.#ill && !this.#closed) {
      await filesRemoved(this.#session.clock);
      if (this.#closed) return;
      this.#ill = false; // it may be deleted once more before we are through
      await this.#makeAgainOnce();
    }
  }

  async #makeAgainOnce(): Promise<void> {
    const { session, streams } = this.#shared;
    const { names } = session;
    const before = new Map(streams.all.map(({ name, created }) => [name, created]));
    let sent = session.published;
    await streams.prepare();
    const own = streams.takeMadeAgain();
    /** Up to which number what was published to such subjects went to a stream that is no more. */
    const lost: (readonly [subject: string, number: number])[] = [];
    if (own.includes(names.queue)) lost.push([names.allQueued(), sent]);
    sent = session.published;
    const there = await streams.list();
    for (const { facts } of there)
      if (before.get(facts.name) !== facts.created) lost.push([names.events(facts.name), sent]);
    const wanted = own.length === 0 ? this.#missing : new Set(this.#ensured.keys()); // nor are those that go with ours
    const missing = [...wanted].filter((name) => !there.some(({ facts }) => facts.name === name));
    this.#missing.clear();
    for (const name of missing) {
      const options = this.#ensured.get(name);
      if (options === undefined) continue;
      lost.push([names.events(name), session.published]);
      await streams.ensure(options, false);
    }
    const { all } = streams;
    const other = all.length !== before.size || all.some(({ name, created }) => before.get(name) !== created);
    if (other && !this.#closed) this.#context.changed();
    for (const [subject, number] of lost) await session.unanswered(number, subject.slice(0, -1)); // without the `>`
  }
}

/** Which stream a change of the routes took away. */
function deletedBy(value: Uint8Array | undefined): string | undefined {
  try {
    const { deleted } = JSON.parse(new TextDecoder().decode(value)) as { readonly deleted?: unknown };
    return typeof deleted === "string" ? deleted : undefined;
  } catch {
    return undefined; // another program's, or an older version's
  }
}

const againMs = 1_000;
const lookAgainMs = 1_000;
const sayAgainMs = 60_000;
const closedError = (): DriverError => new DriverError("BUS_CLOSED", "nats: the connection is closed");
