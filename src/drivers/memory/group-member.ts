import type { Consumption, InMessage, Member, Note, Settlement, Sink, StoredMessage, Window } from "../../driver.ts";
import { Credit } from "../../internal/credit.ts";
import type { Group } from "./group.ts";
import type { GroupLane } from "./group-lane.ts";
import { LaneMerge } from "./lane-merge.ts";
import { recorded, type MemoryMessage } from "./memory-message.ts";

/** Whose consumption it is. */
export interface Consumer {
  forget(consumption: Consumption): void;
}

/** What a member needs of its store. */
export interface GroupHost {
  keepLetter(letter: StoredMessage): void;
  left(group: Group): void;
}

/** One consumption in a group: holds messages, settles them, gives them back. */
export class GroupMember implements Consumption {
  readonly address: undefined = undefined;
  readonly id: string;
  readonly member: Member;
  readonly connection: Consumer;
  readonly group: Group;
  readonly sink: Sink;
  readonly use: Credit;
  /** Of an ordered group: the partitions that are its own. */
  readonly merge: LaneMerge<GroupLane>;
  /** Knows the group's floors. Owned by the group. */
  greeted = false;
  state: "open" | "stopped" | "closed" = "open";
  readonly #host: GroupHost;
  #limits: Map<GroupLane, Credit> | undefined;
  #batch: MemoryMessage[] = [];

  constructor(
    id: string,
    member: Member,
    connection: Consumer,
    group: Group,
    sink: Sink,
    window: Window,
    host: GroupHost,
  ) {
    this.id = id;
    this.member = member;
    this.connection = connection;
    this.group = group;
    this.sink = sink;
    this.use = new Credit(window);
    this.merge = new LaneMerge(() => group.wake());
    this.#host = host;
  }

  // ── What the group asks of it ──

  /** Takes all it has room for and delivers it. */
  fill(merge: LaneMerge<GroupLane>, ticks: number): void {
    if (merge.empty || this.state !== "open") return;
    while (this.use.hasRoom) {
      const lane = merge.pick();
      if (lane === undefined) break;
      if (this.blocks(lane)) {
        merge.setAside(lane);
        continue;
      }
      this.take(lane, ticks);
      merge.stale(lane);
    }
    merge.restore();
    this.deliver();
  }

  /** For the next `deliver`. */
  take(lane: GroupLane, ticks: number): void {
    const message = lane.take(this, ticks);
    this.#count(lane, message);
    this.#batch.push(message);
  }

  /** A particular one that came back. */
  retake(message: MemoryMessage, ticks: number): void {
    const again = message.from!.retake(message, this, ticks);
    this.#count(message.from!, again);
    this.#batch.push(again);
  }

  deliver(): void {
    if (this.#batch.length === 0) return;
    const batch = this.#batch;
    this.#batch = [];
    if (this.state === "open") this.sink.deliver(batch);
    else for (const message of batch) if (message.holder === this) this.#giveBack(message);
  }

  /** Its window of this lane's partition is full. */
  blocks(lane: GroupLane): boolean {
    if (this.#limits === undefined) return false;
    const limit = this.#limits.get(lane);
    return limit !== undefined && !limit.hasRoom;
  }

  /** A message in hand is no longer. */
  free(message: MemoryMessage): void {
    const bytes = message.entry.bytes;
    this.use.give(bytes);
    if (this.#limits !== undefined) this.#limits.get(message.from!)?.give(bytes);
  }

  /** The lane is no longer its own. True when it had anything of it. */
  forget(lane: GroupLane): boolean {
    this.#limits?.delete(lane);
    let had = false;
    for (const message of lane.unsettled()) {
      if (message.holder !== this) continue;
      this.use.give(message.entry.bytes);
      message.holder = undefined;
      had = true;
    }
    return had;
  }

  // ── Consumption ──

  window(window: Window, partition?: string): void {
    if (partition === undefined) this.use.window = window;
    else for (const lane of this.group.lanes()) if (lane.log.partition === partition) this.#limit(lane, window);
    this.group.wake();
  }

  /** A group's patterns are the group's. */
  wants(): Promise<void> {
    return Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    for (const message of messages as readonly MemoryMessage[]) if (message.holder === this) this.#done(message);
  }

  settle(batch: readonly Settlement[]): Promise<readonly ("done" | "stale" | "unknown")[]> {
    return Promise.resolve(batch.map((settlement) => this.#settle(settlement)));
  }

  record(notes: readonly Note[]): Promise<readonly ("done" | "stale")[]> {
    const ticks = this.group.time.ticks();
    const results = notes.map((note) => recorded(note, this, ticks));
    this.group.wake();
    return Promise.resolve(results);
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    if (this.state === "open") {
      this.state = "stopped";
      this.group.stopped();
    }
    return Promise.resolve();
  }

  close(signal: AbortSignal): Promise<void> {
    this.leave(signal.aborted);
    return Promise.resolve();
  }

  /** The group is no more. */
  end(error: unknown): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.connection.forget(this);
    this.sink.ended(error, false);
  }

  /** Gives back what it has. Counted when a handler may still run with it. */
  leave(counted: boolean): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.connection.forget(this);
    this.group.leave(this, counted);
    this.#host.left(this.group);
  }

  #settle(settlement: Settlement): "done" | "stale" {
    const message = settlement.message as MemoryMessage;
    const lane = message.from;
    if (lane === undefined || message.holder !== this) return "stale";
    if (settlement.how === "dead") {
      this.#host.keepLetter(settlement.letter);
      this.#done(message);
      return "done";
    }
    this.free(message);
    message.addNotes(settlement.headers);
    if (settlement.how === "retry") {
      message.attempts = settlement.attempts;
      message.counted = 0;
    } else message.counted = message.deliveries - 1;
    message.notBefore = undefined;
    this.group.again(lane, message, settlement.delayMs, settlement.how === "release" ? this : undefined);
    return "done";
  }

  /** No handler had it. */
  #giveBack(message: MemoryMessage): void {
    this.free(message);
    message.counted = message.deliveries - 1;
    message.from!.giveBack(message);
  }

  #done(message: MemoryMessage): void {
    this.free(message);
    this.group.done(message.from!, message);
  }

  #count(lane: GroupLane, message: MemoryMessage): void {
    const bytes = message.entry.bytes;
    this.use.take(bytes);
    if (this.#limits !== undefined) this.#limits.get(lane)?.take(bytes);
  }

  #limit(lane: GroupLane, window: Window): void {
    this.#limits ??= new Map();
    let limit = this.#limits.get(lane);
    if (limit === undefined) {
      limit = new Credit(window);
      for (const message of lane.unsettled()) if (message.holder === this) limit.take(message.entry.bytes);
      this.#limits.set(lane, limit);
    } else limit.window = window;
  }
}
