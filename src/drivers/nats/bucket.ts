import type { Headers } from "../../driver.ts";
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
  /** From 2.11 on the server removes it then; in whole seconds, rounded up. */
  readonly ttlMs?: number | undefined;
  readonly headers?: Headers | undefined;
}

export interface BucketListener {
  entry(entry: BucketEntry): void;
  /** The current values have come. */
  current?(): void;
  /** Values may have been missed while the bucket itself was gone. */
  ended?(error: unknown): void;
}

export interface BucketWatch {
  /** The server knows what is wanted. */
  readonly ready: Promise<void>;
  close(): void;
}

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
    const revision = await this.#write(key, value, more, options.expect);
    if (revision !== undefined || options.expect !== 0) return revision;
    const marker = await this.#last(key); // what was deleted left its mark
    if (marker === undefined) return await this.#write(key, value, more, 0);
    return marker.value === undefined ? await this.#write(key, value, more, marker.revision) : undefined;
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
      const marker: Headers = [
        [operation, "PURGE"],
        [ownHeader.rollup, "sub"],
      ];
      if ((await this.#write(key, nothing, marker, revision)) !== undefined) return true;
      if (expect !== undefined) return false;
      revision = undefined;
    }
  }

  /** Those that are there; with `headersOnly` their values are empty. */
  async list(filter: string, headersOnly = false): Promise<readonly BucketEntry[]> {
    const found = await readAll(this.#session, this.#api, { ...this.#source([filter]), headersOnly });
    return found.map((each) => this.#entry(each)).filter(({ value }) => value !== undefined);
  }

  /** Current values first, then changes; after a loss the current ones once more. */
  watch(filters: readonly string[], listener: BucketListener, headersOnly = false): BucketWatch {
    const seen = new Map<string, number>();
    const source = { ...this.#source(filters), headersOnly };
    const reader = new Reader(this.#session, this.#api, source, {
      messages: (messages) => {
        for (const message of messages) {
          const entry = this.#entry(message);
          if ((seen.get(entry.key) ?? 0) >= entry.revision) continue;
          seen.set(entry.key, entry.revision);
          listener.entry(entry);
        }
      },
      caughtUp: () => listener.current?.(),
      ended: (error) => listener.ended?.(error),
    });
    return { ready: reader.open(), close: () => reader.close() };
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
    try {
      const { seq } = await this.#api.publish(this.#session.names.key(key), value, headers);
      return seq;
    } catch (error) {
      if (isApiError(error, apiCode.wrongLastSequence)) return undefined;
      throw error;
    }
  }

  #ttl(ms: number): Headers {
    if (!this.#session.version.atLeast(2, 11)) return [];
    return [[ownHeader.ttl, `${Math.max(Math.ceil(ms / 1_000), 1)}s`]];
  }
}

/** Deleted by somebody, or by its time to live. */
const isMarker = (headers: Headers): boolean =>
  ["DEL", "PURGE"].includes(valueOf(headers, operation) ?? "") || valueOf(headers, "Nats-Marker-Reason") !== undefined;
