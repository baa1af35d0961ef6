import type { Headers, ScheduledMessage, StoredMessage } from "../../driver.ts";
import { duePlaceOf, duePlaceText } from "../../internal/due-place.ts";
import type { Bucket, BucketEntry } from "./bucket.ts";
import { keys } from "./names.ts";
import { valueOf } from "./message.ts";
import { decodeStored, encodeStored } from "./stored-message.ts";

const dueHeader = "Omnibus-Due";
const leaseHeader = "Omnibus-Leased";

/** Messages due later, one key each; whoever takes one leases it by compare-and-set. */
export class DueList {
  readonly #bucket: Bucket;

  constructor({ bucket }: { readonly bucket: Bucket }) {
    this.#bucket = bucket;
  }

  async add(messages: readonly StoredMessage[]): Promise<void> {
    await Promise.all(messages.map((message) => this.#add(message)));
  }

  /** In the place of one that nobody has taken. What was moved leaves no mark, so a mark is of one that was taken back. */
  async #add(message: StoredMessage): Promise<void> {
    const key = keys.due(message.id);
    for (let expect = 0; ;) {
      const headers = headersOf(message, 0);
      if ((await this.#bucket.put(key, message.body, { expect, once: true, headers })) !== undefined) return;
      const entry = await this.#bucket.get(key);
      if (entry === undefined || !isUntaken(entry.headers)) return;
      expect = entry.revision;
    }
  }

  /** The oldest that are due and leased by nobody. */
  async take(now: number, limit: number, leaseMs: number): Promise<readonly StoredMessage[]> {
    const entries = await this.#bucket.list(keys.dues, true);
    const due = entries
      .filter(({ headers }) => numberOf(headers, dueHeader) <= now && numberOf(headers, leaseHeader) <= now)
      .toSorted((left, right) => numberOf(left.headers, dueHeader) - numberOf(right.headers, dueHeader));
    const taken: StoredMessage[] = [];
    for (let from = 0; from < due.length && taken.length < limit;) {
      const some = due.slice(from, from + limit - taken.length);
      from += some.length;
      const leased = await Promise.all(some.map((entry) => this.#lease(entry, now + leaseMs)));
      taken.push(...leased.filter((message) => message !== undefined));
    }
    return taken;
  }

  /** Soonest first, of one time by their keys. */
  async list(after: string | undefined, limit: number): Promise<readonly ScheduledMessage[]> {
    const { due, rest } = duePlaceOf(after);
    const entries = await this.#bucket.list(keys.dues, true);
    const behind = entries
      .map((entry) => ({ ...entry, at: numberOf(entry.headers, dueHeader) }))
      .filter(({ key, at, headers }) => isUntaken(headers) && (at > due || (at === due && key > rest)))
      .toSorted((left, right) => left.at - right.at || (left.key < right.key ? -1 : 1));
    const found: ScheduledMessage[] = [];
    for (const { key, at, headers } of behind) {
      if (found.length === limit) break;
      const message = decodeStored(headers, nothing);
      if (message === undefined) continue; // another program's
      const { id, topic } = message;
      found.push({ id, topic, notBefore: at, position: duePlaceText({ due: at, rest: key }) });
    }
    return found;
  }

  async remove(ids: readonly string[], untaken: boolean): Promise<readonly string[]> {
    const gone = await Promise.all(
      ids.map((id) => (untaken ? this.#removeUntaken(keys.due(id)) : this.#forget(keys.due(id)))),
    );
    return ids.filter((_, index) => gone[index]);
  }

  /** Without a mark. */
  async #forget(key: string): Promise<boolean> {
    for (;;) {
      const entry = await this.#bucket.get(key);
      if (entry === undefined) return false;
      if (await this.#bucket.forget(entry)) return true;
    }
  }

  /** By its revision, which a lease changes. */
  async #removeUntaken(key: string): Promise<boolean> {
    for (;;) {
      const entry = await this.#bucket.get(key);
      if (entry === undefined || !isUntaken(entry.headers)) return false;
      if (await this.#bucket.delete(key, entry.revision)) return true;
    }
  }

  async #lease({ key, revision }: BucketEntry, until: number): Promise<StoredMessage | undefined> {
    const entry = await this.#bucket.get(key);
    if (entry?.revision !== revision) return undefined;
    const message = decodeStored(entry.headers, entry.value!);
    if (message === undefined) return undefined;
    const put = this.#bucket.put(key, message.body, { expect: revision, headers: headersOf(message, until) });
    return (await put) === undefined ? undefined : message;
  }
}

const headersOf = (message: StoredMessage, leasedUntil: number): Headers => [
  [dueHeader, String(message.notBefore ?? 0)],
  [leaseHeader, String(leasedUntil).padStart(24, "0")], // what fits once fits with a lease, and with the revision that it names
  ...encodeStored(message),
];

const nothing = new Uint8Array(0);

const isUntaken = (headers: Headers): boolean => numberOf(headers, leaseHeader) === 0;

const numberOf = (headers: Headers, name: string): number => Number(valueOf(headers, name) ?? 0);
