import type {
  Capabilities,
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
import { KafkaAdmin } from "./admin.ts";
import { AttachedGrowth } from "./attached-growth.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { newest } from "./cluster.ts";
import type { ClientModule } from "./client.ts";
import { Groups } from "./coordinator.ts";
import { Definitions, missing } from "./definitions.ts";
import { Delays } from "./delays.ts";
import { DirectLane } from "./direct-lane.ts";
import { GroupMember, type Work } from "./group-member.ts";
import { Keeper } from "./keeper.ts";
import { Letters } from "./letters.ts";
import { queueLane } from "./names.ts";
import { Notes } from "./notes.ts";
import { Queues } from "./queues.ts";
import { RecordReader } from "./record-reader.ts";
import { Room } from "./room.ts";
import { Sender } from "./sender.ts";
import type { Session } from "./session.ts";
import type { Shared } from "./shared.ts";
import { Streams } from "./streams.ts";
import { Tail } from "./tail.ts";
import { endedUnlessAborted } from "../../internal/unless-aborted.ts";

/** One bus at the brokers. */
export class KafkaConnection implements DriverConnection {
  readonly unencoded = false;
  readonly state: undefined = undefined;
  readonly admin: KafkaAdmin;
  readonly #session: Session;
  readonly #shared: Shared;
  readonly #sender: Sender;
  readonly #definitions: Definitions;
  readonly #direct: DirectLane;
  readonly #keeper: Keeper;
  readonly #growth: AttachedGrowth;
  readonly #open = new Set<Consumption>();
  /** Of which group of that name it was a member last. */
  readonly #firsts = new Map<string, number>();
  #closed = false;

  constructor(session: Session) {
    this.#session = session;
    const reader = new RecordReader(session.cluster);
    this.#shared = {
      session,
      streams: new Streams(session),
      queues: new Queues(session),
      groups: new Groups(session.cluster),
      delays: new Delays(session),
      letters: new Letters(session, reader),
      notes: new Notes(session, reader),
    };
    this.#keeper = new Keeper(session, this.#shared.groups);
    this.#growth = new AttachedGrowth(session);
    this.#sender = new Sender(session, this.#shared.queues, this.#shared.delays, new Room(this.#keeper), (stream) => {
      void this.#shared.streams.heal(stream).catch(() => undefined); // the next refusal tries again
    });
    this.#definitions = new Definitions(this.#shared);
    this.#direct = new DirectLane(session);
    this.admin = new KafkaAdmin(this.#shared, this.#definitions, reader, this.#keeper);
  }

  /** The module of `@platformatic/kafka`: its connections are the driver's own, one for each duty and broker. */
  get client(): ClientModule {
    return this.#session.module;
  }

  get capabilities(): Capabilities {
    return capabilitiesOf(this.#session.options);
  }

  /** The control log is made or found, and read to its end. */
  async start(): Promise<void> {
    const { cluster, context, control, names } = this.#session;
    const { manage } = context;
    for (const each of [names.control, names.direct, names.inboxes, names.letters, names.notes])
      cluster.topology.watch(each);
    await cluster.retried(() => cluster.topology.refresh());
    if (manage === "create")
      await this.#direct.make([
        this.#session.ownTopic(names.control, 1, { "segment.ms": "86400000" }),
        this.#shared.letters.topic,
        this.#shared.notes.topic,
      ]);
    else if (cluster.topology.place(names.control) === undefined)
      throw new DriverError(
        "BUS_NOT_FOUND",
        `kafka: there is no topic ${names.control}: kafka-topics.sh --create --topic ${names.control} --partitions 1 --config cleanup.policy=delete --config retention.ms=-1 --config message.timestamp.type=LogAppendTime`,
      );
    await control.open(manage === "create");
    this.#shared.streams.check();
    control.listen((what, name) => this.#changed(what, name));
    for (const name of control.fold.streams.keys()) cluster.topology.watch(names.stream(name));
    this.#shared.delays.start(this.#shared);
    this.#keeper.start();
    this.#growth.start();
    this.#warn();
  }

  async ensureStream(options: StreamOptions, dryRun = false): Promise<"created" | "unchanged" | "updated"> {
    this.#check();
    const { manage } = this.#session.context;
    if (manage === "off") return "unchanged";
    if (manage === "verify") {
      await this.#shared.streams.verify(options);
      return "unchanged";
    }
    return await this.#shared.streams.ensure(options, dryRun);
  }

  async ensureGroup(spec: GroupSpec): Promise<GroupSpec> {
    this.#check();
    return await this.#definitions.ensure(spec);
  }

  send(batch: readonly OutMessage[]): void {
    if (this.#closed) {
      for (const message of batch) message.failed("no", closedError());
      return;
    }
    for (let index = 0; index < batch.length; index += 1) {
      const message = batch[index]!;
      const { kind } = message.to;
      if (kind === "topic" || kind === "queue") this.#sender.send(message);
      else this.#direct.send(message);
    }
    this.#sender.flush();
  }

  async consume(source: Source, sink: Sink, window: Window): Promise<Consumption> {
    this.#check();
    const seat: { consumption: Consumption | undefined } = { consumption: undefined };
    const left = (): void => {
      if (seat.consumption !== undefined) this.#open.delete(seat.consumption);
    };
    const opened = await this.#openSource(source, sink, window, left);
    seat.consumption = opened;
    if (this.#closed) {
      await opened.close(AbortSignal.abort());
      throw closedError();
    }
    this.#open.add(opened);
    return opened;
  }

  async #openSource(source: Source, sink: Sink, window: Window, left: () => void): Promise<Consumption> {
    switch (source.kind) {
      case "tail":
        return await Tail.open(this.#session, source, sink, window, left, (stream) =>
          this.#shared.streams.heal(stream),
        );
      case "direct":
      case "inbox":
        return await this.#direct.open(source, sink, window, left);
      case "group":
        return await this.#openGroup(source, sink, window, left);
    }
  }

  async #openGroup(
    { group, resume }: Extract<Source, { readonly kind: "group" }>,
    sink: Sink,
    window: Window,
    left: () => void,
  ): Promise<Consumption> {
    const { control, names } = this.#session;
    await control.current();
    if (this.#definitions.get(group) === undefined) throw missing(group);
    const queued = await this.#shared.queues.make(group);
    if (resume !== undefined) await this.#definitions.resume(group, resume, this.#firsts.get(group));
    const entry = this.#definitions.get(group);
    if (entry === undefined) throw missing(group);
    this.#firsts.set(group, entry.first);
    const work: Work = {
      group,
      lanes: () => {
        const lanes = new Map([[queueLane, { topic: names.queue(group), partitions: queued }]]);
        for (const { stream } of this.#definitions.get(group)?.spec.reads ?? []) {
          const partitions = control.fold.streams.get(stream)?.options.partitions;
          if (partitions !== undefined) lanes.set(stream, { topic: names.stream(stream), partitions });
        }
        return lanes;
      },
      entry: () => this.#definitions.get(group),
      kindOf: (lane) => (lane === queueLane ? "queue" : "stream"),
      dueOf: ({ more }) => more.due,
    };
    const isLive = entry.spec.live;
    const member = new GroupMember(this.#shared, work, entry, sink, window, () => {
      left();
      if (isLive && !this.#session.closed) void this.#definitions.leftBy(group).catch(() => undefined); // whoever makes it again does
    });
    await member.start();
    return member;
  }

  /** The leader of the control log answers, as it does for a commit or a definition. */
  async ping(): Promise<Readonly<Record<string, string | number>>> {
    this.#check();
    const { clock, cluster, names, clusterId } = this.#session;
    const started = clock.ticks();
    await cluster.offsets([{ topic: names.control, partition: 0, at: newest }]);
    const { brokers, controllerId } = await cluster.metadata([]);
    return {
      cluster: clusterId,
      brokers: brokers.length,
      controller: controllerId,
      roundTripMs: Math.round((clock.ticks() - started) * 10) / 10,
    };
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    // what fails or takes too long is over by itself: the others miss us after a session
    const inTime = async (work: Promise<unknown>): Promise<void> => {
      await endedUnlessAborted(work, signal);
    };
    this.#sender.hurry();
    this.#keeper.close();
    this.#growth.close();
    await Promise.all([...this.#open].map((each) => each.close(signal).catch(() => undefined)));
    await inTime(this.#shared.delays.close(signal));
    await inTime(this.#direct.leave());
    const error = closedError();
    this.#direct.close(error);
    this.#shared.letters.close(error);
    this.#session.close(error);
  }

  #changed(what: string, name: string): void {
    const { cluster, names, context, control } = this.#session;
    if (this.#closed) return;
    if (what === "streams") {
      if (!control.fold.streams.has(name)) cluster.topology.forget(names.stream(name));
      else cluster.topology.watch(names.stream(name));
      this.#keeper.changed();
      context.changed();
    } else if (what === "group" && !control.fold.groups.has(name)) cluster.topology.forget(names.queue(name));
  }

  #warn(): void {
    const { context, options, brokers } = this.#session;
    if (brokers > 1 && this.#session.replicas === 1)
      context.warn("kafka: there are several brokers, and what the driver keeps has one copy", { replicas: 1 });
    if (options.acks === 0) context.warn("kafka: with acks 0 nobody knows whether anything is stored");
  }

  #check(): void {
    if (this.#closed) throw closedError();
  }
}

const closedError = (): DriverError => new DriverError("BUS_CLOSED", "kafka: the connection is closed");
