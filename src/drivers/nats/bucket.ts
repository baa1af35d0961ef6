import type { Headers } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { Api } from "./api.ts";
import { apiCode, isApiError } from "./errors.ts";
import { ownHeader, readHeaders } from "./headers.ts";
import { valueOf } from "./message.ts";
import { Reader, readAll, type ReaderMessage, type ReaderSource } from "./reader.ts";
import type { Session } from "./session.ts";

export interface BucketEntry {
  readonly key: string;
  readonly revision: number;
  /** Undefined: deleted. */
  readonly value: Uint8Array | undefined;
  /** Ms since the epoch, by the server's clock. */
  readonly timeMs: number;
  readonly headers: Headers;
}

export interface PutOptions {
  /** A revision; 0: it must not be there. */
  readonly expect?: number | undefined;
  /** With `expect` 0: nor may it be seen that it was there. */
  readonly once?: boolean;
  /** From 2.11 on the server removes it then; in whole seconds, rounded up. */
  readonly ttlMs?: number | undefined;
  readonly headers?: Headers | undefined;
}

export interface BucketListener {
  entry(entry: BucketEntry): void;
  /** The current values have come. */
  current?(): void;
  /** The bucket is gone, or another one by now: what was read of it counts for nothing. */
  ended?(error: unknown): void;
}

export interface BucketWatch {
  /** The server knows what is wanted. */
  readonly ready: Promise<void>;
  /** The current values have come; rejects when the watch ends, or is closed, before. */
  readonly current: Promise<void>;
  close(): void;
}

/** How long it can be seen that a key was deleted. */
export const markerMs = 3_600_000;
const againMs = 250;
/** A write that has no majority yet: so often, and so long, is waited for it. */
const [tries, underWayMs] = [50, 20];
const operation = "KV-Operation";
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const nothing = new Uint8Array(0);

/** Key and value in a NATS bucket, as the `nats` tool and `@nats-io/kv` read it; a revision is the stream's sequence. */
export class Bucket {
  readonly #session: Session;
  readonly #api: Api;
  readonly #stream: string;

  constructor(session: Session, api: Api) {
    this.#session = session;
    this.#api = api;
    this.#stream = session.names.bucketStream;
  }

  /** As the leader has it. */
  async get(key: string): Promise<BucketEntry | undefined> {
    const entry = await this.#last(key);
    return entry?.value === undefined ? undefined : entry;
  }

  async getJson<Value>(key: string): Promise<{ readonly value: Value; readonly revision: number } | undefined> {
    const entry = await this.get(key);
    return entry?.value === undefined
      ? undefined
      : { value: JSON.parse(decoder.decode(entry.value)) as Value, revision: entry.revision };
  }

