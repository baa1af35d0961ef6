import type { Lane } from "./lane.ts";

/**
 * Lanes that have something to read, merged in the order in which it was stored. Order per key needs less, but who reads
 * alone sees what was published as it was published.
 */
export class LaneMerge<L extends Lane = Lane> {
  readonly #lanes: L[] = [];
  readonly #aside: L[] = [];
  readonly #wake: () => void;

  constructor(wake: () => void) {
    this.#wake = wake;
  }

  get empty(): boolean {
    return this.#lanes.length === 0;
  }

  /** Of a lane that has something. */
  add(lane: L): void {
    lane.place = this.#lanes.length;
    this.#lanes.push(lane);
    this.#wake();
  }

  remove(lane: L): void {
    if (lane.place < 0) return;
    const last = this.#lanes.pop()!;
    if (last !== lane) {
      last.place = lane.place;
      this.#lanes[lane.place] = last;
    }
    lane.place = -1;
  }

  /** What the lane had next has gone. */
  stale(lane: L): void {
    if (lane.place >= 0 && !lane.refresh()) this.remove(lane);
  }

  /** The lane with the oldest message. */
  pick(): L | undefined {
    const lanes = this.#lanes;
    let best = lanes[0];
    for (let index = 1; index < lanes.length; index += 1) {
      const lane = lanes[index]!;
      if (lane.head < best!.head) best = lane;
    }
    return best;
  }

  /** Not picked again until `restore`. */
  setAside(lane: L): void {
    this.remove(lane);
    this.#aside.push(lane);
  }

  restore(): void {
    for (const lane of this.#aside) {
      if (lane.place >= 0 || lane.merge !== this || !lane.refresh()) continue;
      lane.place = this.#lanes.length;
      this.#lanes.push(lane);
    }
    this.#aside.length = 0;
  }
}
