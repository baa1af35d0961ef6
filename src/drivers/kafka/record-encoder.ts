import { writeAscii } from "../../internal/write-ascii.ts";
import type { ProducerId } from "./client.ts";

/** Text is written as UTF-8. */
export type Field = string | Uint8Array;

/** What is stored of a record; of `headers` each name is followed by its value. */
export interface RecordFields {
  readonly key: Field | undefined;
  readonly value: Field;
  readonly headers: readonly Field[];
}

export interface BatchHead {
  /** Of all of them, in ms since the epoch. */
  readonly time: number;
  /** Undefined: nobody's, and nothing is known again. */
  readonly id: ProducerId | undefined;
  readonly sequence: number;
}

/** How a batch is packed: its bits in the attributes. */
export interface Packer {
  readonly bitmask: number;
  compressSync(bytes: Buffer): Buffer;
  readonly compress?: ((bytes: Buffer) => Promise<Buffer>) | undefined;
}

const headBytes = 61;
/** What follows the length, and what follows the checksum. */
const [afterLength, afterChecksum] = [12, 21];
const currentMagic = 2;
/** A number of seven bits a byte. */
const longestNumber = 5;
/** Beyond it the engine's own copy is faster than a loop. */
const shortField = 48;

/** Records of one partition as the log has them: a batch of form 2, whose offsets the broker writes in. */
export function encodeBatch(
  records: readonly RecordFields[],
  head: BatchHead,
  checksum: (bytes: Buffer) => number,
  packer?: Packer,
): Buffer | Promise<Buffer> {
  const cursor = new Cursor(headBytes, headBytes + 64 * records.length);
  for (let offset = 0; offset < records.length; offset += 1) cursor.record(records[offset]!, offset);
  const finish = (bytes: Buffer): Buffer => {
    writeHead(bytes, records.length, head, packer?.bitmask ?? 0, checksum);
    return bytes;
  };
  if (packer === undefined) return finish(cursor.bytes);
  const packed = (bytes: Buffer): Buffer => finish(Buffer.concat([cursor.bytes.subarray(0, headBytes), bytes]));
  const plain = cursor.bytes.subarray(headBytes);
  return packer.compress === undefined ? packed(packer.compressSync(plain)) : packer.compress(plain).then(packed);
}

function writeHead(
  bytes: Buffer,
  count: number,
  { time, id, sequence }: BatchHead,
  attributes: number,
  checksum: (bytes: Buffer) => number,
): void {
  bytes.writeBigInt64BE(0n, 0); // the first offset
  bytes.writeInt32BE(bytes.length - afterLength, 8);
  bytes.writeInt32BE(0, 12); // the leader's epoch
  bytes[16] = currentMagic;
  bytes.writeInt16BE(attributes, afterChecksum);
  bytes.writeInt32BE(count - 1, 23);
  bytes.writeBigInt64BE(BigInt(time), 27);
  bytes.writeBigInt64BE(BigInt(time), 35);
  bytes.writeBigInt64BE(id?.producerId ?? -1n, 43);
  bytes.writeInt16BE(id?.producerEpoch ?? 0, 51);
  bytes.writeInt32BE(sequence, 53);
  bytes.writeInt32BE(count, 57);
  bytes.writeUInt32BE(checksum(bytes.subarray(afterChecksum)), 17);
}

/** Writes on, and makes room as it needs it. */
class Cursor {
  #bytes: Buffer;
  #at: number;
  /** Bytes of a record's length; the next one is likely to be as long. */
  #width = 2;

  constructor(from: number, size: number) {
    this.#bytes = Buffer.allocUnsafe(size);
    this.#at = from;
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  record({ key, value, headers }: RecordFields, offset: number): void {
    this.#need(4 * longestNumber);
    const start = this.#at;
    this.#at += this.#width;
    this.#bytes[this.#at] = 0; // attributes
    this.#bytes[this.#at + 1] = 0; // as old as the batch
    this.#at += 2;
    this.#number(offset);
    if (key === undefined) this.#bytes[this.#at++] = 1;
    else this.#field(key);
    this.#field(value);
    this.#need(2 * longestNumber);
    this.#number(headers.length / 2);
    for (let at = 0; at < headers.length; at += 1) this.#field(headers[at]!);
    this.#length(start);
  }

  /** In front of what was written since. */
  #length(start: number): void {
    const from = start + this.#width;
    const size = this.#at - from;
    const width = size < 64 ? 1 : size < 8_192 ? 2 : size < 1_048_576 ? 3 : size < 134_217_728 ? 4 : 5;
    if (width !== this.#width) {
      this.#need(longestNumber);
      this.#bytes.copyWithin(start + width, from, this.#at);
      this.#width = width;
    }
    this.#at = start;
    this.#number(size);
    this.#at = start + width + size;
  }

  #field(field: Field): void {
    if (typeof field === "string") return this.#text(field);
    const { length } = field;
    this.#need(length + longestNumber);
    this.#number(length);
    if (length > shortField) this.#bytes.set(field, this.#at);
    else for (let at = 0; at < length; at += 1) this.#bytes[this.#at + at] = field[at]!;
    this.#at += length;
  }

  #text(text: string): void {
    const { length } = text;
    this.#need(3 * length + longestNumber);
    // most are so, and then the length takes one byte, too
    if (writeAscii(this.#bytes, this.#at + 1, text)) {
      this.#number(length);
      this.#at += length;
      return;
    }
    this.#number(Buffer.byteLength(text));
    this.#at += this.#bytes.write(text, this.#at);
  }

  /** Zigzag, of what is not negative. */
  #number(value: number): void {
    let left = value * 2;
    for (; left > 127; left = Math.floor(left / 128)) this.#bytes[this.#at++] = (left % 128) | 128;
    this.#bytes[this.#at++] = left;
  }

  #need(more: number): void {
    const least = this.#at + more;
    if (least <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(least, 2 * this.#bytes.length));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}
