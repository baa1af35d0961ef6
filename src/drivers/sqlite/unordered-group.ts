import type { Consumption, InMessage, Note, Settlement, Sink, StoredMessage, Window } from "../../driver.ts";
import { Credit } from "../../internal/credit.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { ClaimReader, type Claimed } from "./claim-reader.ts";
import { ClaimWriter, type ClaimBatch, type ClaimHandle } from "./claim-writer.ts";
import { encodeHeaders } from "../../internal/rows/headers.ts";
import type { RowMessage } from "../../internal/rows/message.ts";
import { Settlements, type Entry } from "../../internal/rows/settlements.ts";
import type { Store } from "./store.ts";
import { partitionName } from "./streams.ts";
import type { Job } from "./turn.ts";

type Message = RowMessage<ClaimHandle>;

const retryFullMs = 250;
const floorEveryMs = 50;
/** How long a cursor that passed what nobody wants may go unwritten. */
const sweepMs = 250;

/**
 * A member of a group that keeps no order: runs of the log are claimed with one row each, and what is handled is noted in it
 * once a turn. A message that is retried, released or noted gets a row of its own.
 */
export class UnorderedGroup implements Consumption {
  readonly address: undefined = undefined;
  readonly group: number;
  readonly #store: Store;
  readonly #sink: Sink;
  readonly #reader: ClaimReader;
  readonly #writer: ClaimWriter;
  readonly #credit: Credit;
  readonly #settlements = new Settlements<ClaimHandle, StoredMessage>();
  readonly #delivered = new Set<Message>();
  readonly #paused = new Set<string>();
  readonly #floors = new Map<number, number>();
  #member: number;
  #dirty: ClaimBatch = newBatch();
  #writing: ClaimBatch | undefined;
  #claimed: Claimed | undefined;
  #newFloors: readonly (readonly [stream: number, floor: number])[] = [];
  #floorAt = 0;
  #sweeping = false;
  #state: "open" | "stopped" | "closed" = "open";
  #flushes: (() => void)[] = [];

  constructor(store: Store, group: number, member: number, version: number, sink: Sink, window: Window) {
    this.#store = store;
    this.group = group;
    this.#member = member;
    this.#sink = sink;
    this.#credit = new Credit(window);
    this.#reader = new ClaimReader(store, group, version);
    this.#writer = new ClaimWriter(store, group);
  }

  get member(): number {
    return this.#member;
  }

