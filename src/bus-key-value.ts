import { closed } from "./connector.ts";
import type { Core } from "./core.ts";
import type { DriverConnection, StateStore } from "./driver.ts";
import { BusError } from "./errors.ts";
import { parseStrict, stringifyStrict } from "./json.ts";
import type { KeyValue, KeyValueChange, KeyValueEntry, KeyValueOptions } from "./key-value.ts";
import { abortSignal, checkOptions, invalidOption } from "./option-check.ts";
import { errorFields } from "./status-board.ts";
import { wrapError } from "./wrap-error.ts";
import type { Broker } from "./supervisor.ts";

interface Store {
  readonly state: StateStore;
  readonly wrap: (error: unknown) => BusError;
}

type StateChange = ReturnType<StateStore["watch"]> extends AsyncIterable<infer Change> ? Change : never;

const maxKeyBytes = 512;
const utf8 = new TextEncoder();

/** A bucket of the state store that the driver has, or that is attached to it. */
export class BusKeyValue<T> implements KeyValue<T> {
  readonly #core: Core;
  readonly #broker: Broker;
  readonly #closing: AbortSignal;
  readonly #bucket: string;
  readonly #options: KeyValueOptions;

  /** `closing` aborts when the bus is closed. */
  constructor(core: Core, broker: Broker, closing: AbortSignal, bucket: string, options: KeyValueOptions) {
    this.#core = core;
    this.#broker = broker;
    this.#closing = closing;
    this.#bucket = bucket;
    this.#options = options;
  }

