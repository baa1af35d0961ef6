import type { ScheduledMessage, StateStore, StoredMessage } from "../../driver.ts";
import { cancelledMs } from "../../internal/cancelled-ms.ts";
import { duePlaceText, numberedPlaceOf } from "../../internal/due-place.ts";
import { storedColumns, storedMessage, storedValues, type StoredRow } from "./letter-store.ts";
import type { Store, Watcher } from "./store.ts";

interface StateRow {
  readonly key: string;
  readonly value: Uint8Array | null;
  readonly revision: number;
  readonly expires: number | null;
}
interface Change {
  readonly key: string;
  readonly revision: string;
  readonly value: Uint8Array | undefined;
}
type PutOptions = Parameters<StateStore["put"]>[3];

const pageSize = 256;
/** How long a deleted key is remembered for watchers. */
const rememberMs = 3_600_000;
/** Sorts behind every key that begins with the prefix. */
const behind = (prefix: string): string => `${prefix}\u{10FFFF}`;

/** The time, beyond any date, of what was taken back: its row stays until `leased_until`, so that nobody brings it to life. */
const cancelled = Number.MAX_SAFE_INTEGER;

interface LaterRow {
  readonly n: number;
  readonly id: string;
  readonly topic: string;
  readonly due: number;
}

/** Keys with revisions and schedules, in tables of the same file. */
export class SqliteState implements StateStore {
  readonly #current: () => Store;

  constructor(current: () => Store) {
    this.#current = current;
  }

