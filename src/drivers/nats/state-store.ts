import type { ScheduledMessage, StateStore, StoredMessage } from "../../driver.ts";
import type { Api } from "./api.ts";
import type { Bucket, BucketEntry } from "./bucket.ts";
import { DueList } from "./due-list.ts";
import { expiresOf, expiryHeader } from "./expiry.ts";
import { decodeToken, keys } from "./names.ts";
import type { Session } from "./session.ts";
import { StateWatch, type StateChange } from "./state-watch.ts";

interface Parts {
  readonly session: Session;
  readonly api: Api;
  readonly bucket: Bucket;
}

/** Keys with revisions and lifetimes, and messages due later: all in the bucket. */
export class NatsState implements StateStore {
  readonly #parts: Parts;
  readonly #due: DueList;
  readonly #watches = new Set<StateWatch>();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#due = new DueList(parts);
  }

  async get(
    bucket: string,
    key: string,
  ): Promise<{ readonly value: Uint8Array; readonly revision: string } | undefined> {
    const entry = await this.#living(bucket, key);
    return entry === undefined ? undefined : { value: entry.value!, revision: String(entry.revision) };
  }

  async put(
    bucket: string,
    key: string,
    value: Uint8Array,
    { ttlMs, expect }: Parameters<StateStore["put"]>[3],
  ): Promise<string | undefined> {
    const name = keys.state(bucket, key);
    let expected: number | undefined;
    if (expect === null) {
      // One whose time is over is not there, though the server may have it still.
      const entry = await this.#parts.bucket.get(name);
      if (entry !== undefined && !this.#isOver(entry)) return undefined;
      expected = entry?.revision ?? 0;
    } else if (expect !== undefined) {
      if ((await this.#living(bucket, key))?.revision !== revisionOf(expect)) return undefined;
      expected = revisionOf(expect);
    }
    const headers = ttlMs === undefined ? [] : expiryHeader(this.#parts.session.clock.now() + ttlMs);
    const revision = await this.#parts.bucket.put(name, value, { expect: expected, ttlMs, headers });
    return revision === undefined ? undefined : String(revision);
  }

  async delete(bucket: string, key: string, expect?: string): Promise<boolean> {
    const name = keys.state(bucket, key);
    for (;;) {
      const entry = await this.#living(bucket, key);
      if (entry === undefined || (expect !== undefined && entry.revision !== revisionOf(expect))) return false;
      if (await this.#parts.bucket.delete(name, entry.revision)) return true;
      if (expect !== undefined) return false; // changed meanwhile
    }
  }

  async *keys(bucket: string, prefix: string): AsyncIterable<string> {
    const entries = await this.#parts.bucket.list(keys.states(bucket), true);
    const found = entries.filter((entry) => !this.#isOver(entry)).flatMap((entry) => keyOf(entry) ?? []);
    for (const key of found.filter((each) => each.startsWith(prefix)).toSorted()) yield key;
  }

  async *watch(bucket: string, prefix: string, signal: AbortSignal): AsyncIterable<StateChange> {
    const { session } = this.#parts;
    const watch = new StateWatch(session.clock, signal);
    const watching = this.#parts.bucket.watch([keys.states(bucket)], {
      entry: (entry) => {
        const key = keyOf(entry);
        if (key?.startsWith(prefix)) watch.take(key, entry.revision, entry.value, expiresOf(entry.headers));
      },
      ended: (error) => watch.end(error),
    });
    this.#watches.add(watch);
    try {
      await watching.ready;
      yield* watch.changes();
    } finally {
      this.#watches.delete(watch);
      watching.close();
      watch.close();
    }
  }

  schedule(messages: readonly StoredMessage[]): Promise<void> {
    return this.#due.add(messages);
  }

  due(now: number, limit: number, leaseMs: number): Promise<readonly StoredMessage[]> {
    return this.#due.take(now, limit, leaseMs);
  }

  scheduled(after: string | undefined, limit: number): Promise<readonly ScheduledMessage[]> {
    return this.#due.list(after, limit);
  }

  unschedule(ids: readonly string[], untaken = false): Promise<readonly string[]> {
    return this.#due.remove(ids, untaken);
  }

  /** The connection ends: whoever watches is told. */
  close(error: unknown): void {
    for (const watch of this.#watches) watch.end(error);
  }

  async #living(bucket: string, key: string): Promise<BucketEntry | undefined> {
    const entry = await this.#parts.bucket.get(keys.state(bucket, key));
    return entry === undefined || this.#isOver(entry) ? undefined : entry;
  }

  #isOver({ headers }: BucketEntry): boolean {
    return expiresOf(headers) <= this.#parts.session.clock.now();
  }
}

/** A revision is a sequence; what another store gave out is none. */
const revisionOf = (revision: string): number => (/^[1-9]\d{0,15}$/.test(revision) ? Number(revision) : -1);

/** The user's key: the last token. */
const keyOf = ({ key }: BucketEntry): string | undefined => decodeToken(key.slice(key.lastIndexOf(".") + 1));
