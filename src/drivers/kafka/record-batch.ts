import { unpack, type Unpackers } from "./unpack.ts";

/** One record as it came; its bytes are views into what was fetched. */
export interface FetchedRecord {
  readonly offset: number;
  /** Ms since the epoch: the broker's, where the topic has it append them. */
  readonly time: number;
  readonly key: Buffer | undefined;
  /** Null: a tombstone. */
  readonly value: Buffer | null;
  readonly headers: readonly (readonly [name: Buffer, value: Buffer | null])[];
}

export interface FetchedBatch {
  /** From the first offset that it stands for up to, and without, the last; some of them may hold nothing. */
  readonly from: number;
  readonly to: number;
  readonly records: readonly FetchedRecord[];
  /** It can't be read: `records` is empty, and these are its bytes. */
  readonly unreadable: { readonly bytes: Buffer; readonly cause: unknown } | undefined;
}

const headBytes = 12;
const wholeHeadBytes = 61;
const isPacked = 0x07;
const isAppendTime = 0x08;
const isTransactional = 0x10;
const isControl = 0x20;
const currentMagic = 2;

/** A transaction that was taken back: nothing of that producer counts from there up to its marker. */
export interface Aborted {
  readonly producerId: bigint;
  readonly from: bigint;
}

/** Whole batches; the last may have been cut off by the limit of the fetch, and comes again. */
export function readBatches(
  bytes: Buffer,
  most: number,
  unpackers: Unpackers,
  aborted: readonly Aborted[] = [],
): readonly FetchedBatch[] {
  const batches: FetchedBatch[] = [];
  const open = [...aborted];
  for (let at = 0; at + wholeHeadBytes <= bytes.length;) {
    const end = at + headBytes + bytes.readInt32BE(at + 8);
    if (end > bytes.length || end <= at) break;
    const batch = bytes.subarray(at, end);
    batches.push(open.length > 0 && isAborted(batch, open) ? without(batch) : readBatch(batch, most, unpackers));
    at = end;
  }
  return batches;
}

function isAborted(bytes: Buffer, open: Aborted[]): boolean {
  const attributes = bytes.readInt16BE(21);
  if ((attributes & isTransactional) === 0) return false;
  const [from, producerId] = [bytes.readBigInt64BE(0), bytes.readBigInt64BE(43)];
  const at = open.findIndex((each) => each.producerId === producerId && each.from <= from);
  if (at < 0) return false;
  if ((attributes & isControl) !== 0) open.splice(at, 1);
  return true;
}

function without(bytes: Buffer): FetchedBatch {
  const from = Number(bytes.readBigInt64BE(0));
  return { from, to: from + bytes.readInt32BE(23) + 1, records: [], unreadable: undefined };
}

function readBatch(bytes: Buffer, most: number, unpackers: Unpackers): FetchedBatch {
  const from = Number(bytes.readBigInt64BE(0));
  const to = from + bytes.readInt32BE(23) + 1;
  try {
    if (bytes[16] !== currentMagic) throw new RangeError(`a batch of form ${bytes[16]}`);
    const attributes = bytes.readInt16BE(21);
    if ((attributes & isControl) !== 0) return { from, to, records: [], unreadable: undefined };
    const bits = attributes & isPacked;
    const packed = bytes.subarray(wholeHeadBytes);
    const records = bits === 0 ? packed : unpack(packed, bits, most, unpackers);
    const appendTime = (attributes & isAppendTime) !== 0 ? Number(bytes.readBigInt64BE(35)) : undefined;
    const cursor = new Cursor(records);
    const firstTime = Number(bytes.readBigInt64BE(27));
    const count = bytes.readInt32BE(57);
    const read = Array.from({ length: count }, () => cursor.record(from, firstTime, appendTime));
    return { from, to, records: read, unreadable: undefined };
  } catch (cause) {
    return { from, to, records: [], unreadable: { bytes, cause } };
  }
}

/** Reads on; throws when what it reads would go beyond the end. */
class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  record(firstOffset: number, firstTime: number, appendTime: number | undefined): FetchedRecord {
    const end = this.#number() + this.#at;
    this.#at += 1; // attributes, unused
    const time = firstTime + this.#number();
    const offset = firstOffset + this.#number();
    const key = this.#field() ?? undefined;
    const value = this.#field();
    const count = this.#number();
    if (count < 0 || count > this.#bytes.length) throw new RangeError("a number of headers that can't be");
    const headers: (readonly [Buffer, Buffer | null])[] = [];
    for (let left = count; left > 0; left -= 1) headers.push([this.#field() ?? Buffer.alloc(0), this.#field()]);
    if (this.#at !== end) throw new RangeError("a record that is longer or shorter than it says");
    return { offset, time: appendTime ?? time, key, value, headers };
  }

  #field(): Buffer | null {
    const length = this.#number();
    if (length < 0) return null;
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new RangeError("a field beyond the end");
    const field = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return field;
  }

  /** A zigzag number of seven bits a byte; up to 2^53. */
  #number(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined || factor > 2 ** 56) throw new RangeError("a number beyond the end");
      this.#at += 1;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) break;
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}
