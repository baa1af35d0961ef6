import { DriverError } from "../../internal/driver-error.ts";
import type { AmqpDelivery } from "./client.ts";
import { closedError, isMissing, notConnected } from "./errors.ts";
import { LogReader } from "./log-reader.ts";
import { randomHex, type Session } from "./session.ts";

export interface Folding<State> {
  /** Of an empty log. */
  begin(): State;
  /** The next record, in the one order that all processes see. */
  take(state: State, record: unknown, message: AmqpDelivery, offset: number): void;
  /** Another state is in force: that of a log that was made again. */
  replaced?(): void;
}

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
  timer?: Disposable;
}

const prefetch = 1_000;
const againMs = 200;

/**
 * A stream queue of records that every process folds in the same order: whose record comes first wins. What is folded stays in force
 * until a whole one replaces it, whatever the server does meanwhile.
 */
export class FoldedLog<State> {
  readonly #session: Session;
  readonly #queue: string;
  readonly #declare: () => Promise<void>;
  readonly #made: (() => Promise<void>) | undefined;
  readonly #folding: Folding<State>;
  readonly #waiters = new Map<string, Waiter>();
  #state: State;
  /** Folded from the beginning, not to the end yet. */
  #anew: { readonly state: State } | undefined;
  #reader: LogReader | undefined;
  #opening: Promise<void> | undefined;
  #next: number | "first" = "first";
  /** When the last record came. */
  #heard = 0;
  #retry: Disposable | undefined;
  #closed = false;

  /** `made`: resolves when it is there, made once by one process. */
  constructor(
    session: Session,
    queue: string,
    declare: () => Promise<void>,
    folding: Folding<State>,
    made?: () => Promise<void>,
  ) {
    this.#made = made;
    this.#session = session;
    this.#queue = queue;
    this.#declare = declare;
    this.#folding = folding;
    this.#state = folding.begin();
  }

  get state(): State {
    return this.#state;
  }

  get followed(): boolean {
    return this.#opening !== undefined;
  }

  /** Stored; whoever follows sees it in time. */
  async append(record: unknown, body?: Uint8Array): Promise<void> {
    await this.#put(record, randomHex(this.#session.clock), body);
  }

