const smallest = 256;
/** Sequences are counted in 32 bits: they start again in time. */
const rebaseAt = 2 ** 30;
const positionsPerPartition = 2 ** 40;

/**
 * The broker ids of a time window and where each was stored; of a burst at least the last `most`. A hash table over a ring:
 * a `Map` of that size costs several times as much for each message, and its garbage again.
 */
export class BrokerIds {
  readonly #windowMs: number;
  readonly #most: number;
  #size = 0;
  #ids: string[] = [];
  #hashes = new Int32Array();
  /** Partition and position in one number; -1 for what has none yet. */
  #places = new Float64Array();
  #times = new Float64Array();
  /** The sequence before it in its bucket. */
  #before = new Int32Array();
  /** The latest sequence of each bucket. */
  #buckets = new Int32Array();
  #next = 0;
  /** Of the id that was looked for last, since it is added next. */
  #lastId = "";
  #lastHash = 0;

  constructor(windowMs: number, most: number) {
    this.#windowMs = windowMs;
    this.#most = most;
  }

  /** `partition/position` of the first one with this id; "" where it has none yet. */
  find(id: string, now: number): string | undefined {
    const hash = hashOf(id);
    this.#lastId = id;
    this.#lastHash = hash;
    const oldest = this.#next - this.#size;
    let sequence = this.#size === 0 ? -1 : this.#buckets[hash & (this.#buckets.length - 1)]!;
    while (sequence >= 0 && sequence >= oldest) {
      const slot = sequence & (this.#size - 1);
      if (this.#hashes[slot] === hash && this.#ids[slot] === id)
        return now - this.#times[slot]! < this.#windowMs ? placeOf(this.#places[slot]!) : undefined;
      sequence = this.#before[slot]!;
    }
    return undefined;
  }

  /** Position 0: it has none yet. */
  add(id: string, partition: number, position: number, now: number): void {
    if (this.#next >= this.#size) this.#grow(now);
    const hash = id === this.#lastId ? this.#lastHash : hashOf(id);
    this.#put(id, hash, position === 0 ? -1 : partition * positionsPerPartition + position, now);
  }

  #put(id: string, hash: number, place: number, time: number): void {
    const slot = this.#next & (this.#size - 1);
    const bucket = hash & (this.#buckets.length - 1);
    this.#ids[slot] = id;
    this.#hashes[slot] = hash;
    this.#places[slot] = place;
    this.#times[slot] = time;
    this.#before[slot] = this.#buckets[bucket]!;
    this.#buckets[bucket] = this.#next;
    this.#next += 1;
  }

  /** Doubles while what would be overwritten is still of use. */
  #grow(now: number): void {
    const wider =
      this.#size === 0 ||
      (this.#size < this.#most && now - this.#times[this.#next & (this.#size - 1)]! < this.#windowMs);
    if (!wider && this.#next < rebaseAt) return;
    const size = this.#size === 0 ? smallest : wider ? this.#size * 2 : this.#size;
    const first = this.#next - this.#size;
    const [kept, ids, hashes, places, times] = [this.#size, this.#ids, this.#hashes, this.#places, this.#times];
    this.#size = size;
    this.#ids = [];
    this.#hashes = new Int32Array(size);
    this.#places = new Float64Array(size);
    this.#times = new Float64Array(size);
    this.#before = new Int32Array(size);
    this.#buckets = new Int32Array(size * 2).fill(-1);
    this.#next = 0;
    for (let sequence = first; sequence < first + kept; sequence += 1) {
      const slot = sequence & (kept - 1);
      this.#put(ids[slot]!, hashes[slot]!, places[slot]!, times[slot]!);
    }
  }
}

/** Over the last 64 characters. */
function hashOf(id: string): number {
  let hash = id.length;
  for (let index = Math.max(id.length - 64, 0); index < id.length; index += 1)
    hash = (Math.imul(hash, 31) + id.charCodeAt(index)) | 0;
  return hash ^ (hash >>> 15);
}

function placeOf(place: number): string {
  return place < 0 ? "" : `${Math.floor(place / positionsPerPartition)}/${place % positionsPerPartition}`;
}