  /** Something may be there to claim. */
  wake(): void {
    if (this.#state === "open" && this.#credit.messages > 0) this.#store.turn.add(this.#claimJob, "claim");
  }

  /** The definition moved: the core is told even while nothing may be delivered. */
  changed(): void {
    if (this.#state !== "closed") this.#store.turn.add(this.#claimJob, "claim");
  }

  /** As `wake`, after a look that takes no lock. */
  look(): void {
    if (this.#state === "closed") return;
    if (this.#reader.moved() || (this.#credit.messages === 0 && this.#reader.anyLost)) return this.changed();
    if (this.#state !== "open" || this.#credit.messages === 0) return;
    if (this.#reader.anything()) this.wake();
    this.#sweepLater();
    const due = this.#store.held.next(this.group, this.#store.clock.now(), this.#store.self);
    if (due !== undefined) this.#store.dueAt(due);
  }

  tick(): void {
    // nothing waits for time alone
  }

  /** Others took us for dead: nothing that was delivered is ours any more, and this is our new seat. */
  lostSeat(member: number, version: number): void {
    const gone = [...this.#delivered];
    this.#forget();
    this.#member = member;
    this.#reader.version = version;
    if (gone.length > 0) this.#sink.revoked(gone);
    this.wake();
  }

  announce(): void {
    const group = this.#store.groups.byId(this.group);
    if (group === undefined) return;
    for (const { id } of this.#store.groups.sources(group))
      this.#sayFloor(id, this.#store.retention.floorOf(group.id, id));
  }

  /** The group is gone, or the file is. */
  end(error: unknown): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#store.left(this);
    this.#forget();
    this.#sink.ended(error, false);
  }

  window(window: Window, partition?: string): void {
    if (partition === undefined) this.#credit.window = window;
    else if (window.messages === 0) this.#paused.add(partition);
    else this.#paused.delete(partition);
    this.wake();
  }

  wants(): Promise<void> {
    return Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    for (const each of messages) {
      const message = each as Message;
      if (message.over) continue;
      this.#done(message);
      message.handle.acked = true;
      if (message.handle.claim === undefined) this.#dirty.held.push(message);
    }
    this.#write();
  }

  settle(batch: readonly Settlement[]): Promise<readonly ("done" | "stale" | "unknown")[]> {
    return this.#add(batch);
  }

  async record(notes: readonly Note[]): Promise<readonly ("done" | "stale")[]> {
    const results = await this.#add(notes.map((note) => ({ ...note, how: "note" as const })));
    return results.map((result) => (result === "done" ? "done" : "stale"));
  }

  flush(): Promise<void> {
    if (!this.#unwritten()) return Promise.resolve();
    return new Promise((resolve) => void this.#flushes.push(resolve));
  }

  stop(): Promise<void> {
    if (this.#state === "open") this.#state = "stopped";
    return Promise.resolve();
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = "stopped";
    await this.#store.unlessAborted(this.flush(), signal);
    this.#state = "closed";
    this.#store.left(this);
    const member = this.#member;
    await this.#store.unlessAborted(
      this.#store.turn.do(() => this.#store.members.leave(member, false), "settle"),
      signal,
    );
    this.#forget();
  }

  readonly #settleJob: Job = {
    run: () => this.#runSettle(),
    committed: () => this.#settled(),
    failed: (error, stored) => this.#settleFailed(error, stored),
  };

  readonly #claimJob: Job = {
    run: () => {
      this.#claimed = undefined;
      if (this.#state === "closed" || this.#store.seating.evicted) return;
      const messages = this.#state === "open" ? this.#credit.messages : 0;
      this.#claimed = this.#reader.claim(this.#member, messages, this.#credit.bytes, this.#paused);
    },
    committed: () => this.#take(),
    failed: () => this.#store.later(retryFullMs, () => this.wake()),
  };

  #add(
    whats: readonly Entry<ClaimHandle, StoredMessage>["what"][],
  ): Promise<readonly ("done" | "stale" | "unknown")[]> {
    const answer = this.#settlements.add(whats, (message, what) => {
      if (message.over) return false;
      if (what.how !== "note") this.#done(message);
      else if (message.handle.claim !== undefined) this.#dirty.claims.add(message.handle.claim);
      return true;
    });
    this.#write();
    return answer;
  }

  /** Nothing more becomes of it here; its bit is set now and written with whatever else became of it. */
  #done(message: Message): void {
    message.over = true;
    this.#delivered.delete(message);
    this.#credit.give(message.size);
    const { claim } = message.handle;
    if (claim === undefined) return;
    if (claim.isOpen(message.seq)) claim.done(message.seq);
    this.#dirty.claims.add(claim);
  }

  #write(): void {
    if (!this.#unwritten() || this.#state === "closed") return;
    this.#store.turn.add(this.#settleJob, "settle", this.#lasting);
    this.wake();
  }

  #unwritten(): boolean {
    return (
      this.#dirty.claims.size > 0 || this.#dirty.held.length > 0 || this.#settlements.any || this.#writing !== undefined
    );
  }

  /** Letters and retries are synced; of what is only done, or about to run, a power cut may make a repeat. */
  get #lasting(): boolean {
    return this.#settlements.lasting || (this.#writing?.entries.length ?? 0) > 0;
  }

  #runSettle(): void {
    const batch = this.#nextBatch();
    this.#writer.write(batch, this.#member);
    this.#measureFloors(batch);
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

  #settled(): void {
    const batch = this.#writing;
    if (batch === undefined) return;
    this.#writing = undefined;
    for (const { message, what, result } of batch.entries) {
      if (what.how === "note" && result === "done") {
        message.handle.claim = undefined;
        message.noted(encodeHeaders(what.headers));
        if (message.handle.acked === true) this.#dirty.held.push(message); // while its note was written
      }
      if ((what.how !== "retry" && what.how !== "release") || result !== "done") continue;
      if (what.delayMs > 0) this.#store.dueAt(this.#store.clock.now() + what.delayMs);
      else this.#store.returned(this.group);
    }
    this.#settlements.answer(batch.entries);
    for (const [stream, floor] of this.#newFloors) this.#sayFloor(stream, floor);
    this.#newFloors = [];
    if (this.#unwritten()) return this.#write();
    const flushes = this.#flushes;
    this.#flushes = [];
    for (const resolve of flushes) resolve();
  }

  /** A full disk: what was settled here stays so, and is written when there is room. */
  #settleFailed(_error: unknown, _stored: "no" | "unknown"): void {
    if (this.#state === "closed") return this.#answerUnknown();
    this.#store.later(retryFullMs, () => this.#write());
  }

  #answerUnknown(): void {
    this.#settlements.answer(
      [...(this.#writing?.entries ?? []), ...this.#settlements.take()].map((entry) => ({
        ...entry,
        result: "unknown" as const,
      })),
    );
    this.#writing = undefined;
    for (const resolve of this.#flushes.splice(0)) resolve();
  }

  #take(): void {
    const claimed = this.#claimed;
    this.#claimed = undefined;
    if (claimed === undefined) return;
    if (claimed.gone) return this.end(new DriverError("BUS_NOT_FOUND", `sqlite: the group was deleted`));
    if (claimed.spec !== undefined) {
      this.#reader.version = claimed.version;
      this.#sink.spec(claimed.spec);
      this.#store.specKnown();
    }
    for (const { count, reason } of claimed.lost) this.#sink.lost(count, reason);
    for (const message of claimed.messages) {
      this.#credit.take(message.size);
      this.#delivered.add(message);
    }
    if (claimed.messages.length > 0) this.#sink.deliver(claimed.messages);
    if (claimed.more) this.wake();
    this.#sweepLater();
    if (claimed.nextDue !== undefined) this.#store.dueAt(claimed.nextDue);
  }

