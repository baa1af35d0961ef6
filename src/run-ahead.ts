/** One message in the order of its partition; what is tracked extends or carries it. */
export interface Tracked {
  /** Set and read here only. */
  track: Track | undefined;
  number: number;
  older: Tracked | undefined;
  newer: Tracked | undefined;
  held: boolean;
}
export interface Track {
  readonly partition: string;
  next: number;
  oldest: Tracked | undefined;
  newest: Tracked | undefined;
  firstHeld: Tracked | undefined;
  paused: boolean;
}

/**
 * How far a partition may run ahead of its oldest unsettled message: what is delivered beyond the bound is held until the oldest
 * is settled, and the partition is to be paused meanwhile. Pure: no time, no I/O.
 */
export class RunAhead<Item extends Tracked> {
  readonly #bound: number;
  readonly #tracks = new Map<string, Track>();
  #held = 0;

  constructor(bound: number) {
    this.#bound = bound;
  }

  get held(): number {
    return this.#held;
  }

  /** `go`, or `hold`: it waits; `pause`: it waits, and is the first that has to. */
  delivered(partition: string, item: Item): "go" | "hold" | "pause" {
    let track = this.#tracks.get(partition);
    if (track === undefined)
      this.#tracks.set(
        partition,
        (track = { partition, next: 0, oldest: undefined, newest: undefined, firstHeld: undefined, paused: false }),
      );
    item.track = track;
    item.number = track.next++;
    item.older = track.newest;
    if (track.newest === undefined) track.oldest = item;
    else track.newest.newer = item;
    track.newest = item;
    if (item.number - track.oldest!.number <= this.#bound) return "go";
    item.held = true;
    this.#held += 1;
    if (track.firstHeld !== undefined) return "hold";
    track.firstHeld = item;
    track.paused = true;
    return "pause";
  }

  /** Who goes on now, in order; `resume`: the partition that may be delivered again. Undefined: nothing changes. */
  settled(item: Item): { readonly go: readonly Item[]; readonly resume: string | undefined } | undefined {
    const { track } = item;
    if (track === undefined) return undefined;
    const wasOldest = track.oldest === item;
    this.#unlink(track, item);
    if (!track.paused || (!wasOldest && track.firstHeld !== undefined)) return undefined;
    const go: Item[] = [];
    while (track.firstHeld !== undefined && track.firstHeld.number - track.oldest!.number <= this.#bound) {
      const next: Tracked = track.firstHeld;
      next.held = false;
      this.#held -= 1;
      track.firstHeld = next.newer;
      go.push(next as Item);
    }
    track.paused = track.firstHeld !== undefined;
    return { go, resume: track.paused ? undefined : track.partition };
  }

  /** Ownership ended: of one partition, or of all. What was held of it is dropped. The partitions that were paused. */
  forget(partition?: string): readonly string[] {
    const paused: string[] = [];
    for (const track of partition === undefined ? [...this.#tracks.values()] : [this.#tracks.get(partition)]) {
      if (track === undefined) continue;
      for (let item = track.oldest; item !== undefined; item = item.newer) {
        item.track = undefined;
        if (item.held) this.#held -= 1;
      }
      if (track.paused) paused.push(track.partition);
      this.#tracks.delete(track.partition);
    }
    return paused;
  }

  /** Drops held ones that are no longer ours; their partition goes on with the next that is settled. */
  drop(unwanted: (item: Item) => boolean): void {
    for (const track of this.#tracks.values()) {
      let next: Tracked | undefined = track.firstHeld;
      while (next !== undefined) {
        const item: Tracked = next;
        next = item.newer;
        if (unwanted(item as Item)) this.#unlink(track, item);
      }
    }
  }

  #unlink(track: Track, item: Tracked): void {
    if (item.held) {
      item.held = false;
      this.#held -= 1;
      if (track.firstHeld === item) track.firstHeld = item.newer;
    }
    if (item.older === undefined) track.oldest = item.newer;
    else item.older.newer = item.newer;
    if (item.newer === undefined) track.newest = item.older;
    else item.newer.older = item.older;
    item.track = undefined;
    item.older = undefined;
    item.newer = undefined;
  }
}
