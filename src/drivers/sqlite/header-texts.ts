import type { Headers } from "../../driver.ts";
import type { Database, Query } from "./database.ts";
import { encodeHeaders } from "../../internal/rows/headers.ts";

const longest = 200;
/** Texts with a number, over all time. */
const most = 256;
/** A text gets its number when it comes for the third time. */
const often = 3;
const mostCounted = 64;

/**
 * Headers are the same for nearly every message: those that come often are kept once, a log holds their number. Synchronous;
 * numbers are given within the transaction that appends.
 */
export class HeaderTexts {
  readonly #find: Query<{ readonly id: number }>;
  readonly #add: Query;
  readonly #count: Query<{ readonly count: number }>;
  readonly #text: Query<{ readonly text: string }>;
  readonly #ids = new Map<string, number>();
  readonly #texts = new Map<number, string>();
  readonly #counted = new Map<string, number>();
  #full = false;

  constructor(database: Database) {
    this.#find = database.query("SELECT id FROM {header_text} WHERE text = ?");
    this.#add = database.query("INSERT INTO {header_text} (text) VALUES (?)");
    this.#count = database.query("SELECT count(*) AS count FROM {header_text}");
    this.#text = database.query("SELECT text FROM {header_text} WHERE id = ?");
  }

  /** What stands in the log for these headers. */
  encode(headers: Headers): string | number | null {
    const text = encodeHeaders(headers);
    if (text === null) return null;
    return this.#ids.get(text) ?? (this.#full || text.length > longest ? text : this.#consider(text));
  }

  decode(stored: string | number | null): string | null {
    if (typeof stored !== "number") return stored;
    let text = this.#texts.get(stored);
    if (text === undefined) {
      text = this.#text.get(stored)?.text ?? "[]";
      this.#texts.set(stored, text);
    }
    return text;
  }

  /** Numbers that were given in a transaction that was undone are not there. */
  undone(): void {
    this.#ids.clear();
    this.#texts.clear();
  }

  #consider(text: string): string | number {
    const times = (this.#counted.get(text) ?? 0) + 1;
    if (this.#counted.size >= mostCounted) this.#counted.clear();
    this.#counted.set(text, times);
    if (times < often) return text;
    let id = this.#find.get(text)?.id;
    if (id === undefined && (this.#full = (this.#count.get()?.count ?? 0) >= most)) return text;
    id ??= this.#add.insert(text);
    this.#ids.set(text, id);
    return id;
  }
}
