import type { Headers } from "../../driver.ts";

const longestShort = 65_535;

/** Packs fields as Lua's `struct.unpack` reads them, in one buffer that grows. */
export class FrameWriter {
  #buffer: Buffer;
  #size = 0;

  constructor(capacity = 512) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  get size(): number {
    return this.#size;
  }

  /** `>I4c0` */
  text(value: string): this {
    this.#reserve(4 + value.length * 3);
    const length = this.#write(value, this.#size + 4);
    this.#buffer.writeUInt32BE(length, this.#size);
    this.#size += 4 + length;
    return this;
  }

  /** `>I4c0` */
  bytes(value: Uint8Array): this {
    this.#reserve(4 + value.byteLength);
    this.#buffer.writeUInt32BE(value.byteLength, this.#size);
    this.#buffer.set(value, this.#size + 4);
    this.#size += 4 + value.byteLength;
    return this;
  }

  /** `>Hc0`; throws above 65,535 bytes. */
  short(value: string): this {
    this.#reserve(2 + value.length * 3);
    const length = this.#write(value, this.#size + 2);
    if (length > longestShort) throw new RangeError(`a text of ${length} bytes is longer than ${longestShort}`);
    this.#buffer.writeUInt16BE(length, this.#size);
    this.#size += 2 + length;
    return this;
  }

  /** `>I4` */
  uint(value: number): this {
    this.#reserve(4);
    this.#size = this.#buffer.writeUInt32BE(value, this.#size);
    return this;
  }

  /** `>d` */
  double(value: number): this {
    this.#reserve(8);
    this.#size = this.#buffer.writeDoubleBE(value, this.#size);
    return this;
  }

  /** The writer is not used again. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#size);
  }

  /** Most texts are short and ASCII, for which a loop is faster than a call into the runtime. */
  #write(value: string, at: number): number {
    const buffer = this.#buffer;
    if (value.length > 64) return buffer.write(value, at, "utf8");
    for (let index = 0; index < value.length; index += 1) {
      const code = value.charCodeAt(index);
      if (code > 0x7f) return buffer.write(value, at, "utf8");
      buffer[at + index] = code;
    }
    return value.length;
  }

  #reserve(more: number): void {
    const needed = this.#size + more;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#size);
    this.#buffer = larger;
  }
}

export class FrameReader {
  readonly #frame: Buffer;
  #at: number;

  constructor(frame: Buffer, offset = 0) {
    this.#frame = frame;
    this.#at = offset;
  }

  get done(): boolean {
    return this.#at >= this.#frame.length;
  }

  /** `>I4c0` */
  text(): string {
    const length = this.uint();
    const start = this.#at;
    this.#at += length;
    return length === 0 ? "" : this.#frame.toString("utf8", start, this.#at);
  }

  /** `>I4c0`: a view. */
  bytes(): Buffer {
    const length = this.uint();
    const start = this.#at;
    this.#at += length;
    return this.#frame.subarray(start, this.#at);
  }

  /** `>Hc0` */
  short(): string {
    const length = this.#frame.readUInt16BE(this.#at);
    const start = this.#at + 2;
    this.#at = start + length;
    return length === 0 ? "" : this.#frame.toString("utf8", start, this.#at);
  }

  /** `>Hc0`: a view, to be decoded when somebody asks for it. */
  shortBytes(): Buffer {
    const length = this.#frame.readUInt16BE(this.#at);
    const start = this.#at + 2;
    this.#at = start + length;
    return this.#frame.subarray(start, this.#at);
  }

  /** `>I4` */
  uint(): number {
    const value = this.#frame.readUInt32BE(this.#at);
    this.#at += 4;
    return value;
  }
}

/** None: "". */
export function encodeHeaders(headers: Headers): string {
  return headers.length === 0 ? "" : JSON.stringify(headers);
}

const none: Headers = [];

export function decodeHeaders(text: string): Headers {
  if (text === "") return none;
  // what somebody else wrote into our field is no header
  try {
    const headers: unknown = JSON.parse(text);
    return Array.isArray(headers) && headers.every(isHeader) ? (headers as Headers) : none;
  } catch {
    return none;
  }
}

function isHeader(header: unknown): boolean {
  return Array.isArray(header) && typeof header[0] === "string" && typeof header[1] === "string";
}
