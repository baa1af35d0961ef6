import type { Consumption, InMessage, Note, Settlement, Sink, StoredMessage, Window } from "../../driver.ts";
import { Credit } from "../../internal/credit.ts";
import { Alarm } from "../../internal/rows/alarm.ts";
import { encodeHeaders } from "../../internal/rows/headers.ts";
import { Settlements, type Entry, type What } from "../../internal/rows/settlements.ts";
import {
  claimColumns,
  claimedOf,
  claimValues,
  newBatch,
  settleValues,
  type ClaimBatch,
  type ClaimHandle,
  type ClaimMessage,
  type Run,
} from "./claims.ts";
import { BodyForm } from "./body-form.ts";
import { isLost } from "./classify.ts";
import { FloorTeller } from "./floor-teller.ts";
import { settleKinds } from "./functions/settle.ts";
import { groupDeleted, GroupView, type GroupContext } from "./group-view.ts";
import { resyncClaims } from "./resync-claims.ts";
import type { GroupMember } from "./seats.ts";
import { marks } from "./values.ts";
import { endedUnlessAborted } from "../../internal/unless-aborted.ts";

type Result = "done" | "stale" | "unknown";

const againMs = 250;
/** Another member was at the partition in this moment. */
const collidedMs = 5;
/** Of one answer: our lease is renewed by the same line, behind it. */
const mostBytes = 8_388_608;
const mostAtOnce = 1_000;
/** How long acknowledgements wait for the rest of their run, which is then deleted instead of changed. */
const ackMs = 10;

/**
 * A member of a group that keeps no order: runs of the log are claimed with one row each, and what is handled is noted in it
 * once a turn. A message that is retried, released or noted gets a row of its own.
 */
export class UnorderedGroup implements Consumption, GroupMember {
  readonly address: undefined = undefined;
  readonly group: number;
  seat: number;
  session = 0;
  readonly #context: GroupContext;
  readonly #sink: Sink;
  readonly #view: GroupView;
  readonly #credit: Credit;
  readonly #settlements = new Settlements<ClaimHandle, StoredMessage>();
  readonly #delivered = new Set<ClaimMessage>();
  readonly #runs = new Map<number, Run>();
  readonly #paused = new Set<string>();
  readonly #alarm: Alarm;
  readonly #floors: FloorTeller;
  readonly #bodies = new BodyForm();
  #ackTimer: Disposable | undefined;
  #ackDue = false;
  #dirty: ClaimBatch = newBatch();
  #writing: ClaimBatch | undefined;
  /** What it reads is known. */
  #started = false;
  #settling = false;
  #claiming = false;
  #asked: Promise<void> = Promise.resolve();
  /** What the server has is being compared with what we have: nothing may move meanwhile. */
  #syncing = false;
  /** Something moved since the last claim began. */
  #news = true;
  /** Not even a window without room keeps it from being looked at. */
  #check = true;
  #turn = 0;
  #state: "open" | "stopped" | "closed" = "open";
  #flushes: (() => void)[] = [];

  constructor(context: GroupContext, group: number, seat: number, sink: Sink, window: Window) {
    this.#context = context;
    this.group = group;
    this.seat = seat;
    this.#sink = sink;
    this.#credit = new Credit(window);
    this.#view = new GroupView(context, group);
    this.#alarm = new Alarm(context.session.clock, () => this.wake(undefined));
    this.#floors = new FloorTeller(context, group, sink);
    this.#turn = Math.floor(context.session.clock.random() * 1_024);
  }

  /** Before anything is delivered: what it reads. */
  async start(): Promise<void> {
    await this.#view.refresh(this.seat);
    this.#started = true;
    this.#floors.tell();
    this.wake(undefined);
  }

