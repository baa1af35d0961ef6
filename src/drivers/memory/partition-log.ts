import type { Entry, Origin } from "./memory-message.ts";
import type { Lane } from "./lane.ts";
import { Ring } from "./ring.ts";

/** One partition of a stream or a queue: entries at dense positions from 1, of which the oldest go first. */
export class PartitionLog implements Origin {
  readonly lane: "stream" | "queue";
  readonly partition: string;
  readonly number: number;
  /** What a position is written after, for people: `3/`. */
  readonly place: string;
  /** Who reads it and is told of what comes and goes. */
  readonly readers: Lane[] = [];
  /** The sequence of the oldest entry; Infinity without one. */
  oldestSequence: number = Infinity;
  readonly #entries = new Ring<Entry>();
  #first = 1;

  constructor(lane: "stream" | "queue", partition: string, number: number) {
    this.lane = lane;
    this.partition = partition;
    this.number = number;
    this.place = `${number}/`;
  }

  /** The oldest position that is still here, or would be. */
  get first(): number {
    return this.#first;
  }

  /** The position of the next one to come. */
  get next(): number {
    return this.#first + this.#entries.length;
  }

  get oldest(): Entry | undefined {
    return this.#entries.at(0);
  }

  get newest(): Entry | undefined {
    return this.#entries.at(this.#entries.length - 1);
  }

  at(position: number): Entry | undefined {
    return this.#entries.at(position - this.#first);
  }

  append(entry: Entry): void {
    this.#entries.push(entry);
    if (this.oldestSequence === Infinity) this.oldestSequence = entry.sequence;
    const readers = this.readers;
    for (let index = 0; index < readers.length; index += 1) readers[index]!.notice();
  }

  /** Forgets the oldest. Readers are told first, so that they count what they had not read. */
  drop(reason: string): Entry | undefined {
    const entry = this.#entries.at(0);
    if (entry === undefined) return undefined;
    for (const reader of this.readers) reader.dropping(reason);
    this.#entries.shift();
    this.#first += 1;
    this.oldestSequence = this.#entries.at(0)?.sequence ?? Infinity;
    return entry;
  }

  /** The first position that was stored at that time or later. */
  positionAt(time: number): number {
    let low = this.#first;
    let high = this.next;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.at(middle)!.at < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
