import { writeAscii } from "../../internal/write-ascii.ts";

const slabBytes = 65_536;
const mostShort = 255;
/** An AMQP number is signed in a table, and exact up to there. */
const [long, exact] = [0x8000_0000_0000_0000, 0x4_0000_0000_0000];

/** A value whose type can't be told by looking at it: as the client reads one, and writes it. */
interface Tagged {
  readonly "!": string;
  readonly value: unknown;
}

/** Writes numbers, texts and field tables as AMQP 0-9-1 has them. What is taken stays as it is. */
export class TableWriter {
  #slab: Buffer = Buffer.alloc(0);
  /** Bytes that were not taken yet, and where the next one goes; may be set back to what was written before. */
  at = 0;

  take(): Buffer {
    const bytes = this.#slab.subarray(0, this.at);
    // a larger one was for a large message alone
    this.#slab = this.#slab.buffer.byteLength > slabBytes ? Buffer.alloc(0) : this.#slab.subarray(this.at);
    this.at = 0;
    return bytes;
  }

  uint8(value: number): void {
    this.#need(1);
    this.#slab[this.at++] = value;
  }

  uint16(value: number): void {
    this.#need(2);
    this.#slab[this.at++] = value >>> 8;
    this.#slab[this.at++] = value;
  }

  uint32(value: number): void {
    this.#need(4);
    this.#slab[this.at++] = value >>> 24;
    this.#slab[this.at++] = value >>> 16;
    this.#slab[this.at++] = value >>> 8;
    this.#slab[this.at++] = value;
  }

  /** Up to 2^53. */
  uint64(value: number): void {
    this.uint32(Math.floor(value / 0x1_0000_0000));
    this.uint32(value % 0x1_0000_0000);
  }

  bytes(bytes: Uint8Array): void {
    this.#need(bytes.byteLength);
    this.#slab.set(bytes, this.at);
    this.at += bytes.byteLength;
  }

  /** Throws above 255 bytes. */
  shortText(what: string, text: string): void {
    this.#need(1 + 3 * text.length);
    const written = this.#text(text, this.at + 1);
    if (written > mostShort) throw new RangeError(`the ${what} may have at most ${mostShort} bytes`);
    this.#slab[this.at] = written;
    this.at += 1 + written;
  }

  longText(text: string): void {
    this.#need(4 + 3 * text.length);
    const written = this.#text(text, this.at + 4);
    this.uint32(written);
    this.at += written;
  }

  /** What is undefined is left out. Throws where AMQP has no such value. */
  table(table: Readonly<Record<string, unknown>>): void {
    const start = this.#measured();
    for (const name of Object.keys(table)) {
      const value = table[name];
      if (value === undefined) continue;
      this.shortText("name of a header", name);
      this.#value(value);
    }
    this.#measure(start);
  }

  #value(value: unknown): void {
    if (typeof value === "string") {
      this.#type("S");
      this.longText(value);
    } else if (typeof value === "number") this.#number(value);
    else if (typeof value === "boolean") {
      this.#type("t");
      this.uint8(value ? 1 : 0);
    } else if (value === null) this.#type("V");
    else if (Array.isArray(value)) {
      this.#type("A");
      const start = this.#measured();
      for (const each of value) this.#value(each);
      this.#measure(start);
    } else if (value instanceof Uint8Array) {
      this.#type("x");
      this.uint32(value.byteLength);
      this.bytes(value);
    } else if (typeof value !== "object") throw new TypeError(`a header can be no ${typeof value}`);
    else if (Object.hasOwn(value, "!")) this.#tagged(value as Tagged);
    else {
      this.#type("F");
      this.table(value as Readonly<Record<string, unknown>>);
    }
  }

  /** The two that the client reads as such. */
  #tagged({ "!": type, value }: Tagged): void {
    if (type === "timestamp") {
      this.#type("T");
      this.uint64(Number(value));
    } else if (type === "decimal") {
      const { places, digits } = value as { readonly places: number; readonly digits: number };
      this.#type("D");
      this.uint8(places);
      this.uint32(digits);
    } else throw new TypeError(`a header can be no ${type}`);
  }

  /** By the shortest type that holds it. */
  #number(value: number): void {
    if (!(Math.abs(value) < long) || (Math.abs(value) < exact && Math.floor(value) !== value)) {
      this.#type("d");
      this.#need(8);
      this.at = this.#slab.writeDoubleBE(value, this.at);
    } else if (value >= -128 && value < 128) {
      this.#type("b");
      this.uint8(value);
    } else if (value >= -0x8000 && value < 0x8000) {
      this.#type("s");
      this.uint16(value);
    } else if (value >= -0x8000_0000 && value < 0x8000_0000) {
      this.#type("I");
      this.uint32(value);
    } else {
      this.#type("l");
      this.#need(8);
      this.at = this.#slab.writeBigInt64BE(BigInt(value), this.at);
    }
  }

  #type(letter: string): void {
    this.uint8(letter.charCodeAt(0));
  }

  /** Room for how long it is. */
  #measured(): number {
    const start = this.at;
    this.uint32(0);
    return start;
  }

  #measure(start: number): void {
    const end = this.at;
    this.at = start;
    this.uint32(end - start - 4);
    this.at = end;
  }

  /** How many bytes it took. There is room. */
  #text(text: string, from: number): number {
    return writeAscii(this.#slab, from, text) ? text.length : this.#slab.write(text, from);
  }

  /** Exactly that much, where a slab is less. */
  reserve(more: number): void {
    if (this.at + more > this.#slab.length) this.#grow(Math.max(slabBytes, this.at + more));
  }

  #need(more: number): void {
    if (this.at + more > this.#slab.length) this.#grow(Math.max(slabBytes, 2 * (this.at + more)));
  }

  #grow(size: number): void {
    const larger = Buffer.allocUnsafeSlow(size);
    this.#slab.copy(larger, 0, 0, this.at);
    this.#slab = larger;
  }
}
