import type { LaneMerge } from "./lane-merge.ts";
import type { Entry } from "./memory-message.ts";
import type { PartitionLog } from "./partition-log.ts";
import type { TopicFilter } from "./topic-filter.ts";

/** Whom a lane reads for. */
export interface Reader {
  /** Whether what it has not read must be kept for it; not after it was away for that long. */
  needs(idleMs: number): boolean;
  /** What it had not read has gone. */
  lost(count: number, reason: string): void;
}

/** One reader's place in one partition: what it reads next, past what its filter leaves out. */
export class Lane {
  readonly log: PartitionLog;
  readonly filter: TopicFilter;
  readonly reader: Reader;
  /** The position that is read next. */
  next: number;
  /** The sequence of what comes next; Infinity when nothing does. As of the last `refresh`. */
  head: number = Infinity;
  /** Where it stands in its merge; -1: it is not there. Owned by the merge. */
  place: number = -1;
  #merge: LaneMerge | undefined;

  constructor(log: PartitionLog, filter: TopicFilter, reader: Reader, next: number) {
    this.log = log;
    this.filter = filter;
    this.reader = reader;
    this.next = next;
    log.readers.push(this);
  }

  get merge(): LaneMerge | undefined {
    return this.#merge;
  }

  /** Up to and including this position its reader is done. */
  get handled(): number {
    return this.next - 1;
  }

  /** Who reads this lane together with others; undefined: nobody does now. */
  join(merge: LaneMerge | undefined): void {
    if (this.#merge === merge) return;
    this.#merge?.remove(this);
    this.#merge = merge;
    this.notice();
  }

  /** Something may have come. */
  notice(): void {
    if (this.place < 0 && this.#merge !== undefined && this.refresh()) this.#merge.add(this);
  }

  /** Looks for what comes next; false when there is nothing. */
  refresh(): boolean {
    this.head = this.wanted()?.sequence ?? Infinity;
    return this.head !== Infinity;
  }

  /** What it reads next, past what its filter leaves out. */
  wanted(): Entry | undefined {
    for (;;) {
      const entry = this.log.at(this.next);
      if (entry === undefined || this.filter.matches(entry.topic)) return entry;
      this.skip();
    }
  }

  /** Past the next position, which nobody will handle. */
  skip(): void {
    this.next += 1;
  }

  /** The oldest entry of the log goes. */
  dropping(reason: string): void {
    if (this.log.first < this.next) return;
    if (this.filter.matches(this.log.oldest!.topic)) this.reader.lost(1, reason);
    this.skip();
    this.merge?.stale(this);
  }

  close(): void {
    this.join(undefined);
    const index = this.log.readers.indexOf(this);
    if (index >= 0) this.log.readers.splice(index, 1);
  }

  /** How many wait in the log, and since when. */
  backlog(): { readonly waiting: number; readonly oldest: number | undefined } {
    let waiting = 0;
    let oldest: number | undefined;
    for (let position = this.next; position < this.log.next; position += 1) {
      const entry = this.log.at(position)!;
      if (!this.filter.matches(entry.topic)) continue;
      waiting += 1;
      oldest ??= entry.at;
    }
    return { waiting, oldest };
  }
}
