import { oldest, newest } from "./cluster.ts";
import type { FetchedPartition } from "./fetch-answer.ts";
import type { FetchPlace } from "./fetch-loop.ts";
import type { FetchedRecord } from "./record-batch.ts";
import { Fifo } from "../../internal/fifo.ts";
import type { Session } from "./session.ts";

const outOfRange = 1;
/** What one partition may have waiting here: one answer of it. */
const roomBytes = 1_048_576;
/** What waited so long for room may be gone from the log by now. */
const staleMs = 500;
/** The same of a stream that is cut with each publish. */
const soonStaleMs = 10;
export const cutOff = "the log was cut off at its end";
export const passedBy = "dropped by retention before it was read";

export interface ReadingListener {
  came(): void;
  /** What was not read is no more. */
  lost(reason: string): void;
  /** There is room again. */
  wake(): void;
  /** Offsets without a record: up to, and without, this one. */
  passed?(to: number): void;
  /** What was at or above it was lost with its broker: others come to have these offsets. */
  cutOff?(end: number): void;
  /** What is below is not in the log any more. */
  trimmed?(first: number): void;
  /** The topic may be no more or another one, or nobody may read it: Kafka's number. */
  gone?(errorCode: number): void;
}

/** One partition that is read in order, as fast as what came is taken. */
export class Reading implements FetchPlace {
  readonly topic: string;
  readonly partition: number;
  topicId: string | undefined;
  /** The offset that is asked for next. */
  next: number;
  /** Of the log, as it was last told. */
  end = 0;
  readonly #session: Pick<Session, "cluster" | "options">;
  readonly #listener: ReadingListener;
  readonly #loop: { remove(place: FetchPlace): void };
  readonly #staleMs: number;
  readonly #waiting = new Fifo<FetchedRecord>();
  /** When what waits was last known to be in the log, in ticks. */
  #knownAt = 0;
  #looking = false;
  /** Nothing is read while it is known to be in vain. */
  #paused = false;
  #closed = false;

  constructor(
    session: Pick<Session, "cluster" | "options" | "loop">,
    topic: string,
    partition: number,
    start: number,
    listener: ReadingListener,
    loop: { remove(place: FetchPlace): void } = session.loop,
    cutOften = false,
    topicId?: string,
  ) {
    this.topicId = topicId;
    this.#staleMs = cutOften ? soonStaleMs : staleMs;
    this.#session = session;
    this.#listener = listener;
    this.#loop = loop;
    this.topic = topic;
    this.partition = partition;
    this.next = start;
  }

  get room(): number {
    return this.#paused || this.#closed || this.#waiting.length > 0 ? 0 : roomBytes;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** What may be gone is looked after first; `came` is called again then. */
  peek(): FetchedRecord | undefined {
    if (this.isStale) this.look();
    return this.#looking ? undefined : this.#waiting.peek();
  }

  get isStale(): boolean {
    return this.#waiting.length > 0 && this.#session.cluster.clock.ticks() - this.#knownAt > this.#staleMs;
  }

  /** Whether what waits is still in the log. */
  look(): void {
    if (this.#looking || this.#closed) return;
    this.#looking = true;
    const { cluster } = this.#session;
    const { topic, partition } = this;
    cluster
      .offsets([{ topic, partition, at: oldest }])
      .then(([first = 0]) => this.#beginsAt(first))
      .catch(() => undefined) // handed out as it was fetched
      .finally(() => {
        this.#looking = false;
        this.#knownAt = cluster.clock.ticks();
        if (!this.#closed) this.#listener.came();
      });
  }

  #beginsAt(first: number): void {
    let gone = 0;
    for (let next = this.#waiting.peek(); next !== undefined && next.offset < first; next = this.#waiting.peek()) {
      this.#waiting.shift();
      gone += 1;
    }
    if (gone > 0 && !this.#closed) this.#listener.lost(passedBy);
    this.#listener.trimmed?.(first);
    if (gone > 0 && this.#waiting.length === 0) this.#listener.wake();
  }

  shift(): void {
    this.#waiting.shift();
    if (this.#waiting.length === 0) this.#listener.wake();
  }

  /** Reads nothing more until it is resumed. */
  pause(paused: boolean): void {
    if (this.#paused === paused) return;
    this.#paused = paused;
    if (!paused) this.#listener.wake();
  }

  /** What came of another topic that had its name is forgotten; reads nothing until it is resumed. */
  restart(): void {
    this.#paused = true;
    this.goTo(0);
  }

  /** What waits here is forgotten. */
  goTo(offset: number): void {
    for (let left = this.#waiting.length; left > 0; left -= 1) this.#waiting.shift();
    this.next = offset;
  }

  took({ batches, first, end }: FetchedPartition): void {
    this.end = end;
    this.#knownAt = this.#session.cluster.clock.ticks();
    if (first > this.next) {
      this.next = first;
      this.#listener.lost(passedBy);
      this.#listener.passed?.(first);
    }
    const before = this.#waiting.length;
    for (const { records, from, to, unreadable } of batches) {
      if (to <= this.next) continue;
      if (unreadable !== undefined) {
        this.#waiting.push(unreadableRecord(Math.max(from, this.next), unreadable.bytes));
      } else {
        for (const record of records) if (record.offset >= this.next) this.#waiting.push(record);
      }
      this.next = to;
    }
    if (this.#waiting.length > before) this.#listener.came();
    else if (batches.length > 0) this.#listener.passed?.(this.next);
  }

  failed(errorCode: number): void {
    if (errorCode !== outOfRange) this.#listener.gone?.(errorCode);
    if (errorCode !== outOfRange || this.#paused) return;
    this.#paused = true;
    const { cluster } = this.#session;
    const { topic, partition } = this;
    cluster
      .offsets([
        { topic, partition, at: oldest },
        { topic, partition, at: newest },
      ])
      .then(([first = 0, end = 0]) => {
        if (this.#closed) return;
        if (this.next < first) {
          this.next = this.#session.options.offsetReset === "newest" ? end : first;
          this.#listener.lost(passedBy);
        } else if (this.next > end) {
          this.goTo(end);
          this.#listener.lost(cutOff);
          return this.#listener.cutOff?.(end);
        }
        this.#listener.passed?.(this.next);
      })
      .catch(() => undefined) // it is said again by the next answer
      .finally(() => this.pause(false));
  }

  close(): void {
    this.#closed = true;
    this.#loop.remove(this);
  }
}

/** So that it becomes a dead letter, and what is behind it is read. */
const unreadableRecord = (offset: number, value: Buffer): FetchedRecord => ({
  offset,
  time: 0,
  key: undefined,
  value,
  headers: [[Buffer.from("kafka-unreadable"), Buffer.from("1")]],
});
