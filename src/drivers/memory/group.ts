import type { GroupSpec, StartAt } from "../../driver.ts";
import { GroupLane } from "./group-lane.ts";
import type { GroupMember } from "./group-member.ts";
import type { Reader } from "./lane.ts";
import { LaneMerge } from "./lane-merge.ts";
import type { MemoryMessage } from "./memory-message.ts";
import { Ownership } from "./ownership.ts";
import { Releases } from "./releases.ts";
import { startAfter, startPosition } from "./start-position.ts";
import type { StoreTime, TurnTaker } from "./store-time.ts";
import type { StreamLog } from "./stream-log.ts";
import { TopicFilter } from "./topic-filter.ts";

interface Reading {
  readonly stream: StreamLog;
  readonly filter: TopicFilter;
  readonly lanes: readonly GroupLane[];
}

/**
 * A group: what it reads and how far it is, its members, and who of them gets what. Ordered: each partition belongs to one
 * member. Unordered: whoever has room, in turn. Everything is handed out at the end of a turn.
 */
export class Group implements TurnTaker, Reader {
  spec: GroupSpec;
  woken = false;
  readonly ordered: boolean;
  readonly time: StoreTime;
  readonly queue: StreamLog;
  readonly members: GroupMember[] = [];
  /** Who made it; a live one goes with its maker when nobody ever joined. */
  readonly maker: object;
  readonly #readings = new Map<string, Reading>();
  readonly #merge: LaneMerge<GroupLane> = new LaneMerge(() => this.wake());
  /** Of an ordered group, by number of partitions. */
  readonly #ownerships = new Map<number, Ownership>();
  readonly #releases = new Releases();
  readonly #floors: GroupLane[] = [];
  readonly #lost = new Map<string, number>();
  #idleSince: number;
  #rotation = 0;
  #joined = false;

  readonly #stuck: () => void;

  constructor(spec: GroupSpec, queue: StreamLog, time: StoreTime, maker: object, stuck: () => void) {
    this.spec = spec;
    this.ordered = spec.order === "group";
    this.queue = queue;
    this.time = time;
    this.maker = maker;
    this.#stuck = stuck;
    this.#idleSince = time.ticks();
    this.read(queue, [">"], { at: "oldest" });
    if (queue.unsaid > 0) this.lost(queue.unsaid, "full");
    queue.unsaid = 0;
  }

  // ── What it reads ──

