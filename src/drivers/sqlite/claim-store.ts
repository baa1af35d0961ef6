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

/** A run of a stream in one member's hands. */
export class Claim {
  /** Undefined until its row is there. */
  id = 0;
  readonly stream: number;
  readonly first: number;
  readonly last: number;
  readonly deliveries: number;
  readonly bits: Uint8Array;
  left = 0;
  #low = 0;

  /** All of it counts as done, until `open`. */
  constructor(stream: number, first: number, last: number, deliveries: number) {
    this.stream = stream;
    this.first = first;
    this.last = last;
    this.deliveries = deliveries;
    this.bits = new Uint8Array((last - first + 8) >> 3).fill(0xff);
  }

  open(seq: number): void {
    const bit = seq - this.first;
    this.bits[bit >> 3]! &= ~(1 << (bit & 7));
    this.left += 1;
  }

  isOpen(seq: number): boolean {
    const bit = seq - this.first;
    return (this.bits[bit >> 3]! & (1 << (bit & 7))) === 0;
  }

  done(seq: number): void {
    const bit = seq - this.first;
    this.bits[bit >> 3]! |= 1 << (bit & 7);
    this.left -= 1;
  }

  /** The first that is not done. */
  get low(): number {
    while (this.first + this.#low <= this.last && !this.isOpen(this.first + this.#low)) this.#low += 1;
    return this.first + this.#low;
  }
}

export function isOpenIn(row: ClaimRow, seq: number): boolean {
  const bit = seq - row.first;
  return ((row.done[bit >> 3] ?? 0xff) & (1 << (bit & 7))) === 0;
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
