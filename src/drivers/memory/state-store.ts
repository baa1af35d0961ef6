import type { StateStore, StoredMessage } from "../../driver.ts";
import { StateBucket, type StateChange } from "./state-bucket.ts";
import type { StoreTime } from "./store-time.ts";

/** Key-value buckets, messages due later, and parked keys. */
export class MemoryStateStore implements StateStore {
  readonly #time: StoreTime;
  readonly #buckets = new Map<string, StateBucket>();
  readonly #schedule = new Map<string, { readonly message: StoredMessage; until: number }>();
  readonly #parked = new Map<string, StoredMessage[]>();
  #revision = 0;

  constructor(time: StoreTime) {
    this.#time = time;
  }

  get(bucket: string, key: string): Promise<{ readonly value: Uint8Array; readonly revision: string } | undefined> {
    const found = this.#bucket(bucket).get(key);
    return Promise.resolve(found === undefined ? undefined : { value: found.value.slice(), revision: found.revision });
  }

  put(
    bucket: string,
    key: string,
    value: Uint8Array,
    options: Parameters<StateStore["put"]>[3],
  ): Promise<string | undefined> {
    return Promise.resolve(this.#bucket(bucket).put(key, value, options.ttlMs, options.expect));
  }

  delete(bucket: string, key: string, expect?: string): Promise<boolean> {
    return Promise.resolve(this.#bucket(bucket).delete(key, expect));
  }

  async *keys(bucket: string, prefix: string): AsyncGenerator<string> {
    yield* this.#bucket(bucket).keys(prefix);
  }

  async *watch(bucket: string, prefix: string, signal: AbortSignal): AsyncGenerator<StateChange> {
    const source = this.#bucket(bucket);
    // The latest of each key: a slow reader costs no more than the keys there are.
    const changes = new Map<string, StateChange>();
    let wake: () => void = () => {};
    const watching = source.watch((change) => {
      if (!change.key.startsWith(prefix)) return;
      changes.delete(change.key);
      changes.set(change.key, change);
      wake();
    });
    const stop = (): void => wake();
    signal.addEventListener("abort", stop);
    try {
      for (const key of source.keys(prefix)) {
        const found = source.get(key);
        if (found !== undefined && !changes.has(key))
          changes.set(key, { key, revision: found.revision, value: found.value });
      }
      while (!signal.aborted) {
        const next = changes.entries().next().value;
        if (next === undefined) {
          await new Promise<void>((resolve) => (wake = resolve));
          continue;
        }
        changes.delete(next[0]);
        yield next[1];
      }
    } finally {
      signal.removeEventListener("abort", stop);
      watching[Symbol.dispose]();
    }
  }

  schedule(messages: readonly StoredMessage[]): Promise<void> {
    for (const message of messages) this.#schedule.set(message.id, { message, until: -Infinity });
    return Promise.resolve();
  }

  due(now: number, limit: number, leaseMs: number): Promise<readonly StoredMessage[]> {
    const ticks = this.#time.ticks();
    const due = [...this.#schedule.values()]
      .filter(({ message, until }) => (message.notBefore ?? 0) <= now && until <= ticks)
      .toSorted((left, right) => (left.message.notBefore ?? 0) - (right.message.notBefore ?? 0))
      .slice(0, limit);
    for (const taken of due) taken.until = ticks + leaseMs;
    return Promise.resolve(due.map(({ message }) => message));
  }

  /** By id, so that a cursor whose message went still stands. */
  scheduled(after: string | undefined, limit: number): Promise<readonly StoredMessage[]> {
    const ids = [...this.#schedule.keys()].filter((id) => after === undefined || id > after).toSorted();
    return Promise.resolve(ids.slice(0, limit).map((id) => this.#schedule.get(id)!.message));
  }

  unschedule(ids: readonly string[]): Promise<readonly string[]> {
    return Promise.resolve(ids.filter((id) => this.#schedule.delete(id)));
  }

  park(list: string, messages: readonly StoredMessage[]): Promise<void> {
    this.#parked.set(list, [...(this.#parked.get(list) ?? []), ...messages]);
    return Promise.resolve();
  }

  unpark(list: string, limit: number): Promise<readonly StoredMessage[]> {
    const parked = this.#parked.get(list) ?? [];
    const taken = parked.slice(0, limit);
    if (taken.length === parked.length) this.#parked.delete(list);
    else this.#parked.set(list, parked.slice(limit));
    return Promise.resolve(taken);
  }

  #bucket(name: string): StateBucket {
    let bucket = this.#buckets.get(name);
    if (bucket === undefined)
      this.#buckets.set(name, (bucket = new StateBucket(this.#time, () => String((this.#revision += 1)))));
    return bucket;
  }
}
