import type { SQLInputValue } from "node:sqlite";
import { DriverError } from "../../internal/driver-error.ts";
import type { Database, Query } from "./database.ts";
import type { HeaderTexts } from "./header-texts.ts";
import { marks } from "./marks.ts";
import { RecentRows } from "./recent-rows.ts";

export interface LogRow {
  readonly seq: number;
  readonly partition: number;
  readonly topic: string;
  readonly key: string | null;
  readonly expires: number | null;
  /** As JSON. */
  readonly headers: string | null;
  readonly body: Uint8Array;
}
/** As `columns` says; `headers` as it is stored. */
type Tuple = readonly [
  seq: number,
  partition: number,
  topic: string,
  key: string | null,
  expires: number | null,
  headers: string | number | null,
  body: Uint8Array,
];

export interface LogRun {
  readonly rows: readonly LogRow[];
  /** There are no more of them in the range. */
  readonly complete: boolean;
}

const columns = "seq, partition, topic, key, expires, headers, body";
/** Above this a read first asks how large the rows are. */
const carefulBytes = 8 * 1_048_576;

/** The table of one stream. Synchronous; within whatever transaction the caller has. */
export class Log {
  readonly #database: Database;
  readonly #texts: HeaderTexts;
  /** Rows of an undone transaction have to be cleared from it. */
  readonly recent: RecentRows = new RecentRows();
  readonly #table: string;
  readonly #range: Query<Tuple>;
  /** By their number of rows. */
  readonly #inserts: Query[] = [];
  readonly #at: Query<{ readonly at: number }>;

  constructor(database: Database, stream: number, texts: HeaderTexts) {
    this.#database = database;
    this.#texts = texts;
    this.#table = `{log_${stream}}`;
    this.#range = database.tuples(
      `SELECT ${columns} FROM ${this.#table} WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`,
    );
    this.#at = database.query(`SELECT at FROM ${this.#table} WHERE seq = ?`);
  }

  /** All columns of `count` rows, one after the other. */
  append(values: readonly SQLInputValue[], count: number): void {
    this.#inserts[count] ??= this.#database.query(
      `INSERT INTO ${this.#table} VALUES ${marks(count, "(?, ?, ?, ?, ?, ?, ?, ?, ?)")}`,
    );
    this.#inserts[count].run(...values);
  }

  /**
   * Those after `after` up to `upTo`, in order, at most `limit`; with `globs` only topics that one of them matches; with
   * `partitions` only those. What was just appended may come with other topics. A few huge messages are not read at once. SQLite has no checksums and may pass over what it can't
   * read; numbers without gaps show that, where nothing was filtered.
   */
  read(
    stream: { readonly first: number; readonly largest: number },
    after: number,
    upTo: number,
    limit: number,
    bytes: number,
    globs?: readonly string[],
    partitions?: readonly number[],
  ): LogRun {
    const recent = this.recent.read(Math.max(after + 1, stream.first), upTo, limit, partitions);
    if (recent !== undefined) return { rows: recent, complete: recent.length < limit };
    const most = Math.max(carefulBytes, bytes);
    const count = limit * stream.largest <= most ? limit : this.#affordable(after, upTo, limit, most);
    const rows = this.#tuples(after, upTo, count, globs, partitions).map(this.#row);
    const complete = rows.length < count;
    if (globs === undefined && partitions === undefined) {
      const from = Math.max(after + 1, stream.first);
      const end = complete ? upTo : (rows.at(-1)?.seq ?? 0);
      if (rows.length !== Math.max(0, end - from + 1))
        throw new DriverError(
          "BUS_CORRUPT",
          `sqlite: ${this.#database.path}: messages are missing between ${from} and ${end}`,
        );
    }
    return { rows, complete };
  }

  one(seq: number): LogRow | undefined {
    const tuple = this.#range.get(seq - 1, seq, 1);
    return tuple === undefined ? undefined : this.#row(tuple);
  }

  readonly #row = ([seq, partition, topic, key, expires, headers, body]: Tuple): LogRow => ({
    seq,
    partition,
    topic,
    key,
    expires,
    headers: this.#texts.decode(headers),
    body,
  });

  #tuples(
    after: number,
    upTo: number,
    limit: number,
    globs: readonly string[] | undefined,
    partitions: readonly number[] | undefined,
  ): Tuple[] {
    if (globs === undefined && partitions === undefined) return this.#range.all(after, upTo, limit);
    const wanted = partitions === undefined ? "" : " AND partition IN (SELECT value FROM json_each(?))";
    const matched = globs === undefined ? "" : ` AND (${globs.map(() => "topic GLOB ?").join(" OR ")})`;
    const values = partitions === undefined ? [] : [JSON.stringify(partitions)];
    return this.#database
      .tuples<Tuple>(
        `SELECT ${columns} FROM ${this.#table} WHERE seq > ? AND seq <= ?${wanted}${matched} ORDER BY seq LIMIT ?`,
      )
      .all(after, upTo, ...values, ...(globs ?? []), limit);
  }

  /** The last one that was stored before `time`, or `first - 1`. Times never go back within a log, so halving finds it. */
  before(time: number, first: number, last: number): number {
    let low = first - 1;
    let high = last;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#at.get(middle)?.at ?? 0) < time) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  at(seq: number): number | undefined {
    return this.#at.get(seq)?.at;
  }

  /** Topics and sizes of a run, without the bodies. */
  outline(
    after: number,
    upTo: number,
  ): { readonly seq: number; readonly partition: number; readonly topic: string; readonly size: number }[] {
    return this.#database
      .query<{ readonly seq: number; readonly partition: number; readonly topic: string; readonly size: number }>(
        `SELECT seq, partition, topic, length(body) AS size FROM ${this.#table} WHERE seq > ? AND seq <= ? ORDER BY seq`,
      )
      .all(after, upTo);
  }

  remove(upTo: number): number {
    return this.#database.query(`DELETE FROM ${this.#table} WHERE seq <= ?`).run(upTo);
  }

  /** How many rows from `after` on weigh no more than `bytes` together, whatever they are; at least one. */
  #affordable(after: number, upTo: number, limit: number, bytes: number): number {
    const sizes = this.#database
      .query<{ readonly size: number }>(
        `SELECT length(body) AS size FROM ${this.#table} WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`,
      )
      .all(after, upTo, limit);
    let total = 0;
    let count = 0;
    for (const { size } of sizes) {
      total += size;
      if (count > 0 && total > bytes) break;
      count += 1;
    }
    return Math.max(count, 1);
  }
}
