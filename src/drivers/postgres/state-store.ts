import type { ScheduledMessage, StateStore, StoredMessage } from "../../driver.ts";
import { cancelledMs } from "../../internal/cancelled-ms.ts";
import { duePlaceText, numberedPlaceOf } from "../../internal/due-place.ts";
import { nowMs } from "./functions/append.ts";
import type { Row } from "./link.ts";
import type { Session } from "./session.ts";
import { among } from "./letters.ts";
import { watchState } from "./state-watch.ts";
import { escapeText, unescapeText } from "./text-escape.ts";
import { bytesOf, letterFields, storedColumns, storedMessage, textArrayOf } from "./values.ts";
import { bytesArray } from "./binary-array.ts";

type PutOptions = Parameters<StateStore["put"]>[3];

const pageSize = 256;
/** The time, beyond any date, of what was taken back: its row stays until `leased_until`, so that nobody brings it to life. */
const cancelled = String(Number.MAX_SAFE_INTEGER);
/** As the index of `schedule` has it. */
const due = "coalesce(not_before, 0)";
const alive = `value IS NOT NULL AND (expires IS NULL OR expires > ${nowMs})`;

/** Messages as rows: their fields as JSON, their bodies apart. */
const given = `SELECT f->>'id', f->>'address', f->>'group', f->>'topic', f->>'key', f->>'headers', b, (f->>'storedAt')::bigint, (f->>'notBefore')::bigint
  FROM ROWS FROM (jsonb_array_elements($1::jsonb), unnest($2::bytea[])) WITH ORDINALITY AS m(f, b, n)`;

/** Keys with revisions, and schedules. */
export class PostgresState implements StateStore {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  async get(
    bucket: string,
    key: string,
  ): Promise<{ readonly value: Uint8Array; readonly revision: string } | undefined> {
    const [row] = await this.#ask(`SELECT value, revision FROM {state} WHERE bucket = $1 AND key = $2 AND ${alive}`, [
      escapeText(bucket),
      escapeText(key),
    ]);
    return row === undefined ? undefined : { value: bytesOf(row[0]), revision: row[1] ?? "" };
  }

  async put(
    bucket: string,
    key: string,
    value: Uint8Array,
    { ttlMs, expect }: PutOptions,
  ): Promise<string | undefined> {
    return await this.#put(bucket, key, value, ttlMs, expect);
  }

  async delete(bucket: string, key: string, expect?: string): Promise<boolean> {
    return (await this.#put(bucket, key, null, undefined, expect)) !== undefined;
  }

  async *keys(bucket: string, prefix: string): AsyncIterable<string> {
    const like = escapeText(prefix);
    for (let after = ""; ;) {
      const rows = await this.#ask(
        `SELECT key FROM {state} WHERE bucket = $1 AND key > $2 AND key >= $3 AND starts_with(key, $3) AND ${alive} ORDER BY key LIMIT ${pageSize}`,
        [escapeText(bucket), after, like],
      );
      for (const [key] of rows) yield unescapeText(key ?? "");
      if (rows.length < pageSize) return;
      after = rows.at(-1)?.[0] ?? "";
    }
  }

  watch(
    bucket: string,
    prefix: string,
    signal: AbortSignal,
  ): AsyncIterable<{ readonly key: string; readonly revision: string; readonly value: Uint8Array | undefined }> {
    return watchState(this.#session, bucket, prefix, signal);
  }

  async schedule(messages: readonly StoredMessage[]): Promise<void> {
    await this.#ask(
      `INSERT INTO {schedule} AS s (${storedColumns}) ${given} ORDER BY n
        ON CONFLICT (id) DO UPDATE SET address = excluded.address, grp = excluded.grp, topic = excluded.topic, key = excluded.key,
          headers = excluded.headers, body = excluded.body, stored_at = excluded.stored_at, not_before = excluded.not_before, leased_until = 0
          WHERE s.leased_until = 0 OR (s.not_before = ${cancelled} AND s.leased_until <= ${nowMs})`,
      valuesOf(messages),
    );
  }

  async due(now: number, limit: number, leaseMs: number): Promise<readonly StoredMessage[]> {
    const rows = await this.#ask(
      `WITH due AS (SELECT n FROM {schedule} WHERE ${due} <= $1 AND leased_until <= $1 ORDER BY ${due}, n LIMIT $2 FOR UPDATE SKIP LOCKED),
         taken AS (UPDATE {schedule} s SET leased_until = $3 FROM due WHERE s.n = due.n RETURNING s.*)
       SELECT ${storedColumns} FROM taken ORDER BY ${due}, n`,
      [String(Math.floor(now)), String(limit), String(Math.ceil(now + leaseMs))],
    );
    return rows.map(storedMessage);
  }

  async scheduled(after: string | undefined, limit: number): Promise<readonly ScheduledMessage[]> {
    const from = numberedPlaceOf(after);
    const rows = await this.#ask(
      `SELECT id, topic, ${due}, n FROM {schedule}
        WHERE leased_until = 0 AND (${due}, n) > ($1::bigint, $2::bigint) ORDER BY ${due}, n LIMIT $3`,
      [String(Math.floor(from.due)), String(from.number), String(limit)],
    );
    return rows.map(([id, topic, at, n]) => ({
      id: unescapeText(id ?? ""),
      topic: unescapeText(topic ?? ""),
      notBefore: Number(at),
      position: duePlaceText({ due: Number(at), rest: n ?? "" }),
    }));
  }

  async unschedule(ids: readonly string[], untaken = false): Promise<readonly string[]> {
    const text = untaken
      ? `WITH old AS (SELECT n FROM {schedule} WHERE ${due} = ${cancelled} AND leased_until <= ${nowMs} FOR UPDATE SKIP LOCKED),
           forgotten AS (DELETE FROM {schedule} s USING old WHERE s.n = old.n)
         UPDATE {schedule} SET not_before = ${cancelled}, leased_until = ${nowMs} + ${cancelledMs}, body = ''
           WHERE id = ANY ($1::text[]) AND leased_until = 0 RETURNING id`
      : `DELETE FROM {schedule} WHERE id = ANY ($1::text[]) AND ${due} <> ${cancelled} RETURNING id`;
    return among(ids, await this.#ask(text, [textArrayOf(ids.map(escapeText))]));
  }

  async #put(
    bucket: string,
    key: string,
    value: Uint8Array | null,
    ttlMs: number | undefined,
    expect: string | null | undefined,
  ): Promise<string | undefined> {
    if (typeof expect === "string" && !/^\d{1,18}$/.test(expect)) return undefined; // never one of ours
    const [row] = await this.#ask("SELECT {1:put}($1, $2, $3, $4, $5, $6)", [
      escapeText(bucket),
      escapeText(key),
      value,
      ttlMs === undefined ? null : String(Math.ceil(ttlMs)),
      String(expect === undefined),
      expect ?? null,
    ]);
    const revision = row?.[0] ?? undefined;
    if (revision !== undefined) this.#session.announce("s", bucket.slice(0, 100));
    return revision;
  }

  #ask(text: string, values: readonly (string | Uint8Array | null)[]): Promise<readonly Row[]> {
    return this.#session.desk.query(text, values);
  }
}

function valuesOf(messages: readonly StoredMessage[]): readonly [string, Uint8Array] {
  return [JSON.stringify(messages.map(letterFields)), bytesArray(messages.map(({ body }) => body))];
}