  #sweepLater(): void {
    if (this.#sweeping || !this.#reader.lagging) return;
    this.#sweeping = true;
    this.#store.later(sweepMs, () => {
      this.#sweeping = false;
      if (this.#state !== "closed") this.#store.turn.do(() => this.#reader.writeCursors()).catch(() => undefined); // the next sweep will
    });
  }

  #measureFloors(batch: ClaimBatch): void {
    const now = this.#store.clock.ticks();
    if (this.#credit.outstanding > 0 && now - this.#floorAt < floorEveryMs) return;
    this.#floorAt = now;
    const streams = new Set([...batch.claims].map(({ stream }) => stream));
    for (const message of batch.held) streams.add(message.handle.stream);
    this.#newFloors = [...streams].map(
      (stream) => [stream, this.#store.retention.floorOf(this.group, stream)] as const,
    );
  }

  #sayFloor(stream: number, floor: number): void {
    if (!Number.isFinite(floor) || this.#floors.get(stream) === floor) return;
    this.#floors.set(stream, floor);
    const row = this.#store.streams.byId(stream);
    if (row === undefined) return;
    for (let partition = 0; partition < row.partitions; partition += 1)
      this.#sink.floor(partitionName(row, partition), String(floor));
  }

  #forget(): void {
    for (const message of this.#delivered) message.over = true;
    this.#delivered.clear();
    this.#credit.clear();
    this.#dirty = newBatch();
    for (const entry of [...(this.#writing?.entries ?? []), ...this.#settlements.take()]) {
      entry.result = "stale";
      this.#settlements.answer([entry]);
    }
    this.#writing = undefined;
    for (const resolve of this.#flushes.splice(0)) resolve();
  }
}

function newBatch(): ClaimBatch {
  return { claims: new Set(), held: [], entries: [] };
}
