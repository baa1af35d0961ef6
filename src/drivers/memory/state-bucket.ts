import type { DueCall } from "./due-queue.ts";
import type { StoreTime } from "./store-time.ts";

export interface StateValue {
  readonly value: Uint8Array;
  readonly revision: string;
}
export interface StateChange {
  readonly key: string;
  readonly revision: string;
  readonly value: Uint8Array | undefined;
}

interface Kept extends StateValue {
  /** The store's ticks. */
  readonly until: number;
  /** Only while somebody watches: else what is over is found when it is asked for, and no timer runs. */
  expiry: DueCall | undefined;
}

const pruneEvery = 1_000;

/** The keys of one bucket, with lifetimes, and who watches them. */
export class StateBucket {
  readonly #values = new Map<string, Kept>();
  readonly #watchers = new Set<(change: StateChange) => void>();
  readonly #time: StoreTime;
  readonly #revision: () => string;
  #puts = 0;

  constructor(time: StoreTime, revision: () => string) {
    this.#time = time;
    this.#revision = revision;
  }

  get(key: string): StateValue | undefined {
    const kept = this.#values.get(key);
    if (kept === undefined) return undefined;
    if (kept.until > this.#time.ticks()) return kept;
    this.#remove(key, kept);
    return undefined;
  }

  put(
    key: string,
    value: Uint8Array,
    ttlMs: number | undefined,
    expect: string | null | undefined,
  ): string | undefined {
    const known = this.get(key);
    if (expect !== undefined && (known?.revision ?? null) !== expect) return undefined;
    this.#values.get(key)?.expiry?.cancel();
    this.#puts += 1;
    if (this.#puts % pruneEvery === 0) this.keys("");
    const revision = this.#revision();
    const until = ttlMs === undefined ? Infinity : this.#time.ticks() + ttlMs;
    const kept: Kept = { value: value.slice(), revision, until, expiry: undefined };
    if (this.#watchers.size > 0) this.#arm(key, kept);
    this.#values.set(key, kept);
    this.#tell({ key, revision, value: kept.value });
    return revision;
  }

  delete(key: string, expect: string | undefined): boolean {
    const known = this.get(key);
    if (known === undefined || (expect !== undefined && known.revision !== expect)) return false;
    this.#remove(key, this.#values.get(key)!);
    return true;
  }

  /** As of now, sorted. */
  keys(prefix: string): readonly string[] {
    return [...this.#values.keys()].filter((key) => key.startsWith(prefix) && this.get(key) !== undefined).toSorted();
  }

  watch(watcher: (change: StateChange) => void): Disposable {
    if (this.#watchers.size === 0) for (const [key, kept] of this.#values) this.#arm(key, kept);
    this.#watchers.add(watcher);
    return { [Symbol.dispose]: () => void this.#watchers.delete(watcher) };
  }

  #arm(key: string, kept: Kept): void {
    if (kept.until === Infinity) return;
    kept.expiry?.cancel();
    kept.expiry = this.#time.after(kept.until - this.#time.ticks(), () => {
      if (this.#values.get(key) === kept) this.#remove(key, kept);
    });
  }

  #remove(key: string, kept: Kept): void {
    kept.expiry?.cancel();
    this.#values.delete(key);
    this.#tell({ key, revision: this.#revision(), value: undefined });
  }

  #tell(change: StateChange): void {
    for (const watcher of this.#watchers) watcher(change);
  }
}
