import type { ScheduledMessage, StateStore, StoredMessage } from "../../driver.ts";
import { cancelledMs } from "../../internal/cancelled-ms.ts";
import { duePlaceText, numberedPlaceOf } from "../../internal/due-place.ts";
import { StateBucket, type StateChange } from "./state-bucket.ts";
import type { StoreTime } from "./store-time.ts";

/** `until`: leased until then; -Infinity: given to nobody. */
interface Later {
  readonly message: StoredMessage;
  readonly number: number;
  until: number;
}

const dueAt = ({ message }: Later): number => message.notBefore ?? 0;
const bySoonest = (left: Later, right: Later): number => dueAt(left) - dueAt(right) || left.number - right.number;

const isUntaken = ({ until }: Later): boolean => until === -Infinity;

/** Key-value buckets, and messages due later. */
export class MemoryStateStore implements StateStore {
  readonly #time: StoreTime;
  readonly #buckets = new Map<string, StateBucket>();
  readonly #schedule = new Map<string, Later>();
  /** Taken back: until then their ids are not free. */
  readonly #cancelled = new Map<string, number>();
  #revision = 0;
  #later = 0;

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
    const ticks = this.#time.ticks();
    for (const message of messages) {
      if ((this.#cancelled.get(message.id) ?? -Infinity) > ticks) continue;
      const found = this.#schedule.get(message.id);
      if (found !== undefined && !isUntaken(found)) continue;
      this.#schedule.set(message.id, { message, number: (this.#later += 1), until: -Infinity });
    }
    return Promise.resolve();
  }

  due(now: number, limit: number, leaseMs: number): Promise<readonly StoredMessage[]> {
    const ticks = this.#time.ticks();
    const due = [...this.#schedule.values()]
      .filter((each) => dueAt(each) <= now && each.until <= ticks)
      .toSorted(bySoonest)
      .slice(0, limit);
    for (const taken of due) taken.until = ticks + leaseMs;
    return Promise.resolve(due.map(({ message }) => message));
  }

  async scheduled(after: string | undefined, limit: number): Promise<readonly ScheduledMessage[]> {
    const { due, number } = numberedPlaceOf(after);
    return [...this.#schedule.values()]
      .filter((each) => isUntaken(each) && (dueAt(each) > due || (dueAt(each) === due && each.number > number)))
      .toSorted(bySoonest)
      .slice(0, limit)
      .map((each) => ({
        id: each.message.id,
        topic: each.message.topic,
        notBefore: dueAt(each),
        position: duePlaceText({ due: dueAt(each), rest: each.number }),
      }));
  }

  unschedule(ids: readonly string[], untaken = false): Promise<readonly string[]> {
    const ticks = this.#time.ticks();
    const gone = ids.filter((id) => {
      const found = this.#schedule.get(id);
      return found !== undefined && (!untaken || isUntaken(found)) && this.#schedule.delete(id);
    });
    if (untaken) {
      for (const [id, until] of this.#cancelled) if (until <= ticks) this.#cancelled.delete(id);
      for (const id of gone) this.#cancelled.set(id, ticks + cancelledMs);
    }
    return Promise.resolve(gone);
  }

  #bucket(name: string): StateBucket {
    let bucket = this.#buckets.get(name);
    if (bucket === undefined)
      this.#buckets.set(name, (bucket = new StateBucket(this.#time, () => String((this.#revision += 1)))));
    return bucket;
  }
}