  /** Reads a stream from there on, or, when it does already, by these patterns from where it is. */
  read(stream: StreamLog, patterns: readonly string[], from: StartAt): void {
    const reading = this.#readings.get(stream.prefix);
    if (reading !== undefined) {
      reading.filter.replace(patterns);
      for (const lane of reading.lanes) lane.merge?.stale(lane);
      return;
    }
    const filter = new TopicFilter(patterns);
    const lanes = stream.partitions.map((log) => {
      const start = startPosition(from, log);
      if (start.lost > 0) this.lost(start.lost, "gone before the group's start");
      return new GroupLane(
        log,
        filter,
        this,
        start.position,
        this.ordered,
        stream === this.queue ? () => stream.drop(log, "") : undefined,
      );
    });
    this.#readings.set(stream.prefix, { stream, filter, lanes });
    if (this.ordered) this.#ownership(lanes.length).admit(lanes);
    else for (const lane of lanes) lane.join(this.#merge);
  }

  /** Stops reading a stream; what is unsettled of it is nobody's any more. */
  unread(name: string, reason: string | undefined): void {
    const reading = this.#readings.get(name);
    if (reading === undefined) return;
    this.#readings.delete(name);
    for (const lane of reading.lanes) {
      if (reason !== undefined) {
        const lost = lane.backlog().waiting + [...lane.unsettled()].length;
        if (lost > 0) this.lost(lost, reason);
      }
      lane.close();
      for (const member of this.members)
        if (member.forget(lane)) member.sink.revoked({ partition: lane.log.partition });
      lane.seek(lane.next);
    }
  }

  /** Of a group that nobody joined yet: goes on where it was when it was lost. */
  resume(positions: ReadonlyMap<string, string>): void {
    if (this.#joined) return;
    for (const lane of this.lanes()) {
      const position = positions.get(lane.log.partition);
      if (position === undefined) continue;
      const start = startAfter(position, lane.log);
      if (start.position >= lane.next) continue;
      if (start.lost > 0) this.lost(start.lost, "gone before the group was made again");
      lane.seek(start.position);
    }
  }

  /** Moves every stream's lanes; nobody may be a member. */
  reset(to: StartAt): void {
    for (const { stream, lanes } of this.#readings.values()) {
      if (stream === this.queue) continue;
      for (const lane of lanes) lane.seek(startPosition(to, lane.log).position);
    }
  }

  *lanes(): Generator<GroupLane> {
    for (const { lanes } of this.#readings.values()) yield* lanes;
  }

  /** How many it will read when they are due. */
  scheduled(): number {
    let count = 0;
    for (const { stream, filter } of this.#readings.values())
      for (const { topic } of stream.scheduled) if (filter.matches(topic)) count += 1;
    return count;
  }

  /** Those of one number, of all streams with that many partitions. */
  lanesOf(partitions: number, number: number): readonly GroupLane[] {
    const found: GroupLane[] = [];
    for (const { lanes } of this.#readings.values()) if (lanes.length === partitions) found.push(lanes[number]!);
    return found;
  }

  needs(idleMs: number): boolean {
    return this.members.length > 0 || this.time.ticks() - this.#idleSince < idleMs;
  }

  // ── Members ──

  join(member: GroupMember): void {
    this.#joined = true;
    this.members.push(member);
    this.#releases.joined();
    for (const ownership of this.#ownerships.values()) ownership.rebalance();
    this.wake();
  }

  /** It takes nothing more: its partitions go over as they drain. */
  stopped(): void {
    for (const ownership of this.#ownerships.values()) ownership.rebalance();
    this.wake();
  }

  /** What it has in hand goes back. Uncounted: no handler can have had it. */
  leave(member: GroupMember, counted: boolean): void {
    const index = this.members.indexOf(member);
    if (index < 0) return;
    this.members.splice(index, 1);
    for (const lane of this.lanes()) {
      for (const message of lane.unsettled()) {
        if (message.holder !== member) continue;
        message.counted = counted ? message.deliveries : message.deliveries - 1;
        lane.giveBack(message);
      }
    }
    if (this.members.length === 0) this.#idleSince = this.time.ticks();
    for (const ownership of this.#ownerships.values()) ownership.left(member);
    this.wake();
  }

  /** Takes back what others than this connection's members have had in hand for that long. How many. */
  recover(idleMs: number, connection: object): number {
    const ticks = this.time.ticks();
    let count = 0;
    for (const member of this.members) {
      if (member.connection === connection) continue;
      const taken: MemoryMessage[] = [];
      for (const lane of this.lanes()) {
        for (const message of lane.unsettled()) {
          if (message.holder !== member || ticks - message.since < idleMs) continue;
          member.free(message);
          lane.giveBack(message);
          taken.push(message);
        }
      }
      count += taken.length;
      if (taken.length > 0) member.sink.revoked(taken);
    }
    this.wake();
    return count;
  }

  /** Which partitions of its streams a member has; undefined where any member gets any. */
  ownedBy(member: GroupMember): readonly number[] | undefined {
    if (!this.ordered) return undefined;
    const owned = new Set<number>();
    for (const { stream, lanes } of this.#readings.values()) {
      if (stream !== this.queue) for (const number of this.#ownership(lanes.length).ownedBy(member)) owned.add(number);
    }
    return [...owned].toSorted((left, right) => left - right);
  }

  #ownership(partitions: number): Ownership {
    let ownership = this.#ownerships.get(partitions);
    if (ownership === undefined) this.#ownerships.set(partitions, (ownership = new Ownership(this, partitions)));
    return ownership;
  }

  // ── Settling ──

  done(lane: GroupLane, message: MemoryMessage): void {
    if (lane.settle(message) && !lane.floorMoved) {
      lane.floorMoved = true;
      this.#floors.push(lane);
    }
    if (!this.woken) this.wake();
  }

  /** It goes out again after the delay; what `by` gave up, to those who have not without one. */
  again(lane: GroupLane, message: MemoryMessage, delayMs: number, by: GroupMember | undefined): void {
    lane.hold(message);
    const over =
      by === undefined || this.ordered ? () => lane.release(message) : this.#releases.add(message, by, this.members);
    if (delayMs === 0) over();
    else this.time.after(delayMs, () => (over(), this.wake()));
    this.wake();
  }

  /** It is no more: nothing is handed out again. */
  end(error: unknown): void {
    for (const { lanes } of this.#readings.values()) {
      for (const lane of lanes) {
        lane.close();
        lane.seek(lane.next);
      }
    }
    this.#readings.clear();
    for (const member of this.members.splice(0)) member.end(error);
  }

  lost(count: number, reason: string): void {
    this.#lost.set(reason, (this.#lost.get(reason) ?? 0) + count);
    this.wake();
  }

  // ── Handing out ──

  wake(): void {
    this.time.wake(this);
  }

  turn(): void {
    this.#sayLost();
    this.#sayFloors();
    this.#handOut();
    if (this.stuck) this.#stuck();
  }

  /** Something waits that nobody has room for. */
  get stuck(): boolean {
    return !this.#merge.empty || this.members.some((member) => !member.merge.empty);
  }

  #handOut(): void {
    const ticks = this.time.ticks();
    if (this.ordered) {
      for (const ownership of this.#ownerships.values()) ownership.advance();
      for (const member of this.members.slice()) member.fill(member.merge, ticks);
      return;
    }
    const ready = this.members.filter((member) => member.state === "open");
    this.#releases.handOut(ready, ticks);
    if (ready.length === 1) ready[0]!.fill(this.#merge, ticks);
    else this.#share(ready, ticks);
    for (const member of ready) member.deliver();
  }

  /** One each in turn, so that whoever has room gets as much as the others. */
  #share(ready: readonly GroupMember[], ticks: number): void {
    for (let lane = this.#merge.pick(); lane !== undefined; lane = this.#merge.pick()) {
      let taker: GroupMember | undefined;
      let room = false;
      for (let step = 0; step < ready.length; step += 1) {
        const member = ready[(this.#rotation + step) % ready.length]!;
        if (!member.use.hasRoom) continue;
        room = true;
        if (member.blocks(lane)) continue;
        taker = member;
        this.#rotation = (this.#rotation + step + 1) % ready.length;
        break;
      }
      if (!room) break;
      if (taker === undefined) {
        this.#merge.setAside(lane);
        continue;
      }
      taker.take(lane, ticks);
      this.#merge.stale(lane);
    }
    this.#merge.restore();
  }

  #sayFloors(): void {
    for (const member of this.members) {
      if (member.greeted) continue;
      member.greeted = true;
      for (const lane of this.lanes()) member.sink.floor(lane.log.partition, String(lane.floor));
    }
    for (const lane of this.#floors) {
      lane.floorMoved = false;
      const floor = String(lane.floor);
      for (const member of this.members) member.sink.floor(lane.log.partition, floor);
    }
    this.#floors.length = 0;
  }

  /** To one of them, since what is lost is lost once. */
  #sayLost(): void {
    const member = this.#lost.size > 0 ? this.members[0] : undefined;
    if (member === undefined) return;
    const lost = [...this.#lost];
    this.#lost.clear();
    for (const [reason, count] of lost) member.sink.lost(count, reason);
  }
}