  /** The new revision; undefined: what was expected did not hold. */
  async put(key: string, value: Uint8Array, options: PutOptions = {}): Promise<number | undefined> {
    const more = [...(options.headers ?? []), ...(options.ttlMs === undefined ? [] : this.#ttl(options.ttlMs))];
    for (let expect = options.expect; ;) {
      const revision = await this.#write(key, value, more, expect);
      if (revision !== undefined || options.expect !== 0) return revision;
      const marker = await this.#last(key); // what was deleted left its mark, for a time
      if (marker !== undefined && (marker.value !== undefined || options.once === true)) return undefined;
      expect = marker?.revision ?? 0;
    }
  }

  async putJson(key: string, value: unknown, options: PutOptions = {}): Promise<number | undefined> {
    return await this.put(key, encoder.encode(JSON.stringify(value)), options);
  }

  /** False: it was not there, or had another revision. */
  async delete(key: string, expect?: number): Promise<boolean> {
    let revision = expect;
    for (;;) {
      revision ??= (await this.get(key))?.revision;
      if (revision === undefined) return false;
      const marker: Headers = [[operation, "PURGE"], [ownHeader.rollup, "sub"], ...this.#ttl(markerMs)];
      if ((await this.#write(key, nothing, marker, revision)) !== undefined) return true;
      if (expect !== undefined) return false;
      revision = undefined;
    }
  }

  /** Those that are there; with `headersOnly` their values are empty. */
  async list(filter: string, headersOnly = false): Promise<readonly BucketEntry[]> {
    return (await this.all([filter], headersOnly)).filter(({ value }) => value !== undefined);
  }

  /** With what was deleted and left its mark. */
  async all(filters: readonly string[], headersOnly = false): Promise<readonly BucketEntry[]> {
    const found = await readAll(this.#session, this.#api, { ...this.#source(filters), headersOnly });
    return found.map((each) => this.#entry(each));
  }

  /** Takes away a key with its mark, without a word to those who watch; false: it was gone, or written after that. */
  async forget({ key, revision }: Pick<BucketEntry, "key" | "revision">): Promise<boolean> {
    return (await this.#api.purge(this.#stream, { filter: this.#session.names.key(key), seq: revision + 1 })) > 0;
  }

  /** Current values first, then changes; after a loss the current ones once more. */
  watch(filters: readonly string[], listener: BucketListener, headersOnly = false): BucketWatch {
    let newest = 0;
    let created: string | undefined;
    let over = false;
    const source = { ...this.#source(filters), headersOnly };
    const current = Promise.withResolvers<void>();
    current.promise.catch(() => undefined); // not everybody waits for it
    const close = (reason: unknown = closed()): void => {
      over = true;
      reader.close();
      current.reject(reason);
    };
    const end = (error: unknown): void => {
      if (over) return;
      close(error);
      listener.ended?.(error);
    };
    const reader = new Reader(this.#session, this.#api, source, {
      messages: (messages) => {
        for (const message of messages) {
          const entry = this.#entry(message);
          if (entry.revision <= newest) continue; // in order: of a new beginning what came before it
          newest = entry.revision;
          listener.entry(entry);
        }
      },
      caughtUp: () => {
        listener.current?.();
        current.resolve();
        if (created !== undefined)
          void this.#same(created, newest, () => over).then((same) => same || end(madeAgain()));
      },
      ended: end,
    });
    const open = async (): Promise<void> => {
      // in this order: if another one is made in between, it is taken for a change too many, and not for none
      created = (await this.#api.streamInfo(this.#stream))?.created ?? "";
      if (over) return await current.promise; // it says why
      await reader.open();
    };
    return { ready: open(), current: current.promise, close: () => close() };
  }

  /**
   * After a new beginning: whether it is the bucket that was read before, with all of it. Asked until it is answered: of another
   * one nothing would be heard before it has as many entries.
   */
  async #same(created: string, newest: number, over: () => boolean): Promise<boolean> {
    while (!over() && !this.#session.closed) {
      try {
        const info = await this.#api.streamInfo(this.#stream);
        return info?.created === created && info.state.last_seq >= newest;
      } catch {
        await new Promise<void>((resolve) => void this.#session.clock.after(againMs, resolve));
      }
    }
    return true;
  }

  #source(filters: readonly string[]): ReaderSource {
    return {
      stream: this.#stream,
      filters: filters.map((filter) => this.#session.names.key(filter)),
      start: "last-per-subject",
    };
  }

  #entry({ raw, delivery }: ReaderMessage): BucketEntry {
    const headers = readHeaders(raw);
    return {
      key: this.#session.names.keyOf(raw.subject),
      revision: delivery.sequence,
      value: isMarker(headers) ? undefined : raw.data,
      timeMs: delivery.timeMs,
      headers,
    };
  }

  async #last(key: string): Promise<BucketEntry | undefined> {
    const found = await this.#api.message(this.#stream, { last_by_subj: this.#session.names.key(key) });
    if (found === undefined) return undefined;
    const { sequence, headers, body, timeMs } = found;
    return { key, revision: sequence, value: isMarker(headers) ? undefined : body, timeMs, headers };
  }

  async #write(key: string, value: Uint8Array, more: Headers, expect: number | undefined): Promise<number | undefined> {
    const headers: Headers =
      expect === undefined ? more : [...more, [ownHeader.expectedSequence, String(expect)] as const];
    for (let times = 1; ; times += 1) {
      try {
        const { seq } = await this.#api.publish(this.#session.names.key(key), value, headers);
        return seq;
      } catch (error) {
        if (isApiError(error, apiCode.wrongLastSequence)) return undefined;
        // of several copies: another write of the key has no majority yet, and may get none
        if (!isApiError(error, apiCode.writeUnderWay) || times === tries) throw error;
        await new Promise<void>((resolve) => void this.#session.clock.after(underWayMs, resolve));
      }
    }
  }

  #ttl(ms: number): Headers {
    if (!this.#session.version.atLeast(2, 11)) return [];
    return [[ownHeader.ttl, `${Math.max(Math.ceil(ms / 1_000), 1)}s`]];
  }
}

const closed = (): DriverError =>
  new DriverError("BUS_CLOSED", "nats: the watch was closed before the current values came");

const madeAgain = (): DriverError =>
  new DriverError("BUS_NOT_FOUND", "nats: the bucket was deleted and made again", { retryable: true });

/** Deleted by somebody, or by its time to live. */
const isMarker = (headers: Headers): boolean =>
  ["DEL", "PURGE"].includes(valueOf(headers, operation) ?? "") || valueOf(headers, "Nats-Marker-Reason") !== undefined;
