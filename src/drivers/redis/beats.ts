import { replyWord } from "./errors.ts";
import { listOf } from "./reply.ts";
import { groupNow, type GroupNow, type Seat } from "./seat.ts";
import { beatScript } from "./scripts/seats.ts";
import type { Session } from "./session.ts";

export interface BeatListener {
  beaten(now: GroupNow): void;
  /** The seat is not alive any more, by the server's word or, when it is silent, by our own clock. */
  stale(): void;
  gone(error: unknown): void;
}

/** Renews a seat, and brings the news of its group: at regular times, when members change, and after a reconnect. */
export class Beats {
  readonly #session: Session;
  readonly #listener: BeatListener;
  readonly #hears: Disposable;
  #seat: Seat;
  #rev: string;
  #timer: Disposable | undefined = undefined;
  /** By our clock, when the last beat that was answered was sent. */
  #renewedAt: number;
  #busy = false;
  #again = false;
  #over = false;

  constructor(session: Session, seat: Seat, rev: string, joinedAt: number, listener: BeatListener) {
    this.#session = session;
    this.#seat = seat;
    this.#rev = rev;
    this.#renewedAt = joinedAt;
    this.#listener = listener;
    this.#hears = session.onEvent("m", (group) => {
      if (group === seat.group) this.now();
    });
    this.#later();
  }

  /** Another seat in the same group. */
  use(seat: Seat, rev: string, joinedAt: number): void {
    this.#seat = seat;
    this.#rev = rev;
    this.#renewedAt = joinedAt;
    this.now();
  }

  /** As soon as the one that is under way is answered. */
  now(): void {
    if (this.#over) return;
    if (this.#busy) this.#again = true;
    else void this.#beat();
  }

  stop(): void {
    this.#over = true;
    this.#hears[Symbol.dispose]();
    this.#timer?.[Symbol.dispose]();
  }

  #later(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#session.clock.after(this.#session.options.leaseMs / 3, () => {
      if (this.#over) return;
      if (this.#session.clock.ticks() - this.#renewedAt > this.#session.options.leaseMs) this.#listener.stale();
      this.#later();
      this.now();
    });
  }

  async #beat(): Promise<void> {
    if (!this.#session.isUp) return;
    this.#busy = true;
    this.#again = false;
    const seat = this.#seat;
    const sentAt = this.#session.clock.ticks();
    try {
      const answer = listOf(
        await seat.run(beatScript, [String(this.#session.options.leaseMs), this.#rev, seat.heard.join(" ")]),
      );
      if (!this.#over && seat === this.#seat) {
        this.#renewedAt = sentAt;
        const now = groupNow(answer);
        this.#rev = now.rev;
        this.#listener.beaten(now);
      }
    } catch (error) {
      if (!this.#over && seat === this.#seat) {
        const word = replyWord(error);
        if (word === "STALE") this.#listener.stale();
        else if (word === "GONE") this.#listener.gone(error); // anything else passes, or the lease ends
      }
    } finally {
      this.#busy = false;
    }
    if (this.#again) this.now();
  }
}
