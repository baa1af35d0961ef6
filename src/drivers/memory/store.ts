import type {
  Consumption,
  GroupSpec,
  OutMessage,
  Sink,
  Source,
  StoredMessage,
  StreamOptions,
  Window,
} from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { MemoryConnection } from "./connection.ts";
import { DirectConsumer, type DirectHost } from "./direct-consumer.ts";
import { directEntry, DirectLane } from "./direct-lane.ts";
import { planStream, type StreamPlan } from "./stream-plan.ts";
import { Group } from "./group.ts";
import { GroupMember, type GroupHost } from "./group-member.ts";
import { changedSpec, grownSpec, newSpec } from "../../internal/group-spec.ts";
import { Letters } from "./letters.ts";
import { Entry, type Origin } from "./memory-message.ts";
import type { NormalMemoryOptions } from "./options.ts";
import { checkStart } from "./start-position.ts";
import { MemoryStateStore } from "./state-store.ts";
import { StoreTime, type TurnTaker } from "./store-time.ts";
import { StreamLog } from "./stream-log.ts";
import { Tail, type TailHost } from "./tail.ts";

const queuePartitions = 16;
const inbox: Origin = { lane: "inbox", partition: undefined };
/** While something waits for room, ages are looked at no more and no less often than this. */
const shortestCheckMs = 100;
const longestCheckMs = 60_000;

/** Everything that buses of one name share: streams, groups and their queues, dead letters, the direct lane, state. */
export class Store implements TurnTaker, GroupHost, DirectHost, TailHost {
  woken = false;
  readonly time: StoreTime = new StoreTime(() => this.#unpark());
  readonly streams: Map<string, StreamLog> = new Map();
  readonly groups: Map<string, Group> = new Map();
  readonly letters: Letters = new Letters();
  readonly state: MemoryStateStore = new MemoryStateStore(this.time);
  readonly connections: Set<MemoryConnection> = new Set();
  /** Of the connection that made the store; the others must agree. */
  readonly options: NormalMemoryOptions;
  readonly #queues = new Map<string, StreamLog>();
  readonly #direct = new DirectLane();
  readonly #inboxes = new Map<string, DirectConsumer>();
  readonly #tails = new Set<Tail>();
  /** Where publishes wait for room. */
  readonly #full = new Set<StreamLog>();
  #checking = false;
  #consumptions = 0;

  constructor(options: NormalMemoryOptions) {
    this.options = options;
  }

  // ── Publishing ──

  /** Completes the message, now or when there is room for it. */
  accept(message: OutMessage, sender: object, now: number): void {
    const to = message.to;
    if (to.kind === "topic") {
      const stream = this.streams.get(to.stream);
      if (stream === undefined)
        message.failed("no", new DriverError("BUS_NOT_FOUND", `stream (${to.stream}): there is none`));
      else this.#accept(stream, message, sender, now);
    } else if (to.kind === "queue") this.#accept(this.queue(to.group), message, sender, now);
    else if (to.kind === "inbox") this.#answer(to.address, message, now);
    else if (message.notBefore !== undefined && message.notBefore > now) {
      // At most once, and later: nobody is told when nobody listens by then.
      const entry = directEntry(to.topic, message, now);
      this.time.at(message.notBefore, () => void this.#direct.offer(entry));
      message.stored();
    } else this.#direct.accept(to.topic, message, now);
  }

  queue(group: string): StreamLog {
    let queue = this.#queues.get(group);
    if (queue === undefined) {
      queue = new StreamLog(
        "queue",
        group,
        queuePartitions,
        { ...this.options, maxAgeMs: Infinity, idleGroupMs: Infinity },
        this.time,
      );
      this.#queues.set(group, queue);
    }
    return queue;
  }

  /** Streams, and queues of groups. */
  *logs(): Generator<StreamLog> {
    yield* this.streams.values();
    yield* this.#queues.values();
  }

  #accept(log: StreamLog, message: OutMessage, sender: object, now: number): void {
    log.accept(message, sender, now);
    if (log.parked > 0 && !this.#full.has(log)) {
      this.#full.add(log);
      this.stuck();
    }
  }

  #answer(address: string, message: OutMessage, now: number): void {
    const consumer = this.#inboxes.get(address);
    if (consumer === undefined)
      return message.failed("no", new DriverError("BUS_NOT_FOUND", "inbox: there is none at this address"));
    consumer.offer(new Entry(inbox, "", message, now, 0, 0));
    message.stored();
  }

