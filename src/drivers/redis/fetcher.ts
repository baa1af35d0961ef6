import { classify, replyWord } from "./errors.ts";
import { FrameReader } from "./frame.ts";
import { type RedisMessage, readDelivered } from "./message.ts";
import type { Seat } from "./seat.ts";
import { fetchScript } from "./scripts/fetch.ts";
import type { Session } from "./session.ts";

/** One answer of the fetch script. */
export interface Fetched {
  readonly more: boolean;
  readonly lost: string;
  /** Ref → cursor of those that may have more (ordered). */
  readonly cursors: ReadonlyMap<string, string>;
  readonly messages: readonly RedisMessage[];
}

export interface FetchRequest {
  readonly messages: number;
  readonly bytes: number;
  readonly step: number;
  /** Be woken when nothing is left. */
  readonly idle: boolean;
  /** It was woken for this, before all others (unordered). */
  readonly woken?: boolean | undefined;
  readonly refs: readonly string[];
}

export interface FetchListener {
  /** What to ask for now; undefined: nothing. */
  request(): FetchRequest | undefined;
  /** Taken in, before the next request; what is to be delivered. */
  took(request: FetchRequest, fetched: Fetched): readonly RedisMessage[];
  /** The server refused it, so nothing of it ran. */
  refused(request: FetchRequest): void;
  deliver(messages: readonly RedisMessage[]): void;
  /** It may be time: nobody told us for a while, or something is due. */
  poll(): void;
  stale(): void;
  gone(error: unknown): void;
}

const spreadMs = 20;

/** When to fetch: one script at a time, the next one before the last one's messages are handed out. */
export class Fetcher {
  readonly #session: Session;
  readonly #listener: FetchListener;
  #seat: Seat;
  #busy = false;
  #scheduled = false;
  #paused = false;
  #stopped = false;
  #poll: Disposable | undefined = undefined;
  #due: Disposable | undefined = undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  #quiet: (() => void)[] = [];

  constructor(session: Session, seat: Seat, listener: FetchListener) {
    this.#session = session;
    this.#seat = seat;
    this.#listener = listener;
    this.#pollLater();
  }

  get seat(): Seat {
    return this.#seat;
  }

  use(seat: Seat): void {
    this.#seat = seat;
    this.resume();
  }

  /** Something may be there, or there is room. */
  look(): void {
    if (this.#scheduled || this.#busy || this.#paused || this.#stopped) return;
    this.#scheduled = true;
    this.#session.clock.soon(() => {
      this.#scheduled = false;
      this.#fetch();
    });
  }

  /** Something will be there. */
  due(ms: number): void {
    const at = this.#session.clock.ticks() + ms;
    if (at >= this.#dueAt || this.#stopped) return;
    this.#due?.[Symbol.dispose]();
    this.#dueAt = at;
    const spread = ms === 0 ? 0 : this.#session.clock.random() * Math.min(spreadMs, ms / 4);
    this.#due = this.#session.clock.after(ms + spread, () => {
      this.#dueAt = Number.POSITIVE_INFINITY;
      this.#listener.poll();
      this.look();
    });
  }

  /** Until `resume`: what we hold is to be compared first. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.look();
  }

  /** Resolves when none is under way any more. */
  stop(): Promise<void> {
    this.#stopped = true;
    this.#poll?.[Symbol.dispose]();
    this.#due?.[Symbol.dispose]();
    if (!this.#busy) return Promise.resolve();
    return new Promise((resolve) => void this.#quiet.push(resolve));
  }

  #pollLater(): void {
    this.#poll = this.#session.clock.after(this.#session.options.pollMs, () => {
      this.#pollLater();
      this.#listener.poll();
      this.look();
    });
  }

  #fetch(): void {
    if (this.#busy || this.#paused || this.#stopped || !this.#session.isUp) return;
    const request = this.#listener.request();
    if (request === undefined) return;
    const seat = this.#seat;
    this.#busy = true;
    const { messages, bytes, step, idle, woken, refs } = request;
    const member = this.#session.context.member.id;
    const head = [
      member,
      String(messages),
      String(bytes),
      String(step),
      (idle ? "i" : "") + (woken === true ? "w" : ""),
    ];
    seat.run(fetchScript, [...head, ...refs]).then(
      (answer) => this.#answered(seat, request, answer as Buffer),
      (error: unknown) => this.#failed(seat, request, error),
    );
  }

  #answered(seat: Seat, request: FetchRequest, answer: Buffer): void {
    this.#busy = false;
    if (seat !== this.#seat) {
      this.#fetch();
      return this.#idle();
    }
    let fetched: Fetched;
    try {
      fetched = this.#read(answer);
    } catch (error) {
      this.#listener.gone(error);
      return this.#idle();
    }
    const messages = this.#listener.took(request, fetched);
    this.#fetch();
    if (messages.length > 0) this.#listener.deliver(messages);
    this.#idle();
  }

  #read(answer: Buffer): Fetched {
    const reader = new FrameReader(answer);
    const more = reader.text() === "m";
    const due = reader.text();
    const lost = reader.text();
    const cursors = new Map<string, string>();
    for (let count = Number(reader.text()); count > 0; count -= 1) cursors.set(reader.text(), reader.text());
    if (due !== "") this.due(Number(due));
    return { more, lost, cursors, messages: readDelivered(reader, this.#session.keys, this.#session.clock.now()) };
  }

  #failed(seat: Seat, request: FetchRequest, error: unknown): void {
    this.#busy = false;
    if (seat !== this.#seat) this.#fetch();
    else if (!this.#stopped) {
      const word = replyWord(error);
      if (word !== undefined) this.#listener.refused(request);
      if (word === "STALE") this.#listener.stale();
      else if (word !== undefined && !classify(error).retryable) this.#listener.gone(error);
      // anything else: the next poll, or the reconnect
    }
    this.#idle();
  }

  #idle(): void {
    if (this.#busy) return;
    for (const resolve of this.#quiet.splice(0)) resolve();
  }
}
