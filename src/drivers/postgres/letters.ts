import type { StoredMessage } from "../../driver.ts";
import { nowMs } from "./functions/append.ts";
import type { Session } from "./session.ts";
import { escapeText } from "./text-escape.ts";
import { numberOf, storedColumns, storedMessage, textArrayOf } from "./values.ts";

/** Dead letters: one for each id, whatever copies there are. */
export class Letters {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  async list(group: string | undefined, after: string | undefined, limit: number): Promise<readonly StoredMessage[]> {
    const rows = await this.#session.desk.query(
      `SELECT ${storedColumns} FROM {letter} WHERE n > $1 AND ($2::text IS NULL OR grp = $2) ORDER BY n LIMIT $3`,
      [after === undefined ? "0" : await this.#place(after), group ?? null, String(limit)],
    );
    return rows.map(storedMessage);
  }

  async get(id: string): Promise<StoredMessage | undefined> {
    const [row] = await this.#session.desk.query(`SELECT ${storedColumns} FROM {letter} WHERE id = $1`, [
      escapeText(id),
    ]);
    return row === undefined ? undefined : storedMessage(row);
  }

  async count(group: string | undefined): Promise<number> {
    const [row] = await this.#session.desk.query("SELECT count(*) FROM {letter} WHERE $1::text IS NULL OR grp = $1", [
      group ?? null,
    ]);
    return numberOf(row?.[0]);
  }

  /** Those that nobody else has claimed, or too long ago. */
  async claim(ids: readonly string[], token: string, leaseMs: number): Promise<readonly string[]> {
    const rows = await this.#session.desk.query(
      `UPDATE {letter} SET token = $1, claimed_until = ${nowMs} + $2
        WHERE id = ANY ($3::text[]) AND (token IS NULL OR token = $1 OR claimed_until <= ${nowMs}) RETURNING id`,
      [token, String(Math.ceil(leaseMs)), textArrayOf(ids.map(escapeText))],
    );
    return among(ids, rows);
  }

  async remove(ids: readonly string[], token: string): Promise<readonly string[]> {
    const rows = await this.#session.desk.query(
      `WITH gone AS (DELETE FROM {letter} WHERE id = ANY ($1::text[]) AND token = $2 RETURNING id, n),
         kept AS (INSERT INTO {letter_gone} (id, n, at) SELECT id, n, ${nowMs} FROM gone
           ON CONFLICT (id) DO UPDATE SET n = excluded.n, at = excluded.at)
       SELECT id FROM gone`,
      [textArrayOf(ids.map(escapeText)), token],
    );
    return among(ids, rows);
  }

  /** A cursor whose letter is gone by now still has its place. */
  async #place(id: string): Promise<string> {
    const [row] = await this.#session.desk.query(
      "SELECT n FROM {letter} WHERE id = $1 UNION ALL SELECT n FROM {letter_gone} WHERE id = $1 LIMIT 1",
      [escapeText(id)],
    );
    return row?.[0] ?? "0";
  }
}

/** In the order that was asked for. */
export function among(ids: readonly string[], rows: readonly (readonly (string | null)[])[]): readonly string[] {
  const found = new Set(rows.map(([id]) => id));
  return ids.filter((id) => found.delete(escapeText(id))); // one given twice went once
}
