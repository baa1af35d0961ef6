import type { Consumption, InMessage, Note, Settlement, Sink, Source, StoredMessage, Window } from "../../driver.ts";
import { Credit } from "../../internal/credit.ts";
import type { Consumer } from "./group-member.ts";
import { Lane, type Reader } from "./lane.ts";
import { LaneMerge } from "./lane-merge.ts";
import { MemoryMessage, recorded } from "./memory-message.ts";
import type { PartitionLog } from "./partition-log.ts";
import { startAfter, startPosition } from "./start-position.ts";
import type { StoreTime, TurnTaker } from "./store-time.ts";
import type { StreamLog } from "./stream-log.ts";
import { TopicFilter } from "./topic-filter.ts";

/** What a tail needs of its store. */
export interface TailHost {
  tailClosed(tail: Tail): void;
  keepLetter(letter: StoredMessage): void;
  /** Something waits that there is no room for. */
  stuck(): void;
}

/** One reader's own copy of a stream. Holds nothing back: what goes before it was read is said to be lost. */
export class Tail implements Consumption, TurnTaker, Reader {
  readonly address: undefined = undefined;
  readonly stream: StreamLog;
  readonly sink: Sink;
  woken = false;
  readonly #time: StoreTime;
  readonly #use: Credit;
  /** Of each partition. */
  readonly #uses: readonly Credit[];
  /** Until it says what it wants: everything. */
  readonly #filter = new TopicFilter([">"]);
  readonly #merge: LaneMerge = new LaneMerge(() => this.#wake());
  readonly #lanes: readonly Lane[];
  readonly #connection: Consumer;
  readonly #host: TailHost;
  #open = true;
  #lost = new Map<string, number>();

  constructor(
    stream: StreamLog,
    source: Extract<Source, { readonly kind: "tail" }>,
    sink: Sink,
    window: Window,
    time: StoreTime,
    connection: Consumer,
    host: TailHost,
  ) {
    this.stream = stream;
    this.sink = sink;
    this.#time = time;
    this.#use = new Credit(window);
    this.#uses = stream.partitions.map(() => new Credit({ messages: Infinity, bytes: Infinity }));
    this.#connection = connection;
    this.#host = host;
    const starts = stream.partitions.map((log) => {
      const settled = source.resume?.get(log.partition);
      return settled === undefined ? startPosition(source.from, log) : startAfter(settled, log);
    });
    this.#lanes = stream.partitions.map((log, number) => new Lane(log, this.#filter, this, starts[number]!.position));
    const lost = starts.reduce((sum, start) => sum + start.lost, 0);
    if (lost > 0) this.lost(lost, "gone before it was read");
    for (const lane of this.#lanes) lane.join(this.#merge);
  }

  /** Something waits that there is no room for. */
  get stuck(): boolean {
    return !this.#merge.empty;
  }

  needs(): boolean {
    return false;
  }

  lost(count: number, reason: string): void {
    this.#lost.set(reason, (this.#lost.get(reason) ?? 0) + count);
    this.#wake();
  }

  turn(): void {
    if (!this.#open) return;
    if (this.#lost.size > 0) {
      const lost = this.#lost;
      this.#lost = new Map();
      for (const [reason, count] of lost) this.sink.lost(count, reason);
    }
    if (this.#merge.empty) return;
    const ticks = this.#time.ticks();
    const batch: MemoryMessage[] = [];
    while (this.#use.hasRoom) {
      const lane = this.#merge.pick();
      if (lane === undefined) break;
      const use = this.#uses[lane.log.number]!;
      if (!use.hasRoom) {
        this.#merge.setAside(lane);
        continue;
      }
      const message = new MemoryMessage(lane.log.at(lane.next)!, undefined, this, 1, ticks);
      this.#use.take(message.entry.bytes);
      use.take(message.entry.bytes);
      batch.push(message);
      lane.skip();
      this.#merge.stale(lane);
    }
    this.#merge.restore();
    if (batch.length > 0) this.sink.deliver(batch);
    if (this.stuck) this.#host.stuck();
  }

  /** The stream was deleted. */
  end(error: unknown): void {
    if (!this.#open) return;
    this.#end();
    this.sink.ended(error, false);
  }

  window(window: Window, partition?: string): void {
    if (partition === undefined) this.#use.window = window;
    else
      for (const log of this.stream.partitions)
        if (log.partition === partition) this.#uses[log.number]!.window = window;
    this.#wake();
  }

  wants(patterns: readonly string[]): Promise<void> {
    this.#filter.replace(patterns);
    for (const lane of this.#lanes) {
      if (lane.place < 0) lane.notice();
      else this.#merge.stale(lane);
    }
    return Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    for (const message of messages as readonly MemoryMessage[]) this.#free(message);
  }

  /** A letter is kept. Nothing else can be asked of a tail's messages: nobody else gets them, they are let go. */
  settle(batch: readonly Settlement[]): Promise<readonly ("done" | "stale" | "unknown")[]> {
    return Promise.resolve(
      batch.map((settlement) => {
        if (!this.#free(settlement.message as MemoryMessage) || settlement.how !== "dead") return "stale";
        this.#host.keepLetter(settlement.letter);
        return "done";
      }),
    );
  }

  record(notes: readonly Note[]): Promise<readonly ("done" | "stale")[]> {
    return Promise.resolve(notes.map((note) => recorded(note, this)));
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.leave();
    return Promise.resolve();
  }

  close(): Promise<void> {
    return this.stop();
  }

  leave(): void {
    if (this.#open) this.#end();
  }

  #free(message: MemoryMessage): boolean {
    if (message.holder !== this) return false;
    message.holder = undefined;
    this.#use.give(message.entry.bytes);
    this.#uses[(message.entry.origin as PartitionLog).number]!.give(message.entry.bytes);
    if (!this.woken && !this.#merge.empty) this.#wake();
    return true;
  }

  #wake(): void {
    this.#time.wake(this);
  }

  #end(): void {
    this.#open = false;
    for (const lane of this.#lanes) lane.close();
    this.#connection.forget(this);
    this.#host.tailClosed(this);
  }
}
