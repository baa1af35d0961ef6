interface Entry {
  settled: boolean;
}
interface Track {
  entries: Entry[];
  head: number;
  paused: boolean;
}

/** Where a message stands in its partition; given back to `settled`. */
export interface Place {
  readonly track: object;
  readonly entry: object;
}

/**
 * How far the newest delivered message of each partition is ahead of the oldest unsettled one. Above the bound the partition is
 * to be paused; at nine tenths of it, resumed. Pure: no time, no I/O.
 */
export class RunAhead {
  readonly #bound: number;
  readonly #tracks = new Map<string, Track>();

  constructor(bound: number) {
    this.#bound = bound;
  }

  /** `pause`: the partition has just reached the bound. */
  delivered(partition: string): { readonly place: Place; readonly pause: boolean } {
    let track = this.#tracks.get(partition);
    if (track === undefined) this.#tracks.set(partition, (track = { entries: [], head: 0, paused: false }));
    const entry: Entry = { settled: false };
    track.entries.push(entry);
    const pause = !track.paused && track.entries.length - track.head >= this.#bound;
    if (pause) track.paused = true;
    return { place: { track, entry }, pause };
  }

  /** True when the partition may go on again. */
  settled(place: Place): boolean {
    const track = place.track as Track;
    (place.entry as Entry).settled = true;
    while (track.entries[track.head]?.settled === true) track.head += 1;
    if (track.head > 256 && track.head * 2 > track.entries.length) {
      track.entries = track.entries.slice(track.head);
      track.head = 0;
    }
    if (!track.paused || track.entries.length - track.head > this.#bound * 0.9) return false;
    track.paused = false;
    return true;
  }

  /** Ownership of the partition ended; what was delivered of it no longer counts. */
  forget(partition: string): void {
    this.#tracks.delete(partition);
  }
}
