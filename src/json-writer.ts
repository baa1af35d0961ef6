import { BusError, ValidationError } from "./errors.ts";
import { jsonRefusal } from "./internal/json-refusals.ts";
import { pathText } from "./internal/path-text.ts";

/** How deep data may nest, on the way out and on the way in. */
export const maxDepth = 64;

/** Messages lie side by side in a slab of this size; a larger one, which would keep much of it alive, has bytes of its own. */
const slabBytes = 16_384;
const sharedBytes = slabBytes / 8;
const keptBytes = 1_048_576;
const longString = 64;
/** From this length on one call is quicker than a loop. */
const wideFrom = 24;
const nothing = {};
const knownKeys = 2_048;

let markAsUntransferable: ((bytes: ArrayBuffer) => void) | undefined;

/** Nobody who moves one message to another thread may take the others of its slab along; Node's own pool is guarded likewise. */
function slab(): Buffer {
  markAsUntransferable ??= process.getBuiltinModule("node:worker_threads").markAsUntransferable;
  const bytes = Buffer.allocUnsafeSlow(slabBytes);
  markAsUntransferable(bytes.buffer as ArrayBuffer);
  return bytes;
}

/** Keys with quotes and colon. */
const keys = new Map<string, Uint8Array>();
const idle: JsonWriter[] = [];

/**
 * Writes strict JSON as bytes, without a copy where they are few. Strict: what JSON can't hold without loss is refused by
 * path, nothing becomes `null` or `{}` silently. Each property is read once.
 */
export class JsonWriter {
  #bytes: Buffer = slab();
  /** Where what is being written begins; what lies before it has been given away. */
  #start = 0;
  #length = 0;
  #limit = 0;
  #what = "";
  #type = "";
  #depth = 0;
  #deepest = -1;
  readonly #path: PropertyKey[] = [];
  readonly #above: object[] = [];

  /**
   * One that nobody uses: a getter in the data may publish in turn. Give it back with `release`. Errors name `what`, and the
   * type where there is one.
   */
  static take(what: string, limitBytes: number, type = ""): JsonWriter {
    const writer = idle.pop() ?? new JsonWriter();
    writer.#limit = limitBytes;
    writer.#what = what;
    writer.#type = type;
    writer.#depth = 0;
    return writer;
  }

