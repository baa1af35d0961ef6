import { Fifo } from "./internal/fifo.ts";

interface Track<Item> {
  readonly partition: string;
  /** Of the places from `first` on: whether each is settled. */
  settled: boolean[];
  first: number;
  next: number;
  readonly held: Fifo<{ readonly place: Place; readonly item: Item }>;
  paused: boolean;
}

/** Where a message stands in its partition. */
export interface Place {
  readonly partition: string;
  readonly number: number;
}

/**
 * How far a partition may run ahead of its oldest unsettled message: what is delivered beyond the bound is held until the oldest
 * is settled, and the partition is to be paused meanwhile. Pure: no time, no I/O.
 */
export class RunAhead<Item> {
  readonly #bound: number;
  readonly #tracks = new Map<string, Track<Item>>();
  #held = 0;

  constructor(bound: number) {
    this.#bound = bound;
  }

  get held(): number {
    return this.#held;
  }

  /** `hold`: it waits here. `pause`: it is the first that has to. */
  delivered(partition: string, item: Item): { readonly place: Place; readonly hold: boolean; readonly pause: boolean } {
    let track = this.#tracks.get(partition);
    if (track === undefined) this.#tracks.set(partition, (track = { partition, settled: [], first: 0, next: 0, held: new Fifo(), paused: false }));
    const place = { partition, number: track.next++ };
    track.settled.push(false);
    const hold = place.number - track.first > this.#bound;
    const pause = hold && !track.paused;
    if (hold) {
      track.paused = true;
      track.held.push({ place, item });
      this.#held += 1;
    }
    return { place, hold, pause };
  }

  /** Who goes on now, in order, and whether the partition may be delivered again. */
  settled(place: Place): { readonly go: readonly Item[]; readonly resume: boolean } {
    const track = this.#tracks.get(place.partition);
    if (track === undefined || place.number < track.first) return { go: [], resume: false };
    track.settled[place.number - track.first] = true;
    let done = 0;
    while (track.settled[done] === true) done += 1;
    if (done === 0) return { go: [], resume: false };
    track.settled.splice(0, done);
    track.first += done;
    const go: Item[] = [];
    for (let head = track.held.peek(); head !== undefined && head.place.number - track.first <= this.#bound; head = track.held.peek()) {
      track.held.shift();
      this.#held -= 1;
      go.push(head.item);
    }
    const resume = track.paused && track.held.length === 0;
    if (resume) track.paused = false;
    return { go, resume };
  }

  /** Ownership ended: of one partition, or of all. What was held of it is dropped. */
  forget(partition?: string): void {
    for (const track of partition === undefined ? [...this.#tracks.values()] : [this.#tracks.get(partition)]) {
      if (track === undefined) continue;
      this.#held -= track.held.length;
      this.#tracks.delete(track.partition);
    }
  }

  /** Drops held ones that are no longer ours; their places count as settled. */
  drop(unwanted: (item: Item) => boolean): void {
    for (const track of this.#tracks.values()) {
      for (const { place, item } of [...track.held]) if (unwanted(item)) track.settled[place.number - track.first] = true;
      this.#held -= track.held.remove(({ item }) => unwanted(item));
    }
  }
}
