import { Fifo } from "../fifo.ts";
import { timesOf, type HandedOut } from "../../internal/rows/handed-out.ts";
import type { RowMessage } from "./message.ts";
import { decodeSequences, encodeSequences } from "../../internal/rows/sequence-set.ts";

/** Who had it last, and how far they came. */
export interface PlaceRow {
  readonly stream: number;
  readonly partition: number;
  /** Before it changed hands. */
  readonly epoch: number;
  readonly cursor: number;
  readonly done: Uint8Array | null;
  /** `HandedOut` as JSON. */
  readonly counts: string | null;
}

/** What was recorded beside a message that keeps its place. */
export interface NoteRow {
  readonly seq: number;
  readonly attempts: number;
  readonly not_before: number | null;
  readonly headers: string | null;
}

/** One message of a partition, from being read to being behind the cursor. */
export interface PartEntry {
  readonly part: Part;
  readonly seq: number;
  settled: boolean;
  /** Written down as waiting for its next attempt until then. */
  waitsUntil: number | undefined;
  noted: boolean;
  message: RowMessage<PartEntry> | undefined;
}

/** A partition of an ordered group in this member's hands. Pure: memory only. */
export class Part {
  readonly stream: number;
  readonly number: number;
  readonly name: string;
  readonly epoch: number;
  /** Everything up to it is settled. */
  cursor: number;
  /** Everything up to it was looked at. */
  next: number;
  /** Handed out up to here, by this owner. */
  out = 0;
  written: number;
  outstanding = 0;
  /** Most that is delivered and unsettled; 0 pauses. */
  most: number = Number.POSITIVE_INFINITY;
  draining = false;
  readonly counts: HandedOut;
  readonly #entries = new Fifo<PartEntry>();
  /** What former owners settled and this one has not come to yet. */
  readonly #above: Set<number>;
  readonly #notes: ReadonlyMap<number, NoteRow>;

  constructor(row: PlaceRow, name: string, notes: readonly NoteRow[]) {
    this.stream = row.stream;
    this.number = row.partition;
    this.name = name;
    this.epoch = row.epoch + 1;
    this.cursor = row.cursor;
    this.next = row.cursor;
    this.written = row.cursor;
    this.counts = JSON.parse(row.counts ?? "[]") as HandedOut;
    this.#above = decodeSequences(row.cursor, row.done);
    this.#notes = new Map(notes.map((note) => [note.seq, note]));
  }

  get open(): boolean {
    return !this.draining && this.outstanding < this.most;
  }

  noteOf(seq: number): NoteRow | undefined {
    return this.#notes.get(seq);
  }

  deliveriesOf(seq: number): number {
    return 1 + timesOf(this.counts, seq);
  }

  settledBefore(seq: number): boolean {
    return this.#above.has(seq);
  }

  /** The next in order; `settled` when nothing is to be done with it. */
  push(entry: PartEntry): void {
    this.#entries.push(entry);
    this.#above.delete(entry.seq);
    this.next = entry.seq;
    if (!entry.settled) this.outstanding += 1;
  }

  /** Looked at up to here, and nothing more of it was wanted. */
  reached(seq: number): void {
    this.next = Math.max(this.next, seq);
    this.advance();
  }

  settle(entry: PartEntry): void {
    entry.settled = true;
    entry.message = undefined;
    this.outstanding -= 1;
    this.advance();
  }

  advance(): void {
    for (let head = this.#entries.peek(); head?.settled === true; head = this.#entries.peek()) {
      this.cursor = head.seq;
      this.#entries.shift();
    }
    if (this.#entries.length === 0) this.cursor = this.next;
  }

  /** What is settled above the cursor, to be written. */
  get done(): Uint8Array | null {
    return encodeSequences(this.cursor, this.#settledAbove());
  }

  /** Nothing of it can be running: what is left waits for its next attempt, or behind such a one of its key. */
  drained(now: number): boolean {
    if (this.outstanding === 0) return true;
    const waiting = new Set<string>();
    for (const { settled, waitsUntil, message } of this.#entries) {
      if (settled) continue;
      const key = message?.key;
      if (waitsUntil !== undefined && waitsUntil > now) {
        if (key !== undefined) waiting.add(key);
      } else if (key === undefined || !waiting.has(key)) return false;
    }
    return true;
  }

  /** Those that are delivered and unsettled. */
  *messages(): IterableIterator<RowMessage<PartEntry>> {
    for (const { message, settled } of this.#entries) if (!settled && message !== undefined) yield message;
  }

  *#settledAbove(): IterableIterator<number> {
    for (const { seq, settled } of this.#entries) if (settled) yield seq;
    for (const seq of this.#above) if (seq > this.next) yield seq;
  }
}
