import { createHash } from "node:crypto";
import { DriverError } from "../../internal/driver-error.ts";

/** Of the tables in `schema.ts`. */
export const layoutVersion = 4;
/** Of the functions: `{1:…}`. */
export const functionVersion = 1;

/** Names end at 63 bytes; ours add up to 23 to the prefix. */
const longestPrefix = 40;

/** The names of one bus's tables and functions, all in one schema. */
export class Names {
  readonly schema: string;
  readonly prefix: string;
  /** 32 bits: tells this bus's locks and channels from another's in the same database. */
  readonly #hash: bigint;

  constructor(schema: string, prefix: string) {
    if (Buffer.byteLength(prefix) > longestPrefix)
      throw new DriverError("BUS_INVALID_OPTION", `postgres: "prefix" may have at most ${longestPrefix} bytes`);
    if (/[\0$']/.test(`${schema}${prefix}`))
      // `$` could end the text of a function
      throw new DriverError(
        "BUS_INVALID_OPTION",
        'postgres: "prefix" and "schema" must not have a NUL, a quote or a "$"',
      );
    this.schema = schema;
    this.prefix = prefix;
    const digest = createHash("sha256")
      .update(`${Buffer.byteLength(schema)} ${schema} ${prefix}`)
      .digest();
    this.#hash = BigInt(digest.readUInt32BE());
  }

  /**
   * `{stream}` in a text stands for the table, `{1:append}` for the function of version 1, both with their schema; `{lock:append}` for
   * the first of that kind's locks.
   */
  fill(text: string): string {
    const filled = text.replaceAll(/\{lock:([a-z]+)\}/g, (_, kind: string) => `(${this.lock(kind as LockKind)})`);
    return filled.replaceAll(/\{(?:(\d+):)?([a-z_]+)\}/g, (_, layout: string | undefined, name: string) =>
      this.of(layout === undefined ? name : `${layout}_${name}`),
    );
  }

  of(name: string): string {
    return `${quoted(this.schema)}.${quoted(`${this.prefix}_${name}`)}`;
  }

  /** The first of a row of locks, as a text: of an advisory lock's 64 bits the lowest 12 are left to the caller. */
  lock(kind: LockKind, id = 0): string {
    const number = (this.#hash << 32n) | (BigInt(kinds.indexOf(kind)) << 28n) | (BigInt(id % 65_536) << 12n);
    return String(BigInt.asIntN(64, number));
  }

  /** Of `LISTEN`: for everybody of this bus, or for one process of it. */
  channel(process: number | undefined): string {
    return `o_${this.#hash.toString(16).padStart(8, "0")}_${process ?? "e"}`;
  }
}

const kinds = ["append", "claim", "group", "bucket", "layout", "chores"] as const;
type LockKind = (typeof kinds)[number];

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
