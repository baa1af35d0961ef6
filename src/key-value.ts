/** How a bucket is used. Buckets are made when something is written; two that are opened under one name are the same. */
export interface KeyValueOptions {
  /** An entry is gone this long after it was last written. @default for ever */
  readonly maxAgeMs?: number | undefined;
  /** Values are data as events carry it, or bytes. All who use a bucket say the same. @default "json" */
  readonly encoding?: "json" | "bytes" | undefined;
}

/** A value and where it stands: `update` and `delete` take the revision to change nothing that moved meanwhile. */
export interface KeyValueEntry<T = unknown> {
  readonly value: T;
  /** Opaque; another one after each write. */
  readonly revision: string;
}

/** One step of a watch; the value is undefined when the key is gone. */
export interface KeyValueChange<T = unknown> {
  readonly key: string;
  readonly value: T | undefined;
  readonly revision: string;
}

/**
 * A bucket of `bus.kv`. A key is text of 1 to 512 bytes, whatever characters. Every method waits for the connection, and rejects with
 * BUS_INVALID_OPTION (the key), ValidationError (a value that is no JSON), BUS_TOO_LARGE (over `maxMessageBytes`),
 * BUS_UNSUPPORTED (the driver has no state store) or what the broker said. One process reads what another wrote before.
 */
export interface KeyValue<T = unknown> {
  /** Undefined: there is none, or its time is over. Rejects with BUS_UNDECODABLE when it was written as something else. */
  get(key: string): Promise<KeyValueEntry<T> | undefined>;
  /** Writes, whatever is there. Resolves with the revision. */
  put(key: string, value: T): Promise<string>;
  /** Writes where nothing is; of many at once one wins. Rejects with BUS_CONFLICT. Resolves with the revision. */
  create(key: string, value: T): Promise<string>;
  /** Writes where this revision is; of many at once one wins. Rejects with BUS_CONFLICT. Resolves with the next revision. */
  update(key: string, value: T, revision: string): Promise<string>;
  /** With a revision: unless it moved. True when it was there and went. */
  delete(key: string, revision?: string): Promise<boolean>;
  /** Those that begin with the prefix, in no order that is promised. @default all of the bucket */
  keys(prefix?: string): AsyncIterable<string>;
  /**
   * Current values first, then changes; of a key that changes faster than you read, the newest. Goes on by itself after an outage,
   * and says then what changed or went meanwhile, and nothing again. A value that can't be read is left out, and logged. Ends when the signal aborts or the bus closes.
   */
  watch(
    prefix?: string,
    options?: {
      /** Ends the watch. @default none */ readonly signal?: AbortSignal | undefined;
    },
  ): AsyncIterable<KeyValueChange<T>>;
}