  wake(stream: number | undefined): void {
    if (stream !== undefined && !this.#view.patterns.has(stream)) return;
    this.#news = true;
    if (stream === undefined) this.#check = true;
    void this.#claimLoop();
  }

  async resync(): Promise<void> {
    const { session } = this.#context;
    const { seat } = this;
    this.#syncing = true; // and if it fails: it is begun again
    await this.#context.seats.renew(this);
    const found = await resyncClaims(session, seat, this.#delivered, this.#runs, () => [
      ...this.#dirty.held,
      ...(this.#writing?.held ?? []),
      ...[...this.#dirty.entries, ...(this.#writing?.entries ?? [])].map(({ message }) => message),
      ...this.#settlements.messages,
    ]);
    if (seat !== this.seat) return;
    this.#syncing = false;
    for (const run of this.#runs.values()) this.#dirty.claims.add(run);
    for (const message of found.revoked) this.#over(message);
    if (found.revoked.length > 0) this.#sink.revoked(found.revoked);
    this.#answer(this.#writing?.entries.splice(0) ?? [], "unknown", found.open);
    this.#write();
    this.wake(undefined);
  }

  lostSeat(seat: number): void {
    const gone = [...this.#delivered];
    this.#forget();
    this.seat = seat;
    this.session = 0;
    this.#syncing = false;
    if (gone.length > 0) this.#sink.revoked(gone);
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
    else if (window.messages === 0) this.#paused.add(partition);
    else this.#paused.delete(partition);
    this.#news = true;
    void this.#claimLoop();
  }

  wants(): Promise<void> {
    return Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    for (const each of messages) {
      const message = each as ClaimMessage;
      if (message.over) continue;
      this.#done(message);
      message.handle.acked = true;
      if (message.handle.claim === undefined) this.#dirty.held.push(message);
    }
    this.#write();
  }

  settle(batch: readonly Settlement[]): Promise<readonly Result[]> {
    return this.#add(batch);
  }

  async record(notes: readonly Note[]): Promise<readonly ("done" | "stale")[]> {
    return (await this.#add(notes.map((note) => ({ ...note, how: "note" as const })))).map((result) =>
      result === "done" ? "done" : "stale",
    );
  }

  flush(): Promise<void> {
    if (!this.#unwritten()) return Promise.resolve();
    return new Promise((resolve) => {
      this.#flushes.push(resolve);
      this.#write();
    });
  }

  /** What was asked for before comes still. */
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
    this.#alarm.clear();
    this.#ackTimer?.[Symbol.dispose]();
    this.#floors.close();
    this.#context.seats.members.delete(this);
  }

  #add(whats: readonly What<StoredMessage>[]): Promise<readonly Result[]> {
    const answer = this.#settlements.add(whats, (message, what) => {
      if (message.over) return false;
      const { claim } = message.handle;
      if (what.how !== "note") this.#done(message);
      else if (claim !== undefined) {
        if (claim.isOpen(message.seq)) claim.done(message.seq); // it gets a row of its own
        this.#dirty.claims.add(claim);
      }
      return true;
    });
    this.#write();
    return answer;
  }

  /** Nothing more becomes of it here; its bit is set now and written with whatever else became of it. */
  #done(message: ClaimMessage): void {
    this.#over(message);
    const { claim } = message.handle;
    if (claim === undefined) return;
    if (claim.isOpen(message.seq)) claim.done(message.seq);
    this.#dirty.claims.add(claim);
  }

