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
  /** Of ids that are no UUIDs; "" of the others, which are kept as numbers: strings that live this long are work for the collector. */
  #ids: string[] = [];
  /** Four words of each. */
  #words = new Int32Array();
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
    const exact = readWords(id);
    const oldest = this.#next - this.#size;
    let sequence = this.#size === 0 ? -1 : this.#buckets[bucketOf(words) & (this.#buckets.length - 1)]!;
    while (sequence >= 0 && sequence >= oldest) {
      const slot = sequence & (this.#size - 1);
      if (this.#is(slot, id, exact)) return now - this.#times[slot]! < this.#windowMs ? placeOf(this.#places[slot]!) : undefined;
      sequence = this.#before[slot]!;
    }
    return undefined;
  }

  /** Position 0: it has none yet. */
  add(id: string, partition: number, position: number, now: number): void {
    if (this.#next >= this.#size) this.#grow(now);
    const exact = readWords(id);
    this.#put(exact ? "" : id, position === 0 ? -1 : partition * positionsPerPartition + position, now);
  }

  #is(slot: number, id: string, exact: boolean): boolean {
    const at = slot * 4;
    const kept = this.#words;
    if (kept[at] !== words[0] || kept[at + 1] !== words[1] || kept[at + 2] !== words[2] || kept[at + 3] !== words[3]) return false;
    return this.#ids[slot] === (exact ? "" : id);
  }

  /** The words are those that were read last. */
  #put(id: string, place: number, time: number): void {
    const slot = this.#next & (this.#size - 1);
    const bucket = bucketOf(words) & (this.#buckets.length - 1);
    this.#ids[slot] = id;
    this.#words.set(words, slot * 4);
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
    const [kept, ids, old, places, times] = [this.#size, this.#ids, this.#words, this.#places, this.#times];
    this.#size = size;
    this.#ids = [];
    this.#words = new Int32Array(size * 4);
    this.#places = new Float64Array(size);
    this.#times = new Float64Array(size);
    this.#before = new Int32Array(size);
    this.#buckets = new Int32Array(size * 2).fill(-1);
    this.#next = 0;
    for (let sequence = first; sequence < first + kept; sequence += 1) {
      const slot = sequence & (kept - 1);
      for (let word = 0; word < 4; word += 1) words[word] = old[slot * 4 + word]!;
      this.#put(ids[slot]!, places[slot]!, times[slot]!);
    }
  }
}

/** What the id read last comes to: a UUID's own 128 bits, or a hash over the last 64 characters and the length. */
const words: Int32Array<ArrayBuffer> = new Int32Array(4);
const bucketOf = (of: Int32Array): number => {
  const mixed = Math.imul(of[0]! ^ Math.imul(of[1]!, 31) ^ of[2]!, 0x9e3779b1) ^ of[3]!;
  return mixed ^ (mixed >>> 15);
};

/** Lower-case hexadecimal digits by their code; -1 for everything else. */
const digits: Int8Array<ArrayBuffer> = new Int8Array(128).fill(-1);
for (let digit = 0; digit < 16; digit += 1) digits[digit.toString(16).charCodeAt(0)] = digit;

/** True when the words are the id itself. */
function readWords(id: string): boolean {
  if (id.length === 36 && readUuid(id)) return true;
  let hash = id.length;
  for (let index = Math.max(id.length - 64, 0); index < id.length; index += 1) hash = (Math.imul(hash, 31) + id.charCodeAt(index)) | 0;
  words[0] = hash;
  words[1] = words[2] = words[3] = 0;
  return false;
}

function readUuid(id: string): boolean {
  let word = 0;
  let count = 0;
  for (let index = 0; index < 36; index += 1) {
    const code = id.charCodeAt(index);
    if (index === 8 || index === 13 || index === 18 || index === 23) {
      if (code !== 45) return false;
      continue;
    }
    const digit = code < 128 ? digits[code]! : -1;
    if (digit < 0) return false;
    word = (word << 4) | digit;
    count += 1;
    if ((count & 7) === 0) words[(count >> 3) - 1] = word;
  }
  return true;
}

function placeOf(place: number): string {
  return place < 0 ? "" : `${Math.floor(place / positionsPerPartition)}/${place % positionsPerPartition}`;
}