  async get(key: string): Promise<KeyValueEntry<T> | undefined> {
    const found = await this.#ask(`reading ${this.#named(key)}`, (state) => state.get(this.#bucket, key));
    return found === undefined ? undefined : { value: this.#decode(found.value), revision: found.revision };
  }

  async put(key: string, value: T): Promise<string> {
    return (await this.#put(key, value, undefined))!;
  }

  async create(key: string, value: T): Promise<string> {
    const revision = await this.#put(key, value, null);
    if (revision === undefined) throw this.#conflict(key, "exists");
    return revision;
  }

  async update(key: string, value: T, revision: string): Promise<string> {
    const next = await this.#put(key, value, checkRevision(revision));
    if (next === undefined) throw this.#conflict(key, "is not at this revision any more");
    return next;
  }

  async delete(key: string, revision?: string): Promise<boolean> {
    const expect = revision === undefined ? undefined : checkRevision(revision);
    return this.#ask(`deleting ${this.#named(key)}`, (state) => state.delete(this.#bucket, key, expect));
  }

  async *keys(prefix = ""): AsyncGenerator<string> {
    checkPrefix(prefix);
    const { state, wrap } = await this.#store(`keys of "${this.#bucket}"`);
    try {
      yield* state.keys(this.#bucket, prefix);
    } catch (error) {
      throw wrap(error);
    }
  }

  async *watch(
    prefix = "",
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<KeyValueChange<T>> {
    checkPrefix(prefix);
    checkOptions("kv.watch", options, { signal: abortSignal });
    if (this.#closing.aborted) throw closed();
    const ending = new AbortController();
    const end = (): void => ending.abort();
    const signals = [this.#closing, ...(options.signal === undefined ? [] : [options.signal])];
    for (const each of signals) each.addEventListener("abort", end, { once: true });
    if (signals.some(({ aborted }) => aborted)) end();
    try {
      yield* this.#watchUntil(ending.signal, prefix);
    } finally {
      for (const each of signals) each.removeEventListener("abort", end);
    }
  }

  async *#watchUntil(signal: AbortSignal, prefix: string): AsyncGenerator<KeyValueChange<T>> {
    const { minMs, maxMs } = this.#core.options.reconnect;
    const known = new Map<string, string>();
    for (let waitMs = minMs; ; waitMs = Math.min(2 * waitMs, maxMs)) {
      const store = await this.#storeUnless(signal);
      if (store === undefined) return;
      try {
        for await (const { key, revision, value } of this.#changes(store.state, prefix, known, signal)) {
          waitMs = minMs;
          const decoded = this.#readable(value);
          if (decoded !== undefined) yield { key, revision, ...decoded };
        }
        return;
      } catch (error) {
        if (signal.aborted) return;
        const failure = store.wrap(error);
        if (!failure.retryable) throw failure;
        this.#core.board.log("warn", "watching again", { bucket: this.#bucket, ...errorFields(failure) });
      }
      await this.#pause(waitMs, signal);
    }
  }

  /** Undefined: the signal aborted first. */
  async #storeUnless(signal: AbortSignal): Promise<Store | undefined> {
    const aborted = Promise.withResolvers<undefined>();
    const abort = (): void => aborted.resolve(undefined);
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    try {
      return await Promise.race([aborted.promise, this.#store(`watching "${this.#bucket}"`)]);
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /** One value that is none ends no watch: it is left out, and said. */
  #readable(value: Uint8Array | undefined): { readonly value: T | undefined } | undefined {
    try {
      return { value: value === undefined ? undefined : this.#decode(value) };
    } catch (error) {
      const fields = { bucket: this.#bucket, ...errorFields(error) };
      this.#core.board.log("error", "a value was left out of a watch", fields);
      return undefined;
    }
  }

  /** What a reader who knows these revisions has not heard of. */
  async *#changes(
    state: StateStore,
    prefix: string,
    known: Map<string, string>,
    signal: AbortSignal,
  ): AsyncGenerator<StateChange> {
    if (known.size > 0) {
      const there = new Set<string>();
      for await (const key of state.keys(this.#bucket, prefix)) there.add(key);
      for (const [key, revision] of [...known]) {
        if (there.has(key)) continue;
        known.delete(key);
        yield { key, revision, value: undefined };
      }
    }
    for await (const change of state.watch(this.#bucket, prefix, signal)) {
      if (known.get(change.key) === change.revision) continue;
      if (change.value === undefined) known.delete(change.key);
      else known.set(change.key, change.revision);
      yield change;
    }
  }

  #put(key: string, value: T, expect: string | null | undefined): Promise<string | undefined> {
    const bytes = this.#encode(key, value);
    const { maxAgeMs: ttlMs } = this.#options;
    return this.#ask(`writing ${this.#named(key)}`, (state) =>
      state.put(this.#bucket, key, bytes, { expect, ...(ttlMs === undefined ? {} : { ttlMs }) }),
    );
  }

  async #ask<Answer>(what: string, ask: (state: StateStore) => Promise<Answer>): Promise<Answer> {
    const { state, wrap } = await this.#store(what);
    try {
      return await ask(state);
    } catch (error) {
      throw wrap(error);
    }
  }

  async #store(what: string): Promise<Store> {
    const { state }: DriverConnection = await this.#broker.ready();
    const { driver } = this.#broker;
    if (state === undefined)
      throw new BusError(
        "BUS_UNSUPPORTED",
        `${what}: the driver "${driver.name}" has no key-value; give the bus a state store: { state: "sqlite:./state.db" }`,
      );
    return { state, wrap: (error) => wrapError(driver, what, error) };
  }

  #encode(key: string, value: T): Uint8Array {
    checkKey(key);
    const what = this.#named(key);
    const { encoding } = this.#options;
    if (encoding === "bytes" && !(value instanceof Uint8Array))
      throw invalidOption(`${what}: the value must be a Uint8Array`);
    const bytes =
      value instanceof Uint8Array && encoding === "bytes" ? value : utf8.encode(stringifyStrict(value, what));
    const { maxMessageBytes } = this.#core.options;
    if (bytes.byteLength > maxMessageBytes)
      throw new BusError("BUS_TOO_LARGE", `${what}: ${bytes.byteLength} bytes are more than ${maxMessageBytes}`);
    return bytes;
  }

  #decode(value: Uint8Array): T {
    return (this.#options.encoding === "bytes" ? value : parseStrict(value)) as T;
  }

  #named(key: string): string {
    checkKey(key);
    return `a key of "${this.#bucket}"`; // keys may be what the user keeps to himself
  }

  #conflict(key: string, why: string): BusError {
    return new BusError("BUS_CONFLICT", `${this.#named(key)} ${why}`);
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        timer.cancel();
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = this.#core.wheel.set(ms, done);
      signal.addEventListener("abort", done, { once: true });
      if (signal.aborted) done();
    });
  }
}

function checkKey(key: unknown): void {
  if (typeof key !== "string" || key === "") throw invalidOption("a key must be a text that is not empty");
  checkText("a key", key);
}

function checkPrefix(prefix: unknown): void {
  if (typeof prefix !== "string") throw invalidOption("a prefix must be a text");
  checkText("a prefix", prefix);
}

function checkText(what: string, text: string): void {
  if (!text.isWellFormed()) throw invalidOption(`${what} must be well-formed: it has half of a surrogate pair`);
  if (Buffer.byteLength(text) > maxKeyBytes) throw invalidOption(`${what} has at most ${maxKeyBytes} bytes`);
}

function checkRevision(revision: unknown): string {
  if (typeof revision !== "string" || revision === "") throw invalidOption("a revision is what a write or a read gave");
  return revision;
}