  /** Resolves when it is stored and folded here, with all that came before it. */
  async write(record: unknown, body?: Uint8Array): Promise<void> {
    await this.#follow();
    const id = randomHex(this.#session.clock);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promise.catch(() => undefined); // what is stored may fail first
    const waiter: Waiter = { resolve, reject };
    this.#waiters.set(id, waiter);
    try {
      await this.#put(record, id, body);
    } catch (error) {
      this.#waiters.delete(id);
      throw error;
    }
    if (this.#waiters.has(id)) this.#expect(id, waiter, this.#session.clock.ticks());
    await promise;
  }

  /** Resolves when everything that was stored before the call is folded. */
  current(): Promise<void> {
    return this.write(null);
  }

  /** For those who look again and again: what is followed is as young as the line, and nothing is stored for it. */
  async seen(): Promise<void> {
    const reader = this.#reader;
    const isFollowed = reader !== undefined && this.#anew === undefined && this.#next !== "first";
    const isSeen = isFollowed && (await reader.answered(prefetch));
    if (!isSeen || this.#reader !== reader) await this.current();
  }

  close(): void {
    this.#closed = true;
    this.#retry?.[Symbol.dispose]();
    this.#reader?.close();
    this.#fail(closedError());
  }

  async #put(record: unknown, messageId: string, body?: Uint8Array): Promise<void> {
    await this.#made?.();
    const text = JSON.stringify(record);
    const put = (): Promise<void> =>
      this.#session.own.putAgain(
        { exchange: "", routingKey: this.#queue },
        body ?? Buffer.from(text),
        body === undefined ? { messageId, deliveryMode: 2 } : { messageId, deliveryMode: 2, headers: { r: text } },
      );
    try {
      await put();
    } catch (error) {
      if ((error as DriverError).code !== "BUS_NOT_FOUND") throw error;
      await this.#declare();
      await put();
    }
  }

  /** It is stored, and so it comes, behind what comes before it: only silence tells that it does not. */
  #expect(id: string, waiter: Waiter, since: number): void {
    const { clock, options } = this.#session;
    const until = Math.max(since, this.#heard) + options.confirmTimeoutMs;
    waiter.timer = clock.after(Math.max(until - clock.ticks(), 1), () => {
      if (Math.max(since, this.#heard) + options.confirmTimeoutMs > clock.ticks())
        return this.#expect(id, waiter, since);
      this.#waiters.delete(id);
      this.#silent();
      waiter.reject(
        new DriverError("BUS_TIMEOUT", `rabbitmq: "${this.#queue}" could not be read in time`, { retryable: true }),
      );
    });
  }

  /** Of a log that was made again we might wait for an offset that it never reaches. */
  #silent(): void {
    const reader = this.#reader;
    if (reader === undefined) return; // it is just being opened again
    this.#reader = undefined;
    reader.close();
    if (this.#anew === undefined) this.#begin();
    this.#again();
  }

  #follow(): Promise<void> {
    if (this.#closed) return Promise.reject(closedError());
    if (this.#opening !== undefined) return this.#opening;
    const opening = this.#open();
    this.#opening = opening;
    opening.catch(() => {
      if (this.#opening === opening) this.#opening = undefined;
    });
    return opening;
  }

  async #open(): Promise<void> {
    await this.#made?.();
    try {
      await this.#read();
    } catch (error) {
      if (!isMissing(error)) throw error;
      await this.#declare();
      this.#begin();
      await this.#read();
    }
  }

  async #read(): Promise<void> {
    const reader = new LogReader(this.#session, this.#queue, {
      record: (message, offset) => {
        if (this.#reader === reader) this.#take(message, offset);
      },
      ended: (error, missing) => {
        if (this.#reader !== reader) return;
        this.#reader = undefined;
        this.#fail(notConnected(error));
        if (missing) this.#begin();
        this.#again();
      },
    });
    this.#reader = reader;
    try {
      await reader.open(this.#next, prefetch);
    } catch (error) {
      if (this.#reader === reader) this.#reader = undefined;
      throw error;
    }
    if (this.#closed) reader.close();
    else if (this.#anew !== undefined) this.#finish();
  }

  #take(message: AmqpDelivery, offset: number): void {
    if (this.#next !== "first" && offset < this.#next) return; // a chunk is given whole
    this.#next = offset + 1;
    this.#heard = this.#session.clock.ticks();
    const { messageId = "", headers } = message.properties;
    const record = parsed(typeof headers?.["r"] === "string" ? headers["r"] : message.content);
    if (record !== null && record !== undefined)
      this.#folding.take(this.#anew?.state ?? this.#state, record, message, offset);
    const waiter = this.#waiters.get(messageId);
    if (waiter === undefined) return;
    this.#waiters.delete(messageId);
    waiter.timer?.[Symbol.dispose]();
    this.#replace(); // what waits was written after all that was in force
    waiter.resolve();
  }

  #begin(): void {
    if (this.#next === "first" && this.#anew === undefined) return; // nothing is folded
    this.#anew = { state: this.#folding.begin() };
    this.#next = "first";
  }

  /** Also when nobody else waits it is read to its end. */
  #finish(): void {
    if (this.#anew === undefined || this.#closed) return;
    this.current().catch(() => {
      if (this.#closed) return;
      this.#session.clock.after(againMs, () => {
        if (this.#reader !== undefined) this.#finish(); // who opens it again does it too
      });
    });
  }

  #replace(): void {
    if (this.#anew === undefined) return;
    this.#state = this.#anew.state;
    this.#anew = undefined;
    this.#folding.replaced?.();
  }

  /** Whoever folds goes on by itself, so that what others change becomes known here. */
  #again(): void {
    this.#opening = undefined;
    if (this.#closed) return;
    this.#retry?.[Symbol.dispose]();
    this.#retry = this.#session.clock.after(againMs, () => {
      this.#follow().catch(() => this.#again());
    });
  }

  #fail(error: unknown): void {
    const waiting = [...this.#waiters.values()];
    this.#waiters.clear();
    for (const waiter of waiting) {
      waiter.timer?.[Symbol.dispose]();
      waiter.reject(error);
    }
  }
}

function parsed(text: string | Buffer): unknown {
  try {
    return JSON.parse(String(text));
  } catch {
    return undefined; // another program's
  }
}
