import { DriverError } from "../../internal/driver-error.ts";
import type { Api } from "./api.ts";
import type { ConsumerConfig } from "./api-types.ts";
import type { ClientMessage } from "./client.ts";
import { apiCode, isApiError } from "./errors.ts";
import { parseReply, type Delivery } from "./message.ts";
import { nothingBetween } from "./nothing-between.ts";
import { Pull } from "./pull.ts";
import type { Session } from "./session.ts";

export type ReaderStart = { readonly seq: number } | { readonly time: number } | "last-per-subject";

export interface ReaderSource {
  /** JetStream's name of the stream. */
  readonly stream: string;
  readonly filters: readonly string[];
  readonly start: ReaderStart;
  readonly headersOnly?: boolean;
  /** When the stream was made: of another one that has its name a sequence means nothing, and the reader is over. */
  readonly created?: string;
}

export interface ReaderListener {
  /** Those of one reading turn, in order, each once. */
  messages(messages: readonly ReaderMessage[]): void;
  /** How much may come now; asked after each turn, and when `ask` is called. Without it: what the reader finds right. */
  room?(): Room;
  /** Everything that was there at the beginning has come; again after each new beginning. */
  caughtUp?(): void;
  /** The stream begins behind what we wanted next: what is between them is gone. */
  gap?(expected: number, first: number): void;
  /** The stream is gone, or may not be read. The reader is over. */
  ended(error: unknown): void;
}

export interface Room {
  readonly messages: number;
  readonly bytes: number;
  /** Nothing is in hand: a message of any size may come. */
  readonly alone: boolean;
}

export interface ReaderMessage {
  readonly raw: ClientMessage;
  readonly delivery: Delivery;
}

class StreamMadeAgain extends DriverError {
  constructor() {
    super("BUS_NOT_FOUND", "nats: the stream was deleted and made again", { retryable: true });
  }
}

const ample: Room = { messages: 1_024, bytes: 16 * 1_048_576, alone: true };
const thresholdMs = 60_000;
const retryMs = 250;
const lookMs = 100;
const leaderMs = 50;

/**
 * Reads a stream in order from a place, over a consumer of its own that the server forgets by itself. After anything odd the
 * consumer is made again where we were, so nothing comes twice and nothing is passed by.
 */
export class Reader {
  readonly #session: Session;
  readonly #api: Api;
  readonly #listener: ReaderListener;
  readonly #watch: Disposable;
  #source: ReaderSource;
  #pull: Pull | undefined;
  /** Of the consumer that we have now. */
  #consumer = "";
  #expected = 1;
  #position: number;
  #caughtUp = false;
  /** The attempt for which the leader is asked. */
  #asking = 0;
  #closed = false;
  /** Counts the beginnings, so that a late one knows that it is. */
  #attempt = 0;

  constructor(session: Session, api: Api, source: ReaderSource, listener: ReaderListener) {
    this.#session = session;
    this.#api = api;
    this.#source = source;
    this.#listener = listener;
    this.#position = typeof source.start === "object" && "seq" in source.start ? source.start.seq - 1 : 0;
    this.#watch = session.watch({ up: () => void this.#again() });
  }

  /** Everything up to here has come, or does not match. */
  get position(): number {
    return this.#position;
  }

