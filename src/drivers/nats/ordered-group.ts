import type { Consumption, InMessage, Note, Settlement, Sink, Window } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { positionOf } from "./group-start.ts";
import type { NatsMessage } from "./message.ts";
import { queueLane } from "./names.ts";
import { UnderWay } from "./under-way.ts";
import { endedUnlessAborted } from "../../internal/unless-aborted.ts";
import type { OwnedPartition } from "./owned-partition.ts";
import { PartitionReader } from "./partition-reader.ts";
import { Settler } from "./settler.ts";
import type { Shared } from "./shared.ts";
import { dropped, Shares } from "./shares.ts";

type Result = "done" | "stale" | "unknown";

const floorMs = 50;
const lookMs = 1_000;
const idleMs = 10_000;

/**
 * A member of a group that keeps order across its members: it owns partitions, each read by a consumer of its own epoch. A retry
 * keeps its place, with a note beside it; a partition that another is to have goes over when nothing of it can be running.
 */
export class OrderedGroup implements Consumption {
  readonly address: undefined = undefined;
  readonly group: string;
  readonly #shared: Shared;
  readonly #sink: Sink;
  readonly #left: () => void;
  readonly #settler: Settler;
  readonly #reader: PartitionReader;
  readonly #shares: Shares;
  readonly #floors = new Map<string, number>();
  #lookedAt: number;
  readonly #underWay = new UnderWay();
  #state: "open" | "stopped" | "closed" = "open";
  /** Why it ended by itself. */
  #reason: unknown;
  #session: Disposable | undefined;
  #timers: (Disposable | undefined)[] = [];
  #floor: Disposable | undefined;