  // ── Streams ──

  ensureStream(options: StreamOptions, dryRun: boolean): StreamPlan["outcome"] {
    const plan = planStream(this.streams, options, this.options, this.time);
    if (dryRun) return plan.outcome;
    const stream = plan.apply();
    if (plan.outcome === "created") {
      for (const group of this.groups.values()) {
        const reads = group.spec.reads.find((read) => read.stream === options.name);
        if (reads !== undefined) group.read(stream, reads.patterns, { at: "oldest" });
      }
    }
    this.time.wake(this);
    return plan.outcome;
  }

  deleteStream(name: string): boolean {
    const stream = this.streams.get(name);
    if (stream === undefined) return false;
    this.streams.delete(name);
    this.#full.delete(stream);
    for (const tail of this.#tails)
      if (tail.stream === stream) tail.end(new DriverError("BUS_NOT_FOUND", `stream (${name}): was deleted`));
    for (const group of this.groups.values()) group.unread(name, "stream deleted");
    stream.delete();
    return true;
  }

  // ── Groups ──

  ensureGroup(wanted: GroupSpec, maker: object): GroupSpec {
    const group = this.groups.get(wanted.group);
    for (const { stream } of wanted.reads) {
      const known = this.streams.has(stream) || group?.spec.reads.some((read) => read.stream === stream);
      if (known !== true)
        throw new DriverError("BUS_NOT_FOUND", `group (${wanted.group}): there is no stream ${stream}`);
    }
    if (group === undefined) {
      checkStart(wanted.from);
      const spec = newSpec(wanted);
      const made = new Group(spec, this.queue(spec.group), this.time, maker, () => this.stuck());
      this.groups.set(spec.group, made);
      for (const { stream, patterns } of spec.reads) made.read(this.streams.get(stream)!, patterns, spec.from);
      return spec;
    }
    const spec = grownSpec(group.spec, wanted);
    if (spec !== undefined) this.#define(group, spec);
    return group.spec;
  }

  /** The only way by which patterns shrink. */
  updateGroup(name: string, reads: GroupSpec["reads"]): void {
    const group = this.groupNamed(name);
    for (const { stream } of group.spec.reads)
      if (!reads.some((read) => read.stream === stream)) group.unread(stream, undefined);
    this.#define(group, changedSpec(group.spec, reads));
    this.time.wake(this);
  }

  groupNamed(name: string): Group {
    const group = this.groups.get(name);
    if (group === undefined) throw new DriverError("BUS_NOT_FOUND", `group (${name}): there is none`);
    return group;
  }

  deleteGroup(name: string): boolean {
    const group = this.groups.get(name);
    const queue = this.#queues.get(name);
    const letters = this.letters.deleteGroup(name);
    this.groups.delete(name);
    this.#queues.delete(name);
    group?.end(new DriverError("BUS_NOT_FOUND", `group (${name}): was deleted`));
    if (queue !== undefined) {
      this.#full.delete(queue);
      queue.delete();
    }
    this.time.wake(this);
    return group !== undefined || queue !== undefined || letters > 0;
  }

  #define(group: Group, spec: GroupSpec): void {
    group.spec = spec;
    for (const { stream, patterns } of spec.reads) {
      const log = this.streams.get(stream);
      if (log !== undefined) group.read(log, patterns, { at: "oldest" });
    }
    for (const member of group.members.slice()) member.sink.spec(spec);
  }

  // ── Consuming ──

