import type { Database, Query } from "./database.ts";

export interface HeldRow {
  readonly stream: number;
  readonly seq: number;
  readonly due: number;
  readonly attempts: number;
  /** With `avoid`: those may not have it before, while anybody else may once it is due; null: all released it, it rests until it is due. */
  readonly not_before: number | null;
  readonly deliveries: number;
  readonly headers: string | null;
  /** Members that released it, since all did: others go before them. */
  readonly avoid: string | null;
}

/** What a held message becomes. */
export interface HeldChange {
  /** Null: anybody may claim it from `due` on. */
  readonly member: number | null;
  readonly due: number;
  /** Undefined: as they are. */
  readonly attempts?: number;
  readonly notBefore: number | null;
  readonly deliveries: number;
  /** Null: as they are. */
  readonly headers: string | null;
  readonly avoid: string | null;
}

/** How long a released message waits for another member that has no room before those who released it may have it again. */
const preferOthersMs = 10_000;

/** Single messages beside their log: retried, released or noted. Synchronous; within the caller's transaction. */
export class HeldStore {
  readonly #put: Query;
  readonly #due: Query<HeldRow>;
  readonly #any: Query;
  readonly #claim: Query;
  readonly #remove: Query;
  readonly #move: Query;
  readonly #drop: Query;
  readonly #passed: Query<{ readonly due: number | null }>;
  readonly #coming: Query<{ readonly due: number }>;
  readonly #notes: Query<HeldRow>;

  constructor(database: Database) {
    const columns = "stream, seq, due, attempts, not_before, deliveries, headers, avoid";
    const passed = "FROM {held} WHERE grp = ?1 AND member IS NULL AND due <= ?2";
    const own = `CASE WHEN instr(avoid, ?3) > 0 AND not_before IS NOT NULL THEN max(due + ${preferOthersMs}, not_before) ELSE due END`;
    this.#put = database.query(
      "INSERT OR REPLACE INTO {held} (grp, stream, seq, member, due, attempts, not_before, deliveries, headers, avoid) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#due = database.query(`SELECT ${columns} ${passed} AND ${own} <= ?2 ORDER BY due LIMIT ?4`);
    this.#any = database.query(`SELECT 1 ${passed} AND ${own} <= ?2 LIMIT 1`);
    this.#passed = database.query(`SELECT min(${own}) AS due ${passed}`);
    this.#coming = database.query(
      "SELECT due FROM {held} WHERE grp = ? AND member IS NULL AND due > ? ORDER BY due LIMIT 1",
    );
    this.#claim = database.query(
      "UPDATE {held} SET member = ?, deliveries = deliveries + 1 WHERE grp = ? AND stream = ? AND seq = ?",
    );
    this.#remove = database.query("DELETE FROM {held} WHERE grp = ? AND stream = ? AND seq = ? AND member IS ?");
    this.#move = database.query(
      "UPDATE {held} SET member = ?, due = ?, attempts = coalesce(?, attempts), not_before = ?, deliveries = ?, headers = coalesce(?, headers), avoid = ? WHERE grp = ? AND stream = ? AND seq = ? AND member = ?",
    );
    this.#drop = database.query("DELETE FROM {held} WHERE grp = ? AND stream = ? AND seq = ?");
    this.#notes = database.query(`SELECT ${columns} FROM {held} WHERE grp = ? AND stream = ? AND seq > ? AND seq <= ?`);
  }

  /** A message of a claim becomes a row of its own. */
  put(group: number, stream: number, seq: number, row: HeldChange & { readonly attempts: number }): void {
    this.#put.run(
      group,
      stream,
      seq,
      row.member,
      row.due,
      row.attempts,
      row.notBefore,
      row.deliveries,
      row.headers,
      row.avoid,
    );
  }

  /** A held message changes; false when it is no longer the member's. */
  change(group: number, stream: number, seq: number, member: number, row: HeldChange): boolean {
    const { attempts = null } = row;
    return (
      this.#move.run(
        row.member,
        row.due,
        attempts,
        row.notBefore,
        row.deliveries,
        row.headers,
        row.avoid,
        group,
        stream,
        seq,
        member,
      ) === 1
    );
  }

  /** What the member may have now. */
  due(group: number, now: number, self: string, limit: number): HeldRow[] {
    return this.#due.all(group, now, self, limit);
  }

  anyDue(group: number, now: number, self: string): boolean {
    return this.#any.get(group, now, self) !== undefined;
  }

  claim(group: number, row: HeldRow, member: number): void {
    this.#claim.run(member, group, row.stream, row.seq);
  }

  remove(group: number, stream: number, seq: number, member: number | null): boolean {
    return this.#remove.run(group, stream, seq, member) === 1;
  }

  /** When the member may have the next one, or is to look again. */
  next(group: number, now: number, self: string): number | undefined {
    const passed = this.#passed.get(group, now, self)?.due ?? undefined;
    const coming = this.#coming.get(group, now)?.due;
    return passed === undefined || (coming !== undefined && coming < passed) ? coming : passed;
  }

  /** Of an ordered group, whose owner was asked already. */
  drop(group: number, stream: number, seq: number): void {
    this.#drop.run(group, stream, seq);
  }

  /** The notes beside a run of an ordered group's partition. */
  between(group: number, stream: number, after: number, upTo: number): HeldRow[] {
    return this.#notes.all(group, stream, after, upTo);
  }
}