  release(): void {
    const size = this.#bytes.length;
    const fits =
      size === slabBytes ? size - this.#start >= sharedBytes : this.#length > sharedBytes && size <= keptBytes;
    if (!fits) {
      this.#bytes = slab();
      this.#start = 0;
    }
    this.#length = this.#start;
    for (; this.#deepest >= 0; this.#deepest -= 1) this.#above[this.#deepest] = nothing; // holds no data longer than it must
    idle.push(this);
  }

  /** What was written; nobody else writes there. */
  finish(): Uint8Array {
    const length = this.#length - this.#start;
    if (length > this.#limit) this.#tooLarge(length);
    if (length > sharedBytes || this.#bytes.length !== slabBytes)
      return Buffer.copyBytesFrom(this.#bytes, this.#start, length);
    const bytes = this.#bytes.subarray(this.#start, this.#length);
    this.#start = this.#length;
    return bytes;
  }

  finishText(): string {
    return this.#bytes.toString("utf8", this.#start, this.#length);
  }

  /** Bytes that are JSON already. */
  raw(bytes: Uint8Array): void {
    const { length } = bytes;
    this.#reserve(length);
    const target = this.#bytes;
    const start = this.#length;
    if (length >= wideFrom) target.set(bytes, start);
    else for (let index = 0; index < length; index += 1) target[start + index] = bytes[index]!;
    this.#length = start + length;
  }

  string(text: string): void {
    const { length } = text;
    if (length >= longString) return this.#longString(text);
    this.#reserve(length * 3 + 2);
    const target = this.#bytes;
    let at = this.#length;
    target[at] = 0x22;
    at += 1;
    for (let index = 0; index < length; index += 1) {
      const code = text.charCodeAt(index);
      if (code < 0x20 || code > 0x7e || code === 0x22 || code === 0x5c) return this.#longString(text);
      target[at] = code;
      at += 1;
    }
    target[at] = 0x22;
    this.#length = at + 1;
  }

  /** Bytes as a string of base64. */
  base64(bytes: Uint8Array): void {
    if (bytes.length > this.#limit) this.#tooLarge(bytes.length);
    this.string(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64"));
  }

  integer(value: number): void {
    this.#ascii(String(value));
  }

  /** Throws ValidationError. */
  value(data: unknown): void {
    try {
      this.#write(data, 0);
    } catch (cause) {
      if (cause instanceof BusError) throw cause;
      throw new ValidationError(`invalid ${this.#name}: reading it failed`, [], { cause });
    }
  }

  #write(value: unknown, depth: number): void {
    this.#depth = depth;
    switch (typeof value) {
      case "string":
        return this.string(value);
      case "number":
        if (!Number.isFinite(value)) this.#refuse(value);
        return this.#ascii(Object.is(value, -0) ? "-0" : String(value));
      case "boolean":
        return this.#ascii(value ? "true" : "false");
      case "undefined":
      case "function":
      case "symbol":
      case "bigint":
        return this.#refuse(value);
      case "object":
        break;
    }
    if (value === null) return this.#ascii("null");
    if (depth === maxDepth) this.#tooDeep(value);
    this.#above[depth] = value;
    if (depth > this.#deepest) this.#deepest = depth;
    if (Array.isArray(value)) return this.#array(value, depth);
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null && !isForeignPlain(prototype)) this.#refuse(value);
    this.#object(value as Readonly<Record<string, unknown>>, depth);
  }

  #array(values: readonly unknown[], depth: number): void {
    const { length } = values;
    this.#byte(0x5b);
    for (let index = 0; index < length; index += 1) {
      this.#path[depth] = index;
      if (index > 0) this.#byte(0x2c);
      this.#write(values[index], depth + 1);
    }
    this.#byte(0x5d);
  }

  #object(record: Readonly<Record<string, unknown>>, depth: number): void {
    let separator = 0x7b;
    const names = Object.keys(record);
    for (let index = 0; index < names.length; index += 1) {
      const name = names[index]!;
      this.#path[depth] = name;
      const value = record[name];
      if (value === undefined) continue;
      if (name === "constructor" && typeof value === "object" && value !== null && Object.hasOwn(value, "prototype"))
        this.#refusePath('the key "prototype" in "constructor", which readers refuse', depth);
      this.#byte(separator);
      separator = 0x2c;
      this.raw(keys.get(name) ?? this.#key(name, depth));
      this.#write(value, depth + 1);
    }
    if (separator === 0x7b) this.#byte(0x7b);
    this.#byte(0x7d);
  }

  #key(name: string, depth: number): Uint8Array {
    if (name === "__proto__") this.#refusePath('the key "__proto__", which readers refuse', depth);
    if (!name.isWellFormed()) this.#refusePath("a key with half a surrogate pair", depth);
    const bytes = Buffer.from(`${JSON.stringify(name)}:`);
    if (name.length > longString) return bytes;
    if (keys.size >= knownKeys) keys.clear();
    keys.set(name, bytes);
    return bytes;
  }

  #longString(text: string): void {
    if (text.length > this.#limit) this.#tooLarge(text.length);
    if (!text.isWellFormed()) this.#refusePath("half a surrogate pair, which UTF-8 can't hold", this.#depth);
    const quoted = JSON.stringify(text);
    this.#reserve(quoted.length * 3);
    this.#length += this.#bytes.write(quoted, this.#length, "utf8");
  }

  #ascii(text: string): void {
    const { length } = text;
    this.#reserve(length);
    for (let index = 0; index < length; index += 1) this.#bytes[this.#length + index] = text.charCodeAt(index);
    this.#length += length;
  }

  #byte(byte: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length] = byte;
    this.#length += 1;
  }

  #reserve(count: number): void {
    if (this.#length + count > this.#bytes.length) this.#grow(count);
  }

  #grow(count: number): void {
    const length = this.#length - this.#start;
    if (length > this.#limit) this.#tooLarge(length);
    const larger = Buffer.allocUnsafeSlow(Math.max(slabBytes, (length + count) * 2));
    this.#bytes.copy(larger, 0, this.#start, this.#length);
    this.#bytes = larger;
    this.#start = 0;
    this.#length = length;
  }

  get #name(): string {
    return this.#type === "" ? this.#what : `${this.#what} (${this.#type})`;
  }

  #tooLarge(bytes: number): never {
    const which = `${this.#name}: more than ${this.#limit} bytes (${bytes} so far)`;
    throw new BusError("BUS_TOO_LARGE", `too large ${which}`);
  }

  #tooDeep(value: object): never {
    const first = this.#above.indexOf(value);
    if (first < 0) this.#refusePath(`nested deeper than ${maxDepth}`, maxDepth);
    const second = this.#above.indexOf(value, first + 1);
    this.#refusePath("a cycle: it contains itself", second < 0 ? maxDepth : second);
  }

  #refuse(value: unknown): never {
    this.#refusePath(jsonRefusal(value), this.#depth);
  }

  #refusePath(why: string, depth: number): never {
    const path = this.#path.slice(0, depth);
    const where = path.length === 0 ? "" : `${pathText(path)}: `;
    throw new ValidationError(`invalid ${this.#name}: ${where}${why}`, [{ path, message: why }]);
  }
}

/** Whether it is another realm's `Object.prototype`: of a vm context, or of a test runner. */
function isForeignPlain(prototype: unknown): boolean {
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype as object, "isPrototypeOf");
}
