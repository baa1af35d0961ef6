import type { Consumption, GroupSpec, InMessage, Note, Settlement, Sink, StoredMessage, Window } from "../../driver.ts";
import { Credit } from "../../internal/credit.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { encodeHeaders } from "../../internal/rows/headers.ts";
import type { RowMessage } from "../../internal/rows/message.ts";
import { PartReader } from "./part-reader.ts";
import { PartWriter, type PartBatch } from "./part-writer.ts";
import type { Part, PartEntry } from "../../internal/rows/part.ts";
import type { ReadRound } from "./read-round.ts";
import { Settlements, type Entry } from "../../internal/rows/settlements.ts";
import { Shares, type ShareChange } from "./shares.ts";
import type { Store } from "./store.ts";
import { partitionName } from "./streams.ts";
import type { Job } from "./turn.ts";

type Message = RowMessage<PartEntry>;
interface Turned {
  readonly shares: ShareChange | undefined;
  readonly read: ReadRound | undefined;
  readonly spec: GroupSpec | undefined;
  readonly version: number;
  readonly gone: boolean;
  readonly lost: number;
}

const retryFullMs = 250;
/** How long a cursor that moved may go unwritten when nothing was settled in its partition. */
const sweepMs = 250;

/**
 * A member of a group that keeps order: it owns partitions, one epoch each, and reads them in order. A retry keeps its place;
 * its note lies in `held`. A partition that another member is to have is handed over when nothing of it can be running.
 */
export class OrderedGroup implements Consumption {
  readonly address: undefined = undefined;
  readonly group: number;
  readonly #store: Store;
  readonly #sink: Sink;
  readonly #credit: Credit;
  readonly #shares: Shares;
  readonly #reader: PartReader;
  readonly #writer: PartWriter;
  readonly #parts = new Map<string, Part>();
  readonly #settlements = new Settlements<PartEntry, StoredMessage>();
  readonly #limits = new Map<string, number>();
  #member: number;
  #dirty: PartBatch = newBatch();
  #writing: PartBatch | undefined;
  #written: { readonly lost: readonly Part[] } = { lost: [] };
  #turned: Turned | undefined;
  #sweeping = false;
  #state: "open" | "stopped" | "closed" = "open";
  #flushes: (() => void)[] = [];

  constructor(store: Store, group: number, member: number, version: number, sink: Sink, window: Window) {
    this.#store = store;
    this.group = group;
    this.#member = member;
    this.#sink = sink;
    this.#credit = new Credit(window);
    this.#shares = new Shares(store, group);
    this.#reader = new PartReader(store, group, version);
    this.#writer = new PartWriter(store, group);
  }

  get member(): number {
    return this.#member;
  }