  /** Resolves when the server knows where we begin. One try: rejects, and is over. */
  async open(): Promise<void> {
    try {
      await this.#begin();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** There is room again. */
  ask(): void {
    const { messages, bytes, alone } = this.#listener.room?.() ?? ample;
    this.#pull?.want(messages, bytes, alone);
  }

  /** Other filters behind this sequence, or behind where we are; never further back. */
  async refilter(filters: readonly string[], position: number = this.#position): Promise<void> {
    this.#source = { ...this.#source, filters };
    this.#position = Math.max(position, this.#position);
    try {
      await this.#begin();
    } catch (error) {
      void this.#again(); // with these filters
      throw error;
    }
  }

  /** Whether everything that it is to read has come of what is stored up to there. */
  isCaughtUp(last: number): Promise<boolean> {
    const { stream, filters } = this.#source;
    return nothingBetween(this.#api, stream, filters, this.#position + 1, last);
  }

  /** What is under way still comes. */
  async stop(): Promise<void> {
    await this.#pull?.stop();
    this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#attempt += 1;
    this.#watch[Symbol.dispose]();
    this.#leave();
  }

  #leave(): void {
    this.#pull?.close();
    this.#pull = undefined;
    if (this.#consumer !== "" && this.#session.connected && !this.#session.closed)
      void this.#api.deleteConsumer(this.#source.stream, this.#consumer).catch(() => undefined); // forgotten by itself
    this.#consumer = "";
  }

  async #begin(): Promise<void> {
    this.#attempt += 1;
    const attempt = this.#attempt;
    this.#leave();
    const info = await this.#api.createConsumer(this.#source.stream, this.#config());
    const ours = attempt === this.#attempt && (await this.#isSame());
    if (!ours || attempt !== this.#attempt) {
      void this.#api.deleteConsumer(this.#source.stream, info.name).catch(() => undefined); // the same
      if (attempt === this.#attempt) throw new StreamMadeAgain();
      return;
    }
    this.#consumer = info.name;
    this.#expected = 1;
    // one that has delivered nothing says where it would begin, minus one
    if (info.delivered.stream_seq > this.#position) {
      if (this.#position > 0 || "seq" in Object(this.#source.start))
        this.#listener.gap?.(this.#position + 1, info.delivered.stream_seq + 1);
      this.#position = info.delivered.stream_seq;
    }
    const again = (): void => void this.#again();
    this.#pull = new Pull(this.#session, this.#source.stream, info.name, {
      messages: (messages) => this.#arrived(attempt, messages),
      room: () => this.ask(),
      gone: again,
      look: again,
    });
    this.#caughtUp = false;
    this.ask();
    if (info.num_pending === 0) this.#hasCome(attempt);
    else this.#lookLater(attempt);
  }

  /** All that its consumer knew of. In a cluster that may be made on a follower that lags: there it is what the leader has. */
  #hasCome(attempt: number): void {
    if (this.#caughtUp || attempt !== this.#attempt) return;
    if (!this.#session.clustered || this.#listener.caughtUp === undefined) return this.#sayCaughtUp();
    if (this.#asking === attempt) return;
    this.#asking = attempt;
    this.#asTheLeader(attempt).catch((fault: unknown) => this.#session.fault(fault));
  }

  #sayCaughtUp(): void {
    this.#caughtUp = true;
    this.#listener.caughtUp?.();
  }

  async #asTheLeader(attempt: number): Promise<void> {
    const goesOn = (): boolean => attempt === this.#attempt && !this.#caughtUp;
    for (let last: number | undefined; goesOn();) {
      try {
        last ??= (await this.#api.streamInfo(this.#source.stream))?.state.last_seq ?? 0;
        if (await this.isCaughtUp(last)) break;
      } catch {
        // no leader at the moment
      }
      await new Promise<void>((resolve) => void this.#session.clock.after(leaderMs, resolve));
    }
    if (goesOn()) this.#sayCaughtUp();
  }

  /** Asked when the consumer is there: it would have gone with its stream. */
  async #isSame(): Promise<boolean> {
    const { stream, created } = this.#source;
    return created === undefined || (await this.#api.streamInfo(stream))?.created === created;
  }

  /** By the consumer's own count, which was right when it was made as far as the server knew that made it. */
  async #hasAll(): Promise<boolean> {
    const consumer = this.#consumer;
    if (consumer === "") return false;
    const info = await this.#api.consumerInfo(this.#source.stream, consumer);
    return info?.num_pending === 0 && consumer === this.#consumer && info.delivered.consumer_seq === this.#expected - 1;
  }

  /** What was there at the beginning and went before it was delivered never comes: then only the server knows that it was all. */
  #lookLater(attempt: number): void {
    void this.#session.clock.after(lookMs, () => {
      if (attempt !== this.#attempt || this.#caughtUp) return;
      this.#hasAll()
        .catch(() => false) // without an answer it is not known
        .then((caughtUp) => {
          if (attempt !== this.#attempt || this.#caughtUp) return;
          if (!caughtUp) return this.#lookLater(attempt);
          this.#hasCome(attempt);
        })
        .catch((fault: unknown) => this.#session.fault(fault));
    });
  }

  #config(): ConsumerConfig {
    const { filters, start, headersOnly } = this.#source;
    return {
      name: `r=${this.#session.id()}`,
      filter_subjects: filters,
      ack_policy: "none",
      max_deliver: -1,
      inactive_threshold: thresholdMs * 1e6,
      mem_storage: true,
      num_replicas: 1,
      ...(headersOnly === true ? { headers_only: true } : {}),
      ...this.#startOf(start),
    };
  }

  #startOf(start: ReaderStart): Pick<ConsumerConfig, "deliver_policy" | "opt_start_seq" | "opt_start_time"> {
    if (start === "last-per-subject") return { deliver_policy: "last_per_subject" }; // once more all of them
    if (this.#position > 0 || "seq" in start)
      return { deliver_policy: "by_start_sequence", opt_start_seq: this.#position + 1 };
    return { deliver_policy: "by_start_time", opt_start_time: new Date(start.time).toISOString() };
  }

  #arrived(attempt: number, raws: readonly ClientMessage[]): void {
    if (attempt !== this.#attempt) return;
    const messages: ReaderMessage[] = [];
    let pending = 0;
    for (const raw of raws) {
      const delivery = parseReply(raw.reply);
      if (delivery === undefined) continue;
      if (delivery.consumerSequence !== this.#expected) {
        if (messages.length > 0) this.#listener.messages(messages);
        return void this.#again();
      }
      this.#expected += 1;
      this.#position = delivery.sequence;
      pending = delivery.pending;
      messages.push({ raw, delivery });
    }
    this.#listener.messages(messages);
    if (attempt !== this.#attempt) return;
    if (pending === 0) this.#hasCome(attempt);
    this.ask();
  }

  /** Until it stands again, or is known to be for nothing. */
  async #again(): Promise<void> {
    const before = this.#attempt;
    while (!this.#closed && this.#session.connected) {
      try {
        return await this.#begin();
      } catch (error) {
        if (this.#closed) return;
        if (error instanceof StreamMadeAgain || isApiError(error, apiCode.streamNotFound)) {
          this.close();
          return this.#listener.ended(error);
        }
      }
      const attempt = this.#attempt;
      if (attempt - before > 1_000_000) return;
      await new Promise<void>((resolve) => void this.#session.clock.after(retryMs, resolve));
      if (attempt !== this.#attempt) return; // another began meanwhile
    }
  }
}

/** What is there now, from the beginning of its range, at most so many. */
export async function readAll(
  session: Session,
  api: Api,
  source: ReaderSource,
  limit: number = Number.MAX_SAFE_INTEGER,
): Promise<readonly ReaderMessage[]> {
  const found: ReaderMessage[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  promise.catch(() => undefined); // it may be rejected before anybody waits for it
  const reader = new Reader(session, api, source, {
    messages: (messages) => {
      found.push(...messages);
      if (found.length >= limit) resolve();
      else stalled();
    },
    caughtUp: resolve,
    room: () => ({ ...ample, messages: Math.min(Math.max(limit - found.length, 0), ample.messages) }),
    ended: reject,
  });
  let timer: Disposable | undefined;
  const stalled = (): void => {
    timer?.[Symbol.dispose]();
    timer = session.clock.after(session.options.requestTimeoutMs, () => reject(new Error("the listing stalled")));
  };
  try {
    stalled();
    await reader.open();
    await promise;
  } finally {
    timer?.[Symbol.dispose]();
    reader.close();
  }
  return found.slice(0, limit);
}
