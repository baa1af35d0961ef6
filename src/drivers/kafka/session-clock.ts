/**
 * Until when the coordinator counts a member as alive for certain: it counts from when it hears of it, and this from when that
 * was sent, so this ends first. All times by `Clock.ticks`. Pure.
 */
export class SessionClock {
  readonly #sessionMs: number;
  #confirmed: number;

  constructor(sessionMs: number, now: number) {
    this.#sessionMs = sessionMs;
    this.#confirmed = now;
  }

  /** Something that was sent then was answered, as one of a member. */
  answered(sentAt: number): void {
    this.#confirmed = Math.max(this.#confirmed, sentAt);
  }

  /** When others may have what it holds. */
  get endsAt(): number {
    return this.#confirmed + this.#sessionMs;
  }

  isOver(now: number): boolean {
    return now >= this.endsAt;
  }

  /** Nothing new is begun in the second half: what is begun needs some time. */
  mayBegin(now: number): boolean {
    return now < this.#confirmed + this.#sessionMs / 2;
  }
}