  private constructor(shared: Shared, group: string, sink: Sink, window: Window, left: () => void) {
    this.#left = left;
    this.#shared = shared;
    this.group = group;
    this.#sink = sink;
    this.#lookedAt = shared.session.clock.ticks();
    this.#settler = new Settler(shared, group);
    this.#reader = new PartitionReader(shared, this.#settler, window, {
      deliver: (messages) => {
        if (this.#state !== "open") return;
        for (let index = 0; index < messages.length; index += 1) messages[index]!.given = true;
        sink.deliver(messages);
      },
      broken: (partition) => this.#shares.renew(partition),
    });
    this.#shares = new Shares(shared, group, this.#reader, {
      spec: (spec) => this.#state !== "closed" && sink.spec(spec),
      revoked: (partition) => this.#state !== "closed" && sink.revoked({ partition: partition.name }),
      gained: (partition) => this.#sayFloor(partition),
      lost: (reason) => this.#state !== "closed" && sink.lost(undefined, reason),
      ended: (error) => this.#ended(error),
    });
  }

  static async open(
    shared: Shared,
    group: string,
    sink: Sink,
    window: Window,
    resume: ReadonlyMap<string, string> | undefined,
    left: () => void = () => undefined,
  ): Promise<OrderedGroup> {
    const member = new OrderedGroup(shared, group, sink, window, left);
    try {
      await member.#start(resume);
      if (member.#reason === undefined) return member;
      throw member.#reason; // it ended meanwhile
    } catch (error) {
      await member.#end();
      throw member.#reason ?? error;
    }
  }

  window(window: Window, partition?: string): void {
    if (partition === undefined) this.#reader.window(window);
    else this.#reader.partitionWindow(partition, window);
  }

  wants(): Promise<void> {
    return Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    const ours = (messages as readonly NatsMessage[]).filter(({ over }) => !over);
    if (ours.length === 0) return;
    this.#settler.ack(ours);
    this.#over(ours);
  }

  settle(batch: readonly Settlement[]): Promise<readonly Result[]> {
    if (batch.some(({ how }) => how !== "dead"))
      return Promise.reject(
        new DriverError(
          "BUS_UNSUPPORTED",
          "nats: a message of an ordered group keeps its place: it can't be retried or released by itself",
        ),
      );
    return this.#underWay.track(Promise.all(batch.map((settlement) => this.#dead(settlement))));
  }

  async record(notes: readonly Note[]): Promise<readonly ("done" | "stale")[]> {
    return await this.#underWay.track(Promise.all(notes.map((note) => this.#record(note))));
  }

  async flush(): Promise<void> {
    await this.#settler.flush();
  }

  /** What is in hand stays ours; each partition goes to another as soon as nothing of it is left. */
  stop(): Promise<void> {
    if (this.#state === "open") {
      this.#state = "stopped";
      this.#shares.stop();
    }
    return Promise.resolve();
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#state === "closed") return;
    await this.stop();
    // whatever of this fails or takes too long: the next owner has it after a lease
    await endedUnlessAborted(this.#underWay.ended(), signal);
    if (!signal.aborted) await endedUnlessAborted(this.#settler.flush(), signal);
    await endedUnlessAborted(this.#shares.leave(signal.aborted), signal);
    await endedUnlessAborted(this.#end(), signal);
  }

  async #start(resume: ReadonlyMap<string, string> | undefined): Promise<void> {
    await this.#shares.start(resume);
    this.#sayOthers();
    this.#session = this.#shared.session.watch({
      up: () => {
        this.#settler.again();
        void this.#reader.check(this.#shares.partitions());
      },
    });
    this.#renewLater();
    this.#lookLater();
  }

  #over(messages: readonly NatsMessage[]): void {
    const touched = new Set<OwnedPartition>();
    for (const message of messages) {
      const partition = message.owner as OwnedPartition;
      partition.settle(message);
      touched.add(partition);
    }
    this.#reader.free(messages);
    for (const partition of touched) {
      if (partition.state === "draining") this.#shares.drained(partition);
    }
    this.#floor ??= this.#shared.session.clock.after(floorMs, () => {
      this.#floor = undefined;
      for (const partition of this.#shares.partitions()) this.#sayFloor(partition);
    });
  }

  #sayFloor(partition: OwnedPartition): void {
    if (partition.name !== queueLane) this.#say(partition.name, partition.floor, partition.owned.owner.created);
  }

  #say(name: string, floor: number, created: string): void {
    const key = `${name}@${created}`; // of a stream that was made again it begins anew
    if (this.#state === "closed" || (this.#floors.get(key) ?? -1) >= floor) return;
    this.#floors.set(key, floor);
    this.#sink.floor(name, positionOf(floor, created));
  }

  /** So that whoever makes the group again knows where, in all partitions. */
  #sayOthers(): void {
    for (const [name, { floor, created }] of this.#shares.floors()) this.#say(name, floor, created);
  }

  /** The letter first. One that is not the owner any more stores none: the event is another's to give up. */
  async #dead(settlement: Settlement): Promise<Result> {
    const message = settlement.message as NatsMessage;
    if (message.over || settlement.how !== "dead") return "stale";
    const partition = message.owner as OwnedPartition;
    try {
      if (!(await this.#stillOurs(partition))) return "stale";
      await this.#settler.dead(message, settlement.letter);
    } catch {
      return message.over ? "stale" : "unknown";
    }
    if (message.over) return "stale";
    this.#over([message]);
    return "done";
  }

  /** The note first: whoever owns it after us reads the notes after its own entry, so it sees every one that counted. */
  async #record(note: Note): Promise<"done" | "stale"> {
    const message = note.message as NatsMessage;
    if (message.over) return "stale";
    const partition = message.owner as OwnedPartition;
    await this.#settler.record(note);
    if (message.over || !(await this.#stillOurs(partition))) return "stale";
    partition.note(message, note.notBefore);
    if (partition.state === "draining") this.#shares.drained(partition);
    return "done";
  }

  async #stillOurs(partition: OwnedPartition): Promise<boolean> {
    const found = await partition.store.read();
    if (partition.state === "over") return false;
    // its own next epoch is as good
    if (
      found !== undefined &&
      found.owner.member === this.#shares.member &&
      found.owner.first === partition.owned.owner.first
    )
      return true;
    this.#shares.lose(partition);
    return false;
  }

  /** What is in hand stays ours, however long its handler takes. */
  #renewLater(): void {
    const { clock, options } = this.#shared.session;
    this.#timers[0] = clock.after(options.leaseMs / 3, () => {
      if (this.#state === "closed") return;
      for (const { hand } of this.#shares.partitions()) this.#settler.renew(hand.values());
      this.#renewLater();
    });
  }

  /** While something waits: whether retention took it; and partitions that drain by time alone. */
  #lookLater(): void {
    this.#timers[1] = this.#shared.session.clock.after(lookMs, () => {
      if (this.#state === "closed") return;
      for (const partition of this.#shares.partitions())
        if (partition.state === "draining") this.#shares.drained(partition);
      this.#sayOthers();
      void this.#lookAtStreams()
        .catch(() => undefined) // disconnected
        .then(() => this.#state !== "closed" && this.#lookLater());
    });
  }

  /** Of a stream in which something waits, and of all of them rarely, so that an idle partition's floor goes with its stream. */
  async #lookAtStreams(): Promise<void> {
    const now = this.#shared.session.clock.ticks();
    const idle = now - this.#lookedAt >= idleMs;
    if (idle) this.#lookedAt = now;
    const streams = new Map<string, OwnedPartition[]>();
    for (const partition of this.#shares.partitions()) {
      const { store, state, pending, hand } = partition;
      if (state !== "reading" || store.stream === queueLane || (!idle && pending === 0 && hand.size === 0)) continue;
      const partitions = streams.get(store.stream);
      if (partitions === undefined) streams.set(store.stream, [partition]);
      else partitions.push(partition);
    }
    for (const [stream, partitions] of streams) {
      const state = (await this.#shared.streams.look(stream))?.native.state;
      if (state === undefined) continue;
      for (const partition of partitions)
        if (state.first_seq > Math.max(partition.seenTo, partition.said) + 1 || (idle && partition.hand.size === 0))
          if (await this.#reader.passed(partition, state)) this.#sink.lost(undefined, dropped);
    }
  }

  #ended(error: unknown): void {
    if (this.#state === "closed") return;
    this.#reason = error;
    void this.#end();
    this.#sink.ended(error, false);
  }

  async #end(): Promise<void> {
    this.#state = "closed";
    this.#left();
    this.#session?.[Symbol.dispose]();
    for (const timer of [...this.#timers, this.#floor]) timer?.[Symbol.dispose]();
    await this.#shares.close();
  }
}