  consume(
    source: Source,
    sink: Sink,
    window: Window,
    connection: MemoryConnection,
  ): Consumption & { leave(counted: boolean): void } {
    if (source.kind === "group") {
      const group = this.groupNamed(source.group);
      if (source.resume !== undefined) group.resume(source.resume);
      this.#consumptions += 1;
      const member = new GroupMember(
        `${connection.member.id}#${this.#consumptions}`,
        connection.member,
        connection,
        group,
        sink,
        window,
        this,
      );
      group.join(member);
      return member;
    }
    if (source.kind === "tail") {
      const stream = this.streams.get(source.stream);
      if (stream === undefined) throw new DriverError("BUS_NOT_FOUND", `stream (${source.stream}): there is none`);
      const tail = new Tail(stream, source, sink, window, this.time, connection, this);
      this.#tails.add(tail);
      return tail;
    }
    if (source.kind === "direct")
      return new DirectConsumer(undefined, source.group, sink, window, this.time, connection, this);
    const consumer = new DirectConsumer(this.#newAddress(), undefined, sink, window, this.time, connection, this);
    this.#inboxes.set(consumer.address!, consumer);
    return consumer;
  }

  wants(consumer: DirectConsumer, patterns: readonly string[], answers: readonly string[]): void {
    if (consumer.address === undefined) this.#direct.wants(consumer, patterns, answers);
  }

  directClosed(consumer: DirectConsumer, waiting: readonly Entry[]): void {
    if (consumer.address !== undefined) this.#inboxes.delete(consumer.address);
    this.#direct.leave(consumer);
    if (consumer.group !== undefined) for (const entry of waiting) this.#direct.pass(consumer.group, entry);
  }

  tailClosed(tail: Tail): void {
    this.#tails.delete(tail);
  }

  /** A live group goes with its last member. */
  left(group: Group): void {
    if (group.spec.live && group.members.length === 0 && this.groups.get(group.spec.group) === group)
      this.deleteGroup(group.spec.group);
  }

  keepLetter(letter: StoredMessage): void {
    const dropped = this.letters.keep(letter, this.options.maxLetters);
    if (dropped > 0 && letter.group !== undefined)
      this.groups.get(letter.group)?.lost(dropped, "more dead letters than maxLetters");
  }

  /** 128 bits of chance. */
  #newAddress(): string {
    let address = "";
    for (let part = 0; part < 8; part += 1)
      address += Math.floor(this.time.random() * 0x1_0000)
        .toString(16)
        .padStart(4, "0");
    return address;
  }

  // ── Connections ──

  /** What the connection left open was closed by it. */
  disconnect(connection: MemoryConnection): void {
    if (!this.connections.delete(connection)) return;
    const closed = new DriverError("BUS_CLOSED", "memory: the connection was closed");
    for (const log of this.#full) log.refuseParked(closed, connection);
    for (const group of this.groups.values()) if (group.maker === connection) this.left(group);
    this.time.detach(connection.clock);
  }

  // ── Room ──

  turn(): void {
    // What it was woken for follows every turn: see #unpark.
  }

  /** Somebody waits for room: ages are looked at from time to time, since nothing else may happen. */
  stuck(): void {
    if (this.#checking) return;
    let expiry = Infinity;
    for (const stream of this.streams.values()) expiry = Math.min(expiry, stream.nextExpiry);
    this.#checking = true;
    this.time.after(Math.min(Math.max(expiry - this.time.now(), shortestCheckMs), longestCheckMs), () => this.#check());
  }

  #check(): void {
    this.#checking = false;
    const now = this.time.now();
    for (const stream of this.streams.values()) stream.expire(now);
    this.#unpark();
    if (
      this.#full.size > 0 ||
      [...this.#tails].some((tail) => tail.stuck) ||
      [...this.groups.values()].some((group) => group.stuck)
    )
      this.stuck();
  }

  #unpark(): void {
    if (this.#full.size === 0) return;
    const now = this.time.now();
    for (const log of this.#full) {
      log.unpark(now);
      if (log.parked === 0) this.#full.delete(log);
    }
  }
}
