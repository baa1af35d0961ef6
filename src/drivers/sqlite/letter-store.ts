import type { Address, Headers, StoredMessage } from "../../driver.ts";
import type { Database, Query } from "./database.ts";

/** The columns that every stored message has. */
export interface StoredRow {
  readonly id: string;
  readonly address: string;
  readonly grp: string | null;
  readonly topic: string;
  readonly key: string | null;
  readonly headers: string;
  readonly body: Uint8Array;
  readonly stored_at: number;
  readonly not_before: number | null;
}
export const storedColumns = "id, address, grp, topic, key, headers, body, stored_at, not_before";

export function storedValues(message: StoredMessage): (string | number | null | Uint8Array)[] {
  const { id, to, group, topic, key, headers, body, storedAt, notBefore } = message;
  return [
    id,
    JSON.stringify(to),
    group ?? null,
    topic,
    key ?? null,
    JSON.stringify(headers),
    body,
    storedAt,
    notBefore ?? null,
  ];
}

export function storedMessage(row: StoredRow): StoredMessage {
  return {
    id: row.id,
    to: JSON.parse(row.address) as Address,
    group: row.grp ?? undefined,
    topic: row.topic,
    key: row.key ?? undefined,
    headers: JSON.parse(row.headers) as Headers,
    body: row.body,
    storedAt: row.stored_at,
    notBefore: row.not_before ?? undefined,
  };
}

/** How long a page's cursor outlives its letter. */
const rememberMs = 3_600_000;

/** Dead letters: one for each id, whatever copies there are. Synchronous; within the caller's transaction. */
export class LetterStore {
  readonly #database: Database;
  readonly #put: Query;

  constructor(database: Database) {
    this.#database = database;
    this.#put = database.query(
      `INSERT INTO {letter} (${storedColumns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET address = excluded.address, grp = excluded.grp, topic = excluded.topic, key = excluded.key,
       headers = excluded.headers, body = excluded.body, stored_at = excluded.stored_at, not_before = excluded.not_before,
       token = NULL, claimed_until = 0`,
    );
  }

  put(letter: StoredMessage): void {
    this.#put.run(...storedValues(letter));
  }

  list(group: string | undefined, after: string | undefined, limit: number): StoredMessage[] {
    const from = after === undefined ? 0 : this.#place(after);
    return this.#database
      .query<StoredRow>(
        `SELECT ${storedColumns} FROM {letter} WHERE n > ? AND (?2 IS NULL OR grp = ?2) ORDER BY n LIMIT ?`,
      )
      .all(from, group ?? null, limit)
      .map(storedMessage);
  }

  get(id: string): StoredMessage | undefined {
    const row = this.#database.query<StoredRow>(`SELECT ${storedColumns} FROM {letter} WHERE id = ?`).get(id);
    return row === undefined ? undefined : storedMessage(row);
  }

  count(group: string | undefined): number {
    return this.#database
      .query<{ readonly count: number }>("SELECT count(*) AS count FROM {letter} WHERE ?1 IS NULL OR grp = ?1")
      .get(group ?? null)!.count;
  }

  /** Those that nobody else has claimed, or too long ago. */
  claim(ids: readonly string[], token: string, now: number, leaseMs: number): string[] {
    const claim = this.#database.query(
      "UPDATE {letter} SET token = ?1, claimed_until = ?2 WHERE id = ?3 AND (token IS NULL OR token = ?1 OR claimed_until <= ?4)",
    );
    return ids.filter((id) => claim.run(token, now + leaseMs, id, now) === 1);
  }

  remove(ids: readonly string[], token: string, now: number): string[] {
    const remember = this.#database.query(
      "INSERT OR REPLACE INTO {letter_gone} SELECT id, n, ? FROM {letter} WHERE id = ? AND token = ?",
    );
    const remove = this.#database.query("DELETE FROM {letter} WHERE id = ? AND token = ?");
    this.#database.query("DELETE FROM {letter_gone} WHERE at < ?").run(now - rememberMs);
    return ids.filter((id) => remember.run(now, id, token) === 1 && remove.run(id, token) === 1);
  }

  /** A cursor whose letter is gone by now still has its place. */
  #place(id: string): number {
    const place = this.#database.query<{ readonly n: number }>(
      "SELECT n FROM {letter} WHERE id = ?1 UNION ALL SELECT n FROM {letter_gone} WHERE id = ?1 LIMIT 1",
    );
    return place.get(id)?.n ?? 0;
  }
}
