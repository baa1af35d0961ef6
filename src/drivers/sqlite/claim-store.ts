import type { Claim } from "../../internal/rows/claim.ts";
import type { Database, Query } from "./database.ts";

export interface ClaimRow {
  readonly id: number;
  readonly stream: number;
  readonly first: number;
  readonly last: number;
  readonly low: number;
  readonly done: Uint8Array;
  readonly deliveries: number;
}

/** One row for each run that is handed out together. What a former member still writes finds nothing. */
export class ClaimStore {
  readonly #insert: Query;
  readonly #update: Query;
  readonly #remove: Query;
  readonly #free: Query<ClaimRow>;

  constructor(database: Database) {
    this.#insert = database.query(
      "INSERT INTO {claim} (grp, stream, first, last, low, done, deliveries, member) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#update = database.query("UPDATE {claim} SET done = ?, low = ? WHERE id = ? AND member = ?");
    this.#remove = database.query("DELETE FROM {claim} WHERE id = ? AND member IS ?");
    this.#free = database.query(
      "SELECT id, stream, first, last, low, done, deliveries FROM {claim} WHERE grp = ? AND member IS NULL ORDER BY stream, low LIMIT ?",
    );
  }

  add(group: number, claim: Claim, member: number | null): number {
    return this.#insert.insert(
      group,
      claim.stream,
      claim.first,
      claim.last,
      claim.low,
      claim.bits,
      claim.deliveries,
      member,
    );
  }

  /** Writes what is done; false when it is no longer the member's. */
  save(claim: Claim, member: number): boolean {
    return claim.left === 0
      ? this.#remove.run(claim.id, member) === 1
      : this.#update.run(claim.bits, claim.low, claim.id, member) === 1;
  }

  /** What nobody holds: left by members that died or went. */
  free(group: number, limit: number): ClaimRow[] {
    return this.#free.all(group, limit);
  }

  removeFree(id: number): void {
    this.#remove.run(id, null);
  }
}
