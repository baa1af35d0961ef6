import type { Database, Query } from "./database.ts";

export interface OwnRow {
  readonly stream: number;
  readonly partition: number;
  readonly member: number | null;
  readonly epoch: number;
  readonly cursor: number;
  readonly done: Uint8Array | null;
  readonly out: number;
  readonly counts: string | null;
}
interface Place {
  readonly stream: number;
  readonly number: number;
  readonly epoch: number;
}

/** Who owns which partition of an ordered group. Every write carries the owner's epoch, so a former owner's changes nothing. */
export class OwnStore {
  readonly #all: Query<OwnRow>;
  readonly #acquire: Query;
  readonly #save: Query;
  readonly #handOut: Query;
  readonly #release: Query;
  readonly #lost: Query<{ readonly stream: number; readonly partition: number; readonly lost: number }>;
  readonly #said: Query;

  constructor(database: Database) {
    const fenced = "WHERE grp = ? AND stream = ? AND partition = ? AND member = ? AND epoch = ?";
    this.#all = database.query(
      "SELECT stream, partition, member, epoch, cursor, done, out, counts FROM {own} WHERE grp = ? ORDER BY partition, stream",
    );
    this.#acquire = database.query(
      "UPDATE {own} SET member = ?, epoch = epoch + 1, out = 0 WHERE grp = ? AND stream = ? AND partition = ? AND member IS NULL",
    );
    this.#save = database.query(`UPDATE {own} SET cursor = ?, done = ?, counts = ? ${fenced}`);
    this.#handOut = database.query(`UPDATE {own} SET out = ? ${fenced}`);
    this.#release = database.query(`UPDATE {own} SET member = NULL, epoch = epoch + 1, out = 0 ${fenced}`);
    this.#lost = database.query("SELECT stream, partition, lost FROM {own} WHERE grp = ? AND member = ? AND lost > 0");
    this.#said = database.query("UPDATE {own} SET lost = 0 WHERE grp = ? AND stream = ? AND partition = ?");
  }

  /** Streams in turn, so that each member gets a like share of each. */
  all(group: number): OwnRow[] {
    return this.#all.all(group);
  }

  acquire(group: number, row: OwnRow, member: number): boolean {
    return this.#acquire.run(member, group, row.stream, row.partition) === 1;
  }

  /** What is settled; false when it is no longer the member's. */
  save(
    group: number,
    member: number,
    { stream, number, epoch }: Place,
    cursor: number,
    done: Uint8Array | null,
    counts: string | null,
  ): boolean {
    return this.#save.run(cursor, done, counts, group, stream, number, member, epoch) === 1;
  }

  /** How far it is handed out: written before it is. */
  handOut(group: number, member: number, { stream, number, epoch }: Place, out: number): boolean {
    return this.#handOut.run(out, group, stream, number, member, epoch) === 1;
  }

  release(group: number, member: number, { stream, number, epoch }: Place): boolean {
    return this.#release.run(group, stream, number, member, epoch) === 1;
  }

  /** What retention dropped of the member's partitions; said once. */
  takeLost(group: number, member: number): number {
    let total = 0;
    for (const { stream, partition, lost } of this.#lost.all(group, member)) {
      total += lost;
      this.#said.run(group, stream, partition);
    }
    return total;
  }
}