  wake(): void {
    if (this.#state !== "closed") this.#store.turn.add(this.#claimJob, "claim");
  }

  changed(): void {
    this.wake();
  }

  /** As `wake`, after a look that takes no lock. */
  look(): void {
    if (this.#state === "closed") return;
    if (this.#shares.moved() || this.#reader.moved()) return this.wake();
    if (this.#state === "open" && this.#credit.messages > 0 && this.#reader.anything(this.#parts.values())) this.wake();
  }

  /** Partitions that only wait are looked at again: an attempt may have become due, or a message settled. */
  tick(): void {
    for (const part of this.#parts.values())
      if (part.draining && part.drained(this.#store.clock.now())) return this.#write();
  }

  lostSeat(member: number, version: number): void {
    const parts = [...this.#parts.values()];
    this.#forget();
    this.#member = member;
    this.#reader.version = version;
    this.#shares.forget();
    for (const part of parts) this.#sink.revoked({ partition: part.name });
    this.wake();
  }

  announce(): void {
    for (const { stream, partition, cursor } of this.#store.own.all(this.group)) {
      const row = this.#store.streams.byId(stream);
      const name = row === undefined ? undefined : partitionName(row, partition);
      if (name !== undefined && !this.#parts.has(name)) this.#sink.floor(name, String(cursor));
    }
  }

  end(error: unknown): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#store.left(this);
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
    this.wake();
  }

  wants(): Promise<void> {
    return Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    for (const each of messages) if (!(each as Message).over) this.#done(each as Message);
    this.#write();
  }

  settle(batch: readonly Settlement[]): Promise<readonly ("done" | "stale" | "unknown")[]> {
    if (batch.some(({ how }) => how !== "dead"))
      return Promise.reject(
        new DriverError(
          "BUS_UNSUPPORTED",
          "sqlite: a message of an ordered group keeps its place: it can't be retried or released by itself",
        ),
      );
    return this.#add(batch);
  }

  async record(notes: readonly Note[]): Promise<readonly ("done" | "stale")[]> {
    const results = await this.#add(notes.map((note) => ({ ...note, how: "note" as const })));
    return results.map((result) => (result === "done" ? "done" : "stale"));
  }

  flush(): Promise<void> {
    this.#sweep();
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
    failed: () => (this.#state === "closed" ? this.#forget() : this.#store.later(retryFullMs, () => this.#write())),
  };

  readonly #claimJob: Job = {
    run: () => void (this.#turned = this.#runClaim()),
    committed: () => this.#take(),
    failed: () => {
      this.#turned = undefined;
      this.#shares.forget();
      this.#store.later(retryFullMs, () => this.wake());
    },
  };

  #add(whats: readonly Entry<PartEntry, StoredMessage>["what"][]): Promise<readonly ("done" | "stale" | "unknown")[]> {
    const answer = this.#settlements.add(whats, (message, what) => {
      if (message.over) return false;
      if (what.how !== "note") this.#done(message);
      this.#dirty.parts.add(message.handle.part);
      return true;
    });
    this.#write();
    return answer;
  }

  #done(message: Message): void {
    const entry = message.handle;
    message.over = true;
    this.#credit.give(message.size);
    entry.part.settle(entry);
    this.#dirty.parts.add(entry.part);
    if (entry.noted) this.#dirty.noted.push(message);
  }

  #write(): void {
    if (this.#state === "closed") return;
    this.#store.turn.add(this.#settleJob, "settle", this.#lasting);
    if (this.#state === "open" && this.#credit.messages > 0) this.wake();
  }

  #unwritten(): boolean {
    return this.#dirty.parts.size > 0 || this.#settlements.any || this.#writing !== undefined;
  }

  /** Letters and retries are synced; of what is only done, or about to run, a power cut may make a repeat. */
  get #lasting(): boolean {
    return this.#settlements.lasting || (this.#writing?.entries.length ?? 0) > 0;
  }

  #runSettle(): void {
    this.#written = this.#writer.write(this.#nextBatch(), this.#member, this.#parts, !this.#settlements.any);
  }

  #nextBatch(): PartBatch {
    const fresh = this.#dirty;
    this.#dirty = newBatch();
    fresh.entries.push(...this.#settlements.take());
    if (this.#writing === undefined) this.#writing = fresh;
    else {
      for (const part of fresh.parts) this.#writing.parts.add(part);
      this.#writing.noted.push(...fresh.noted);
      this.#writing.entries.push(...fresh.entries);
    }
    return this.#writing;
  }

  #settled(): void {
    const batch = this.#writing;
    if (batch === undefined) return;
    this.#writing = undefined;
    for (const { message, what, result } of batch.entries) {
      if (what.how !== "note" || result !== "done") continue;
      message.noted(encodeHeaders(what.headers));
      message.handle.noted = true;
      message.handle.waitsUntil = what.notBefore;
      if (!message.over) continue;
      this.#dirty.noted.push(message); // settled while its note was written
      this.#dirty.parts.add(message.handle.part);
    }
    for (const part of this.#written.lost) this.#lose(part);
    this.#settlements.answer(batch.entries);
    for (const part of batch.parts) this.#sayFloor(part);
    if (this.#dirty.parts.size > 0 || this.#settlements.any) return this.#write();
    for (const resolve of this.#flushes.splice(0)) resolve();
  }

  /** Partitions in which nothing was settled: retention wants to know that their group is past them. */
  #sweepLater(): void {
    if (this.#sweeping || ![...this.#parts.values()].some((part) => part.cursor !== part.written)) return;
    this.#sweeping = true;
    this.#store.later(sweepMs, () => {
      this.#sweeping = false;
      this.#sweep();
    });
  }

  #sweep(): void {
    for (const part of this.#parts.values()) if (part.cursor !== part.written) this.#dirty.parts.add(part);
    if (this.#dirty.parts.size > 0) this.#write();
  }

  #sayFloor(part: Part): void {
    if (part.cursor === part.written || this.#parts.get(part.name) !== part) return;
    part.written = part.cursor;
    this.#sink.floor(part.name, String(part.cursor));
  }

  /** Another member has it now, or may take it. */
  #lose(part: Part): void {
    if (this.#parts.get(part.name) !== part) return;
    this.#parts.delete(part.name);
    this.#dirty.parts.delete(part);
    for (const message of part.messages()) {
      message.over = true;
      this.#credit.give(message.size);
    }
    this.#sink.revoked({ partition: part.name });
  }

  #runClaim(): Turned | undefined {
    if (this.#state === "closed" || this.#store.seating.evicted) return undefined;
    const group = this.#store.groups.byId(this.group);
    if (group === undefined)
      return { shares: undefined, read: undefined, spec: undefined, version: 0, gone: true, lost: 0 };
    const spec = this.#reader.refresh(group, this.#member);
    const shares = this.#state === "open" ? this.#shares.balance(group, this.#member, this.#parts) : undefined;
    const lost = shares === undefined ? 0 : this.#store.own.takeLost(this.group, this.#member);
    const parts = [...this.#parts.values(), ...(shares?.gained ?? [])].filter(
      (part) => shares === undefined || !(shares.draining.has(part) || shares.lost.includes(part)),
    );
    for (const part of shares?.gained ?? []) part.most = this.#limits.get(part.name) ?? part.most;
    const read =
      this.#state === "open" && this.#credit.messages > 0
        ? this.#reader.read(parts, this.#member, this.#credit.messages, this.#credit.bytes)
        : undefined;
    return { shares, read, spec, version: group.version, gone: false, lost };
  }

  #take(): void {
    const turned = this.#turned;
    this.#turned = undefined;
    if (turned === undefined) return;
    if (turned.gone) return this.end(new DriverError("BUS_NOT_FOUND", "sqlite: the group was deleted"));
    const { shares, read, spec, lost } = turned;
    if (spec !== undefined) {
      this.#reader.version = turned.version;
      this.#sink.spec(spec);
      this.#store.specKnown();
    }
    if (lost > 0) this.#sink.lost(lost, "dropped by retention before it was handled");
    for (const part of shares?.lost ?? []) this.#lose(part);
    for (const part of shares?.gained ?? []) {
      part.most = this.#limits.get(part.name) ?? part.most; // losing its former self may have lifted the bound
      this.#parts.set(part.name, part);
      this.#sink.floor(part.name, String(part.cursor));
    }
    if (shares !== undefined) {
      this.#shares.accept(shares);
      for (const part of this.#parts.values()) part.draining = shares.draining.has(part);
      if (shares.missing > 0) this.#sink.lost(undefined, "dropped by retention before it was handled");
      if (shares.draining.size > 0) this.#write();
    }
    if (read === undefined) return;
    const messages = read.apply((part) => this.#parts.get(part.name) === part);
    for (const message of messages) this.#credit.take(message.size);
    this.#sweepLater();
    if (read.expired > 0) this.#sink.lost(read.expired, "expired before it was handled");
    if (messages.length > 0) this.#sink.deliver(messages);
    if (read.more && this.#credit.messages > 0) this.wake();
  }

  #forget(): void {
    for (const part of this.#parts.values()) for (const message of part.messages()) message.over = true;
    this.#parts.clear();
    this.#credit.clear();
    this.#dirty = newBatch();
    const entries = [...(this.#writing?.entries ?? []), ...this.#settlements.take()];
    this.#writing = undefined;
    for (const entry of entries) entry.result = "stale";
    this.#settlements.answer(entries);
    for (const resolve of this.#flushes.splice(0)) resolve();
  }
}

function newBatch(): PartBatch {
  return { parts: new Set(), noted: [], entries: [] };
}
