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
  /** The id that was read last: what is looked for is added next. */
  #last: string | undefined;
  readonly #lastWords = new Int32Array(4);
  /** Its words are the id itself. */
  #lastExact = false;

  constructor(windowMs: number, most: number) {
    this.#windowMs = windowMs;
    this.#most = most;
  }

  /** `partition/position` of the first one with this id; "" where it has none yet. */
  find(id: string, now: number): string | undefined {
    if (this.#size === 0) return undefined;
    this.#read(id);
    const oldest = this.#next - this.#size;
    let sequence = this.#buckets[bucketOf(this.#lastWords, 0) & (this.#buckets.length - 1)]!;
    while (sequence >= 0 && sequence >= oldest) {
      const slot = sequence & (this.#size - 1);
      if (this.#is(slot, id))
        return now - this.#times[slot]! < this.#windowMs ? placeOf(this.#places[slot]!) : undefined;
      sequence = this.#before[slot]!;
    }
    return undefined;
  }

  /** Position 0: it has none yet. */
  add(id: string, partition: number, position: number, now: number): void {
    if (this.#next >= this.#size) this.#grow(now);
    this.#read(id);
    const place = position === 0 ? -1 : partition * positionsPerPartition + position;
    this.#put(this.#lastExact ? "" : id, this.#lastWords, 0, place, now);
  }

  #read(id: string): void {
    if (id === this.#last) return;
    this.#last = id;
    this.#lastExact = id.length === 36 && readUuid(id, this.#lastWords);
    if (!this.#lastExact) readOther(id, this.#lastWords);
  }

  /** Whether the id that was read last is the one in that slot. */
  #is(slot: number, id: string): boolean {
    const kept = this.#words;
    const wanted = this.#lastWords;
    const at = slot * 4;
    return (
      kept[at + 3] === wanted[3] &&
      kept[at + 2] === wanted[2] &&
      kept[at + 1] === wanted[1] &&
      kept[at] === wanted[0] &&
      this.#ids[slot] === (this.#lastExact ? "" : id)
    );
  }

  #put(id: string, words: Int32Array, from: number, place: number, time: number): void {
    const slot = this.#next & (this.#size - 1);
    const bucket = bucketOf(words, from) & (this.#buckets.length - 1);
    const at = slot * 4;
    this.#ids[slot] = id;
    this.#words[at] = words[from]!;
    this.#words[at + 1] = words[from + 1]!;
    this.#words[at + 2] = words[from + 2]!;
    this.#words[at + 3] = words[from + 3]!;
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
    const [kept, ids, words, places, times] = [this.#size, this.#ids, this.#words, this.#places, this.#times];
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
      this.#put(ids[slot]!, words, slot * 4, places[slot]!, times[slot]!);
    }
  }
}

/**
 * UUIDs of version 7 that were made one after the other differ by one in the bits that a counter has, so they come to
 * neighbouring buckets, which the processor has at hand.
 */
function bucketOf(words: Int32Array, at: number): number {
  const [high, low] = [words[at + 1]!, words[at + 2]!];
  const counter = ((high & 0xfff) << 14) | ((low >>> 16) & 0x3fff);
  const mixed = Math.imul(words[at]! ^ Math.imul(high >>> 12, 31), 0x9e3779b1);
  return (mixed ^ (mixed >>> 15)) + counter;
}

/** Lower-case hexadecimal digits by their code; -1 for every other one. */
const digits: Int8Array<ArrayBuffer> = new Int8Array(0x1_0000).fill(-1);
for (let digit = 0; digit < 16; digit += 1) digits[digit.toString(16).charCodeAt(0)] = digit;
const dash = 0x2d;

/** A UUID's own 128 bits; false of other texts, and of one that is not written as usual. */
function readUuid(id: string, words: Int32Array): boolean {
  const a = fourDigits(id, 0);
  const b = fourDigits(id, 4);
  const c = fourDigits(id, 9);
  const d = fourDigits(id, 14);
  const e = fourDigits(id, 19);
  const f = fourDigits(id, 24);
  const g = fourDigits(id, 28);
  const h = fourDigits(id, 32);
  words[0] = (a << 16) | b;
  words[1] = (c << 16) | d;
  words[2] = (e << 16) | f;
  words[3] = (g << 16) | h;
  return (
    (a | b | c | d | e | f | g | h) >= 0 &&
    id.charCodeAt(8) === dash &&
    id.charCodeAt(13) === dash &&
    id.charCodeAt(18) === dash &&
    id.charCodeAt(23) === dash
  );
}

/** Negative when one of them is none. */
function fourDigits(text: string, at: number): number {
  return (
    (digits[text.charCodeAt(at)]! << 12) |
    (digits[text.charCodeAt(at + 1)]! << 8) |
    (digits[text.charCodeAt(at + 2)]! << 4) |
    digits[text.charCodeAt(at + 3)]!
  );
}

/** A hash over the last 64 characters and the length. */
function readOther(id: string, words: Int32Array): void {
  let hash = id.length;
  for (let index = Math.max(id.length - 64, 0); index < id.length; index += 1)
    hash = (Math.imul(hash, 31) + id.charCodeAt(index)) | 0;
  words[0] = hash;
  words[1] = words[2] = words[3] = 0;
}

function placeOf(place: number): string {
  return place < 0 ? "" : `${Math.floor(place / positionsPerPartition)}/${place % positionsPerPartition}`;
}
