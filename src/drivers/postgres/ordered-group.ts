import type { Consumption, InMessage, Note, Settlement, Sink, StoredMessage, Window } from "../../driver.ts";
import { Credit } from "../../internal/credit.ts";
import type { PartEntry } from "../../internal/rows/part.ts";
import { Settlements, type What } from "../../internal/rows/settlements.ts";
import { BodyForm } from "./body-form.ts";
import { isLost } from "./classify.ts";
import { retentionLoss } from "./claims.ts";
import { groupDeleted, GroupView, type GroupContext } from "./group-view.ts";
import type { OwnMessage, OwnPart } from "./own-part.ts";
import { floorsOf, ownedBy, shareOut, type ShareChange } from "./own-shares.ts";
import {
  joined,
  keepsItsPlace,
  newOwnBatch,
  takeLate,
  turnColumns,
  turned,
  turnValues,
  written,
  type OwnBatch,
  type OwnTurn,
} from "./own-turn.ts";
import type { GroupMember } from "./seats.ts";
import { endedUnlessAborted } from "../../internal/unless-aborted.ts";
import { marks } from "./values.ts";

type Result = "done" | "stale" | "unknown";

const againMs = 250;
/** How long a cursor that passed what nobody wants may go unwritten. */
const sweepMs = 250;
const drainLookMs = 50;
/** How long acknowledgements may wait for a turn that reads. */
const ackMs = 10;
/** Of one answer: our lease is renewed by the same line, behind it. */
const mostBytes = 8_388_608;
const mostAtOnce = 1_000;

/**
 * A member of a group that keeps order: it owns partitions, one epoch each, and reads them in order. A retry keeps its place;
 * its note lies in `held`. A partition that another member is to have is handed over when nothing of it can be running.
 */
export class OrderedGroup implements Consumption, GroupMember {
  readonly address: undefined = undefined;
  readonly group: number;
  seat: number;
  session = 0;
  readonly #context: GroupContext;
  readonly #sink: Sink;
  readonly #view: GroupView;
  readonly #credit: Credit;
  readonly #settlements = new Settlements<PartEntry, StoredMessage>();
  readonly #parts = new Map<string, OwnPart>();
  readonly #limits = new Map<string, number>();
  readonly #bodies = new BodyForm();
  #roster = -1;
  #seenRoster = 0;
  #dirty: OwnBatch = newOwnBatch();
  #writing: OwnBatch | undefined;
  #running = false;
  #asked: Promise<void> = Promise.resolve();
  /** What it reads is known; partitions are not shared out before. */
  #started = false;
  #sweep: Disposable | undefined;
  #drainLook: Disposable | undefined;
  #ackTimer: Disposable | undefined;
  #ackDue = false;
  #check = true;
  /** What the server has is being compared with what we have. */
  #syncing = false;
  #state: "open" | "stopped" | "closed" = "open";
  #flushes: (() => void)[] = [];

  constructor(context: GroupContext, group: number, seat: number, sink: Sink, window: Window) {
    this.#context = context;
    this.group = group;
    this.seat = seat;
    this.#sink = sink;
    this.#credit = new Credit(window);
    this.#view = new GroupView(context, group);
  }