  /** Another one after the file was replaced. */
  get #store(): Store {
    return this.#current();
  }

  get(bucket: string, key: string): Promise<{ readonly value: Uint8Array; readonly revision: string } | undefined> {
    return this.#store.read(() => {
      const row = this.#row(bucket, key);
      return row === undefined ? undefined : { value: row.value, revision: String(row.revision) };
    });
  }

  async put(bucket: string, key: string, value: Uint8Array, options: PutOptions): Promise<string | undefined> {
    const { ttlMs, expect } = options;
    const revision = await this.#store.turn.do(() => {
      if (expect !== undefined && this.#revisionOf(bucket, key) !== expect) return undefined;
      return this.#write(bucket, key, value, ttlMs === undefined ? null : this.#store.clock.now() + ttlMs);
    });
    this.#store.look();
    return revision;
  }

  async delete(bucket: string, key: string, expect?: string): Promise<boolean> {
    const done = await this.#store.turn.do(() => {
      const revision = this.#revisionOf(bucket, key);
      if (revision === null || (expect !== undefined && revision !== expect)) return false;
      this.#write(bucket, key, null, this.#store.clock.now() + rememberMs);
      return true;
    });
    this.#store.look();
    return done;
  }

  async *keys(bucket: string, prefix: string): AsyncIterable<string> {
    for (let after = ""; ;) {
      const rows = await this.#store.read(() =>
        this.#store.database
          .query<{ readonly key: string }>(
            "SELECT key FROM {state} WHERE bucket = ? AND key > ? AND key >= ? AND key < ? AND value IS NOT NULL AND (expires IS NULL OR expires > ?) ORDER BY key LIMIT ?",
          )
          .all(bucket, after, prefix, behind(prefix), this.#store.clock.now(), pageSize),
      );
      for (const { key } of rows) yield key;
      if (rows.length < pageSize) return;
      after = rows.at(-1)!.key;
    }
  }

  async *watch(bucket: string, prefix: string, signal: AbortSignal): AsyncIterable<Change> {
    const bell = new Bell(this.#store, signal);
    try {
      const known = new Map<string, number>();
      let after = 0;
      while (!signal.aborted) {
        for (const row of this.#changes(bucket, prefix, after)) {
          after = row.revision;
          if (row.value !== null) known.set(row.key, row.expires ?? Number.POSITIVE_INFINITY);
          else if (!known.delete(row.key)) continue;
          yield change(row);
        }
        const now = this.#store.clock.now();
        for (const [key, expires] of known) {
          if (expires > now) continue;
          known.delete(key);
          yield { key, revision: String(after), value: undefined };
        }
        await bell.rung(Math.min(...known.values()) - now);
      }
    } finally {
      bell.close();
    }
  }

  async schedule(messages: readonly StoredMessage[]): Promise<void> {
    await this.#store.turn.do(() => {
      const put = this.#store.database.query(
        `INSERT INTO {schedule} (${storedColumns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
      );
      const remove = this.#store.database.query("DELETE FROM {schedule} WHERE id = ? AND leased_until = 0");
      this.#forgetCancelled();
      for (const message of messages) {
        remove.run(message.id);
        put.run(...storedValues(message));
      }
    });
  }

  due(now: number, limit: number, leaseMs: number): Promise<readonly StoredMessage[]> {
    return this.#store.turn.do(() => {
      const rows = this.#store.database
        .query<StoredRow>(
          `SELECT ${storedColumns} FROM {schedule} WHERE coalesce(not_before, 0) <= ?1 AND leased_until <= ?1 ORDER BY not_before, n LIMIT ?2`,
        )
        .all(now, limit);
      const lease = this.#store.database.query("UPDATE {schedule} SET leased_until = ? WHERE id = ?");
      for (const { id } of rows) lease.run(now + leaseMs, id);
      return rows.map(storedMessage);
    });
  }

  scheduled(after: string | undefined, limit: number): Promise<readonly ScheduledMessage[]> {
    return this.#store.read(() => {
      const { due, number } = numberedPlaceOf(after);
      return this.#store.database
        .query<LaterRow>(
          `SELECT n, id, topic, coalesce(not_before, 0) AS due FROM {schedule} WHERE leased_until = 0
            AND (coalesce(not_before, 0) > ?1 OR (coalesce(not_before, 0) = ?1 AND n > ?2)) ORDER BY 4, n LIMIT ?3`,
        )
        .all(due, number, limit)
        .map((row) => ({
          id: row.id,
          topic: row.topic,
          notBefore: row.due,
          position: duePlaceText({ due: row.due, rest: row.n }),
        }));
    });
  }

  unschedule(ids: readonly string[], untaken = false): Promise<readonly string[]> {
    return this.#store.turn.do(() => {
      const { clock, database } = this.#store;
      if (!untaken) {
        const remove = database.query("DELETE FROM {schedule} WHERE id = ? AND coalesce(not_before, 0) <> ?");
        return ids.filter((id) => remove.run(id, cancelled) === 1);
      }
      this.#forgetCancelled();
      const cancel = database.query(
        "UPDATE {schedule} SET not_before = ?, leased_until = ?, body = x'' WHERE id = ? AND leased_until = 0",
      );
      const until = clock.now() + cancelledMs;
      return ids.filter((id) => cancel.run(cancelled, until, id) === 1);
    });
  }

  #forgetCancelled(): void {
    const { clock, database } = this.#store;
    database.query("DELETE FROM {schedule} WHERE not_before = ? AND leased_until <= ?").run(cancelled, clock.now());
  }

  /** Within a transaction: what ran out becomes a deleted key, deleted keys are forgotten. */
  tidy(now: number): void {
    const { database } = this.#store;
    database.query("DELETE FROM {state} WHERE expires <= ? AND value IS NULL").run(now);
    const out = database
      .query<{ readonly bucket: string; readonly key: string }>(
        "SELECT bucket, key FROM {state} WHERE expires <= ? LIMIT 1000",
      )
      .all(now);
    for (const { bucket, key } of out) this.#write(bucket, key, null, now + rememberMs);
  }

  anyToTidy(now: number): boolean {
    return this.#store.database.query("SELECT 1 FROM {state} WHERE expires <= ? LIMIT 1").get(now) !== undefined;
  }

  #row(bucket: string, key: string): (StateRow & { readonly value: Uint8Array }) | undefined {
    const row = this.#store.database
      .query<StateRow & { readonly value: Uint8Array }>(
        "SELECT key, value, revision, expires FROM {state} WHERE bucket = ? AND key = ? AND value IS NOT NULL",
      )
      .get(bucket, key);
    return row?.expires !== null && row !== undefined && row.expires <= this.#store.clock.now() ? undefined : row;
  }

  #revisionOf(bucket: string, key: string): string | null {
    const row = this.#row(bucket, key);
    return row === undefined ? null : String(row.revision);
  }

  #write(bucket: string, key: string, value: Uint8Array | null, expires: number | null): string {
    const { database } = this.#store;
    const { value: revision } = database
      .query<{ readonly value: number }>("UPDATE {meta} SET value = value + 1 WHERE key = 'revision' RETURNING value")
      .get()!;
    database.query("INSERT OR REPLACE INTO {state} VALUES (?, ?, ?, ?, ?)").run(bucket, key, value, revision, expires);
    return String(revision);
  }

  #changes(bucket: string, prefix: string, after: number): StateRow[] {
    return this.#store.database
      .query<StateRow>(
        "SELECT key, value, revision, expires FROM {state} WHERE bucket = ? AND revision > ? AND key >= ? AND key < ? ORDER BY revision",
      )
      .all(bucket, after, prefix, behind(prefix));
  }
}

function change({ key, revision, value }: StateRow): Change {
  return { key, revision: String(revision), value: value ?? undefined };
}

/** Wakes one watching loop. */
class Bell implements Watcher {
  readonly #store: Store;
  readonly #signal: AbortSignal;
  #wake: (() => void) | undefined;
  #rung = false;
  #failure: unknown;

  constructor(store: Store, signal: AbortSignal) {
    this.#store = store;
    this.#signal = signal;
    store.watchers.add(this);
    signal.addEventListener("abort", this.#ring, { once: true });
  }

  look(): void {
    this.#ring();
  }

  end(error: unknown): void {
    this.#failure = error;
    this.#ring();
  }

  /** Resolves at the next ring, or after `ms`. */
  async rung(ms: number): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.#rung && !this.#signal.aborted) {
      const timer = Number.isFinite(ms) ? this.#store.clock.after(ms, this.#ring) : undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      timer?.[Symbol.dispose]();
    }
    this.#rung = false;
    this.#wake = undefined;
  }

  close(): void {
    this.#store.watchers.delete(this);
    this.#signal.removeEventListener("abort", this.#ring);
  }

  readonly #ring = (): void => {
    this.#rung = true;
    this.#wake?.();
  };
}
