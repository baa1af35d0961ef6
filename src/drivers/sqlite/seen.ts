import type { SQLInputValue } from "node:sqlite";
import type { Database, Query } from "./database.ts";
import { marks } from "./marks.ts";

export const dedupeWindowMs = 120_000;

interface Window {
  readonly name: string;
  readonly add: Query;
  readonly find: Query<{ readonly seq: number }>;
  /** By how many are added at once, and looked for. */
  readonly adds: Query[];
  readonly finds: Query[];
  readonly clear: Query;
  readonly any: Query;
}

/**
 * Broker ids of the last 120 to 240 seconds, in two tables that take turns: emptying a whole table costs a fraction of deleting
 * rows one by one. Synchronous; within the transaction that appends.
 */
export class Seen {
  readonly #database: Database;
  readonly #state: Query<{ readonly key: string; readonly value: string | number }>;
  readonly #turnOver: Query;
  readonly #windows: Readonly<Record<"a" | "b", Window>>;
  #current: Window;
  #former: Window | undefined;
  #since = Number.POSITIVE_INFINITY;

  constructor(database: Database) {
    this.#database = database;
    this.#state = database.query(
      "SELECT key, value FROM {meta} WHERE key IN ('seen_table', 'seen_since') ORDER BY key DESC",
    );
    this.#turnOver = database.query(
      "UPDATE {meta} SET value = CASE key WHEN 'seen_table' THEN ? ELSE ? END WHERE key IN ('seen_table', 'seen_since')",
    );
    const window = (name: string): Window => ({
      name,
      add: database.query(`INSERT OR IGNORE INTO {seen_${name}} VALUES (?, ?, ?)`),
      find: database.query(`SELECT seq FROM {seen_${name}} WHERE broker = ? AND stream = ?`),
      adds: [],
      finds: [],
      clear: database.query(`DELETE FROM {seen_${name}}`),
      any: database.query(`SELECT 1 FROM {seen_${name}} LIMIT 1`),
    });
    this.#windows = { a: window("a"), b: window("b") };
    this.#current = this.#windows.a;
  }

  /** First in each transaction. `alone`: no other process can have turned the windows over since the last one. */
  enter(now: number, alone: boolean): void {
    if (alone && now >= this.#since && now - this.#since < dedupeWindowMs) return;
    const [table, since] = this.#state.all();
    let name: "a" | "b" = table?.value === "b" ? "b" : "a";
    const age = now - Number(since?.value ?? 0);
    if (age >= dedupeWindowMs || age < 0) {
      if (age >= 2 * dedupeWindowMs) this.#windows[name].clear.run();
      name = name === "a" ? "b" : "a";
      this.#windows[name].clear.run();
      this.#turnOver.run(name, now);
    }
    this.#since = age >= dedupeWindowMs || age < 0 ? now : Number(since?.value);
    this.#current = this.#windows[name];
    const former = this.#windows[name === "a" ? "b" : "a"];
    this.#former = former.any.get() === undefined ? undefined : former;
  }

  /** Where it was stored before. */
  find(broker: string, stream: number): number | undefined {
    return (this.#former?.find.get(broker, stream) ?? this.#current.find.get(broker, stream))?.seq;
  }

  /** As `find`; what is new is noted as stored at `seq`. */
  note(broker: string, stream: number, seq: number): number | undefined {
    const before = this.#former?.find.get(broker, stream);
    if (before !== undefined) return before.seq;
    return this.#current.add.run(broker, stream, seq) === 1 ? undefined : this.#current.find.get(broker, stream)?.seq;
  }

  /** Notes them as stored from `first` on, in order; false, and nothing noted, when one of them is known or comes twice. */
  noteAll(brokers: readonly string[], stream: number, first: number): boolean {
    if (this.#former !== undefined) {
      const { finds, name } = this.#former;
      finds[brokers.length] ??= this.#database.query(
        `SELECT 1 FROM {seen_${name}} WHERE stream = ? AND broker IN (${marks(brokers.length, "?")}) LIMIT 1`,
      );
      if (finds[brokers.length]!.get(stream, ...brokers) !== undefined) return false;
    }
    const values: SQLInputValue[] = [];
    for (let index = 0; index < brokers.length; index += 1) values.push(brokers[index]!, stream, first + index);
    const { adds, name } = this.#current;
    const add = (adds[brokers.length] ??= this.#database.query(
      `INSERT OR IGNORE INTO {seen_${name}} VALUES ${marks(brokers.length, "(?, ?, ?)")}`,
    ));
    if (add.run(...values) === brokers.length) return true;
    const undo = this.#database.query(`DELETE FROM {seen_${name}} WHERE broker = ? AND stream = ? AND seq >= ?`);
    for (const broker of brokers) undo.run(broker, stream, first);
    return false;
  }
}