  #over(message: ClaimMessage): void {
    if (message.over) return;
    message.over = true;
    this.#delivered.delete(message);
    this.#credit.give(message.size);
  }

  #write(): void {
    if (!this.#settling && !this.#syncing && this.#state !== "closed" && this.#mustWrite()) void this.#settleLoop();
    void this.#claimLoop();
  }

  #unwritten(): boolean {
    return (
      this.#dirty.claims.size > 0 || this.#dirty.held.length > 0 || this.#settlements.any || this.#writing !== undefined
    );
  }

  #mustWrite(): boolean {
    if (!this.#unwritten()) return false;
    const { claims, held, entries } = this.#dirty;
    if (this.#ackDue || this.#writing !== undefined || this.#settlements.any || this.#flushes.length > 0) return true;
    if (this.#state !== "open" || held.length > 0 || entries.length > 0) return true;
    for (const { left } of claims) if (left === 0) return true;
    this.#ackTimer ??= this.#context.session.later(ackMs, () => {
      this.#ackTimer = undefined;
      this.#ackDue = true;
      this.#write();
    });
    return false;
  }

  async #settleLoop(): Promise<void> {
    const { session } = this.#context;
    this.#settling = true;
    try {
      // what this turn of the event loop settles goes together
      await new Promise<void>((resolve) => session.clock.soon(resolve));
      while (this.#mustWrite() && session.isUp && !this.#syncing) await this.#settleOnce();
    } catch (error) {
      if (!isLost(error)) session.later(againMs, () => this.#write()); // a full disk: written when there is room
    } finally {
      this.#settling = false;
    }
    if (this.#unwritten()) return;
    for (const resolve of this.#flushes.splice(0)) resolve();
  }

  async #settleOnce(): Promise<void> {
    const { session } = this.#context;
    this.#ackDue = false;
    const again = this.#dirty.entries.length + (this.#writing?.entries.length ?? 0);
    const lasting = this.#settlements.lasting || again > 0;
    const batch = this.#nextBatch();
    const { seat, session: line } = this;
    const values = settleValues(batch, seat, line, this.group, session.context.member.id, lasting);
    const rows = await session.worker.query(`SELECT * FROM {1:settle}(${marks(values.length)})`, values);
    if (seat !== this.seat) return; // what it was for is others' by now
    if (Number(rows[0]?.[0]) === settleKinds.old)
      return line === this.session ? await this.#context.seats.compare(this) : undefined;
    this.#writing = undefined;
    for (const run of batch.claims) if (run.left === 0) this.#runs.delete(run.id);
    let returned = false;
    for (const [kind, id, done, delay] of rows) {
      if (Number(kind) !== settleKinds.moved) continue;
      const entry = batch.entries[Number(id)]!;
      entry.result = done === "t" ? "done" : "stale";
      if (done === "t" && this.#moved(entry, Number(delay))) returned = true;
    }
    this.#settlements.answer(batch.entries);
    if (returned) {
      session.announce("g", this.group);
    }
    this.#floors.later();
  }

  /** Whether anybody may have it at once. */
  #moved({ message, what }: Entry<ClaimHandle, StoredMessage>, delayMs: number): boolean {
    if (what.how === "note") {
      message.handle.claim = undefined;
      message.noted(encodeHeaders(what.headers));
      if (message.handle.acked === true) this.#dirty.held.push(message); // while its note was written
    }
    if (what.how === "note" || what.how === "dead") return false;
    if (delayMs > 0) this.#alarm.set(this.#context.session.clock.now() + delayMs);
    return delayMs === 0;
  }

  #nextBatch(): ClaimBatch {
    const fresh = this.#dirty;
    this.#dirty = newBatch();
    fresh.entries.push(...this.#settlements.take());
    if (this.#writing === undefined) this.#writing = fresh;
    else {
      for (const claim of fresh.claims) this.#writing.claims.add(claim);
      this.#writing.held.push(...fresh.held);
      this.#writing.entries.push(...fresh.entries);
    }
    return this.#writing;
  }

  async #claimLoop(): Promise<void> {
    if (this.#claiming) return;
    const { session } = this.#context;
    this.#claiming = true;
    try {
      while (this.#mayClaim) await (this.#asked = this.#claimOnce());
    } catch (error) {
      this.#news = true;
      if (!isLost(error)) session.later(againMs, () => void this.#claimLoop());
    } finally {
      this.#claiming = false;
    }
  }

  get #mayClaim(): boolean {
    if (!this.#started || this.#syncing || this.#state === "closed" || !this.#context.session.isUp) return false;
    return this.#check || (this.#news && this.#state === "open" && this.#credit.messages > 0);
  }

  async #claimOnce(): Promise<void> {
    const { session } = this.#context;
    const messages = this.#state === "open" ? Math.min(this.#credit.messages, mostAtOnce) : 0;
    if (messages > 0) this.#news = false; // else what is there is asked for when there is room
    this.#check = false;
    const { seat, session: line } = this;
    const { version } = this.#view;
    const bytes = Math.min(this.#credit.bytes, mostBytes);
    const self = session.context.member.id;
    this.#turn += 1;
    const values = claimValues(this, self, this.#view, this.#turn, messages, bytes, this.#paused);
    const { rows, bodyOf } = await this.#bodies.read((body) =>
      session.worker.query(`SELECT ${claimColumns(body)} FROM {1:claim}(${marks(values.length)})`, values),
    );
    const claimed = claimedOf(rows, bodyOf, this.#view);
    if (seat !== this.seat || this.#state === "closed") return; // freed with the seat
    if (claimed.unseated) return await this.#context.seats.evicted();
    if (claimed.old) {
      this.#news = this.#check = true;
      return line === this.session ? await this.#context.seats.compare(this) : undefined;
    }
    if (claimed.version === undefined) return this.end(groupDeleted());
    for (const run of claimed.runs) {
      this.#runs.set(run.id, run);
      if (run.left === 0) this.#dirty.claims.add(run); // all of it is gone from the log
    }
    for (const { count, reason } of claimed.lost) this.#sink.lost(count, reason);
    if (claimed.version !== version) return await this.#learn(version);
    for (const message of claimed.messages) {
      this.#credit.take(message.size);
      this.#delivered.add(message);
    }
    if (claimed.messages.length > 0) this.#sink.deliver(claimed.messages);
    if (this.#dirty.claims.size > 0) this.#write();
    if (claimed.due !== undefined && messages > 0) this.#alarm.set(session.clock.now() + Math.max(1, claimed.due));
    else if (claimed.due !== undefined) this.#news = true;
    if (claimed.more && claimed.messages.length > 0) this.#news = true;
    else if (claimed.more) session.later(collidedMs * (0.5 + session.clock.random()), () => this.wake(undefined));
  }

  async #learn(known: number): Promise<void> {
    const spec = await this.#view.refresh(this.seat);
    if (this.#state === "closed") return;
    if (spec === undefined) return this.end(groupDeleted());
    if (known !== 0) this.#sink.spec(spec);
    this.#view.sayMissed(this.#sink);
    this.#news = true;
  }

  #answer(
    entries: Entry<ClaimHandle, StoredMessage>[],
    result: Result,
    open: (message: ClaimMessage) => boolean,
  ): void {
    for (const entry of entries) {
      // not done yet: it is tried again
      if (open(entry.message)) this.#dirty.entries.push(entry);
      else {
        entry.result = entry.what.how === "note" ? "stale" : result;
        this.#settlements.answer([entry]);
      }
    }
  }

  #forget(): void {
    for (const message of this.#delivered) message.over = true;
    this.#delivered.clear();
    this.#runs.clear();
    this.#credit.clear();
    const entries = [...(this.#writing?.entries ?? []), ...this.#dirty.entries, ...this.#settlements.take()];
    this.#dirty = newBatch();
    this.#writing = undefined;
    for (const entry of entries) entry.result = "stale";
    this.#settlements.answer(entries);
    for (const resolve of this.#flushes.splice(0)) resolve();
  }
}
