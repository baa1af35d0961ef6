import type { Headers, StoredMessage } from "../../driver.ts";
import type { Bucket, BucketEntry } from "./bucket.ts";
import { decodeToken, keys } from "./names.ts";
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
    await Promise.all(
      messages.map((message) =>
        this.#bucket.put(keys.due(message.id), message.body, { headers: headersOf(message, 0) }),
      ),
    );
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

  /** By id, so that a cursor whose message went still stands. */
  async list(after: string | undefined, limit: number): Promise<readonly StoredMessage[]> {
    const entries = await this.#bucket.list(keys.dues, true);
    const ids = entries.flatMap(({ key }) => decodeToken(key.slice(key.indexOf(".") + 1)) ?? []);
    const page = ids
      .filter((id) => after === undefined || id > after)
      .toSorted()
      .slice(0, limit);
    const found = await Promise.all(page.map((id) => this.#bucket.get(keys.due(id))));
    return found.flatMap((entry) => (entry === undefined ? [] : (decodeStored(entry.headers, entry.value!) ?? [])));
  }

  async remove(ids: readonly string[]): Promise<readonly string[]> {
    const gone = await Promise.all(ids.map((id) => this.#bucket.delete(keys.due(id))));
    return ids.filter((_, index) => gone[index]);
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
  [leaseHeader, String(leasedUntil)],
  ...encodeStored(message),
];

const numberOf = (headers: Headers, name: string): number => Number(valueOf(headers, name) ?? 0);