  async start(): Promise<void> {
    await this.#view.refresh(this.seat);
    // where the group stands in partitions that are not ours
    for (const [name, floor] of await floorsOf(this.#context.session, this.#view, this.group))
      if (!this.#parts.has(name)) this.#sink.floor(name, floor);
    this.#started = true;
    this.wake(undefined);
  }

  wake(stream: number | undefined, partitions?: readonly number[]): void {
    if (stream === undefined) this.#check = true;
    for (const part of this.#parts.values())
      if (stream === undefined || (part.stream === stream && partitions?.includes(part.number) !== false))
        part.news = true;
    this.#run();
  }

  /** What was settled and not written is written again, whatever of it came through. */
  async resync(): Promise<void> {
    const { seat } = this;
    this.#syncing = true; // and if it fails: it is begun again
    await this.#context.seats.renew(this);
    const ours = await ownedBy(this.#context.session, this.#view, seat);
    if (seat !== this.seat) return;
    this.#syncing = false;
    for (const part of [...this.#parts.values()]) {
      if (ours.get(part.name) === part.epoch) this.#dirty.parts.add(part);
      else this.#lose(part);
    }
    this.#roster = -1;
    this.wake(undefined);
  }

  lostSeat(seat: number): void {
    const parts = [...this.#parts.values()];
    this.#forget();
    this.seat = seat;
    this.session = 0;
    this.#syncing = false;
    this.#roster = -1;
    for (const part of parts) this.#sink.revoked({ partition: part.name });
    this.#view.version = 0; // the new seat is to know it
    this.wake(undefined);
  }

  end(error: unknown): void {
    if (this.#state === "closed") return;
    this.#shut();
    this.#forget();
    this.#sink.ended(error, false);
  }

  window(window: Window, partition?: string): void {
    if (partition === undefined) this.#credit.window = window;
    else {
      this.#limits.set(partition, window.messages);
      const part = this.#parts.get(partition);
      if (part !== undefined) part.most = window.messages;
    }
    this.#run();
  }

  wants(): Promise<void> {
    return Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    for (const each of messages) if (!(each as OwnMessage).over) this.#done(each as OwnMessage);
    this.#run();
  }

  settle(batch: readonly Settlement[]): Promise<readonly Result[]> {
    return batch.some(({ how }) => how !== "dead") ? Promise.reject(keepsItsPlace()) : this.#add(batch);
  }

  async record(notes: readonly Note[]): Promise<readonly ("done" | "stale")[]> {
    return (await this.#add(notes.map((note) => ({ ...note, how: "note" as const })))).map((result) =>
      result === "done" ? "done" : "stale",
    );
  }

  flush(): Promise<void> {
    for (const part of this.#parts.values()) if (part.cursor !== part.written) this.#dirty.parts.add(part);
    if (!this.#unwritten()) return Promise.resolve();
    this.#run();
    return new Promise((resolve) => void this.#flushes.push(resolve));
  }

  async stop(): Promise<void> {
    if (this.#state === "open") this.#state = "stopped";
    await this.#asked.catch(() => undefined);
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#state === "closed") return;
    await endedUnlessAborted(this.stop(), signal);
    await endedUnlessAborted(this.flush(), signal);
    this.#shut();
    // in a hurry its handlers may still run
    if (signal.aborted) this.#context.seats.abandon(this);
    else await endedUnlessAborted(this.#context.seats.leave(this), signal);
    this.#forget();
  }

  #shut(): void {
    this.#state = "closed";
    this.#sweep?.[Symbol.dispose]();
    this.#ackTimer?.[Symbol.dispose]();
    this.#drainLook?.[Symbol.dispose]();
    this.#context.seats.members.delete(this);
  }

  #add(whats: readonly What<StoredMessage>[]): Promise<readonly Result[]> {
    const answer = this.#settlements.add(whats, (message, what) => {
      if (message.over) return false;
      if (what.how !== "note") this.#done(message);
      this.#dirty.parts.add(message.handle.part as OwnPart);
      return true;
    });
    this.#run();
    return answer;
  }

  #done(message: OwnMessage): void {
    const entry = message.handle;
    message.over = true;
    this.#credit.give(message.size);
    entry.part.settle(entry);
    this.#dirty.parts.add(entry.part as OwnPart);
    if (entry.noted) this.#dirty.noted.push(message);
  }

  #unwritten(): boolean {
    return this.#dirty.parts.size > 0 || this.#settlements.any || this.#writing !== undefined;
  }

  #run(): void {
    if (this.#running || !this.#started || this.#state === "closed") return;
    this.#running = true;
    void this.#loop();
  }

  async #loop(): Promise<void> {
    const { session } = this.#context;
    try {
      // what this turn of the event loop settles goes together
      await new Promise<void>((resolve) => session.clock.soon(resolve));
      while (this.#state !== "closed" && !this.#syncing && session.isUp) {
        if (this.#state === "open" && this.#mustShare()) await this.#share();
        const reads = this.#reads();
        if (reads.size === 0 && !this.#check && !this.#mustWrite()) break;
        await (this.#asked = this.#turn(reads));
      }
    } catch (error) {
      if (!isLost(error)) session.later(againMs, () => this.#run()); // a full disk: written when there is room
    } finally {
      this.#running = false;
    }
    if (this.#unwritten()) return;
    for (const resolve of this.#flushes.splice(0)) resolve();
  }

  /** Acknowledgements alone travel with what is read next, or a little later. */
  #mustWrite(): boolean {
    if (!this.#unwritten()) return false;
    const waits = this.#state === "open" && this.#writing === undefined && !this.#settlements.any;
    if (!waits || this.#ackDue || this.#flushes.length > 0) return true;
    if ([...this.#dirty.parts].some(({ draining }) => draining)) return true;
    this.#ackTimer ??= this.#context.session.later(ackMs, () => {
      this.#ackTimer = undefined;
      this.#ackDue = true;
      this.#run();
    });
    return false;
  }

  #reads(): Set<OwnPart> {
    const reads = new Set<OwnPart>();
    if (this.#state !== "open" || this.#credit.messages === 0) return reads;
    for (const part of this.#parts.values()) if (part.news && part.open) reads.add(part);
    return reads;
  }

  #mustShare(): boolean {
    const moved = this.#roster !== this.#seenRoster || this.#roster === -1;
    return moved || [...this.#parts.values()].some((part) => this.#mayGive(part));
  }

  #mayGive(part: OwnPart): boolean {
    return (
      part.draining &&
      !this.#dirty.parts.has(part) &&
      this.#writing === undefined &&
      part.drained(this.#context.session.clock.now())
    );
  }

  async #turn(reads: ReadonlySet<OwnPart>): Promise<void> {
    const { session } = this.#context;
    this.#check = this.#ackDue = false;
    const lasting = this.#settlements.lasting || (this.#writing?.entries.length ?? 0) > 0;
    const batch = this.#nextBatch();
    const messages = this.#state === "open" ? Math.min(this.#credit.messages, mostAtOnce) : 0;
    const parts = [...new Set([...batch.parts, ...reads])];
    const bytes = Math.min(this.#credit.bytes, mostBytes);
    const turn: OwnTurn = { parts, reads, batch, messages, bytes };
    for (const part of reads) part.news = false;
    const cursors = new Map(parts.map((part) => [part, part.cursor]));
    const { seat, session: line } = this;
    const values = turnValues(turn, this.#view, seat, line, this.group, lasting);
    const asking = this.#bodies.read((body) =>
      session.worker.query(`SELECT ${turnColumns(body)} FROM {1:own_turn}(${marks(values.length)})`, values),
    );
    const { rows, bodyOf } = await asking.catch((error: unknown) => {
      for (const part of reads) part.news = true;
      throw error;
    });
    if (seat !== this.seat) return; // what it was for is others' by now
    const answer = turned(rows, bodyOf, turn, this.#view);
    if (answer.unseated) return await this.#context.seats.evicted();
    if (answer.old) return line === this.session ? await this.#context.seats.compare(this) : undefined;
    if (answer.version === undefined) return this.end(groupDeleted());
    this.#seenRoster = answer.roster;
    this.#settled(batch, answer.stale);
    for (const part of batch.parts) this.#sayFloor(part, cursors.get(part)!);
    for (const part of answer.stale) this.#lose(part);
    if (answer.expired > 0) this.#sink.lost(answer.expired, "expired before it was handled");
    if (answer.version !== this.#view.version) await this.#learn(this.#view.version);
    const mine = answer.messages.filter((message) => !message.over);
    for (const message of mine) this.#credit.take(message.size);
    if (this.#state === "closed") return;
    if (mine.length > 0) this.#sink.deliver(mine);
    this.#sweepLater();
  }

  #nextBatch(): OwnBatch {
    const fresh = this.#dirty;
    this.#dirty = newOwnBatch();
    fresh.entries.push(...this.#settlements.take());
    const asked = new Set(this.#writing?.entries);
    this.#writing = this.#writing === undefined ? fresh : joined(this.#writing, fresh);
    const { parts, entries } = this.#writing;
    for (const part of parts) if (!this.#isOurs(part)) parts.delete(part);
    this.#settlements.answer(takeLate(entries, asked, (part) => this.#isOurs(part)));
    return this.#writing;
  }

  #isOurs(part: OwnPart): boolean {
    return this.#parts.get(part.name) === part;
  }

  #settled(batch: OwnBatch, stale: ReadonlySet<OwnPart>): void {
    this.#writing = undefined;
    for (const message of written(batch, (part) => !stale.has(part) && this.#isOurs(part))) {
      this.#dirty.noted.push(message); // settled while its note was written
      this.#dirty.parts.add(message.handle.part as OwnPart);
    }
    this.#settlements.answer(batch.entries);
  }

  /** Partitions in which nothing was settled: retention wants to know that their group is past them. */
  #sweepLater(): void {
    if (this.#sweep !== undefined || ![...this.#parts.values()].some((part) => part.cursor !== part.written)) return;
    this.#sweep = this.#context.session.later(sweepMs, () => {
      this.#sweep = undefined;
      for (const part of this.#parts.values()) if (part.cursor !== part.written) this.#dirty.parts.add(part);
      this.#run();
    });
  }

  #sayFloor(part: OwnPart, cursor: number): void {
    if (cursor === part.written || !this.#isOurs(part)) return;
    part.written = cursor;
    this.#sink.floor(part.name, String(cursor));
  }

  async #share(): Promise<void> {
    const [{ session }, { seat }] = [this.#context, this];
    const change = await shareOut(session, this.#view, this.group, this, this.#parts, (part) => {
      if (!this.#mayGive(part)) return false;
      this.#lose(part); // before anybody may have it: what only waits must not begin here meanwhile
      return true;
    });
    if (seat !== this.seat || this.#state === "closed") return;
    if (change === undefined) {
      this.#check = true; // the next turn finds out whether the group is gone, or only our seat
      this.#roster = this.#seenRoster = 0;
      return;
    }
    this.#accept(change);
    if (change.moved) session.announce("g", this.group);
  }

  #accept({ gained, draining, lost, missed, roster, moved }: ShareChange): void {
    this.#seenRoster = roster;
    this.#roster = moved ? -1 : roster; // it has moved by us
    if (missed === undefined || missed > 0) this.#sink.lost(missed, retentionLoss);
    for (const part of lost) this.#lose(part);
    for (const part of gained) {
      part.most = this.#limits.get(part.name) ?? part.most;
      this.#parts.set(part.name, part);
      this.#sink.floor(part.name, String(part.cursor));
    }
    for (const part of this.#parts.values()) part.draining = draining.has(part);
    if (draining.size > 0) this.#lookAtDrains();
  }

  /** A partition that only waits may be given up as soon as its time comes near, or nothing of it runs. */
  #lookAtDrains(): void {
    this.#drainLook ??= this.#context.session.later(drainLookMs, () => {
      this.#drainLook = undefined;
      if (![...this.#parts.values()].some(({ draining }) => draining)) return;
      this.#run();
      this.#lookAtDrains();
    });
  }

  async #learn(known: number): Promise<void> {
    const spec = await this.#view.refresh(this.seat);
    if (this.#state === "closed") return;
    if (spec === undefined) return this.end(groupDeleted());
    if (known !== 0) this.#sink.spec(spec);
    this.#view.sayMissed(this.#sink);
    this.#roster = -1;
    for (const part of this.#parts.values()) part.news = true;
  }

  /** Another member has it now, or may take it. */
  #lose(part: OwnPart): void {
    if (!this.#isOurs(part)) return;
    this.#parts.delete(part.name);
    this.#dirty.parts.delete(part);
    for (const message of part.messages()) {
      if (!message.over) this.#credit.give(message.size);
      message.over = true;
    }
    this.#sink.revoked({ partition: part.name });
  }

  #forget(): void {
    for (const part of this.#parts.values()) for (const message of part.messages()) message.over = true;
    this.#parts.clear();
    this.#credit.clear();
    this.#dirty = newOwnBatch();
    const entries = [...(this.#writing?.entries ?? []), ...this.#settlements.take()];
    this.#writing = undefined;
    for (const entry of entries) entry.result = "stale";
    this.#settlements.answer(entries);
    for (const resolve of this.#flushes.splice(0)) resolve();
  }
}
