interface Clock {
  now(): number;
  after(ms: number, callback: () => void): Disposable;
}

/** Rings once at the earliest of the times that it was set to, by the wall clock. */
export class Alarm {
  readonly #clock: Clock;
  readonly #ring: () => void;
  #due: number = Number.POSITIVE_INFINITY;
  #timer: Disposable | undefined;

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock;
    this.#ring = ring;
  }

  set(time: number): void {
    if (time >= this.#due) return;
    this.#due = time;
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#clock.after(time - this.#clock.now(), this.#rung);
  }

  /** The wall clock may have jumped: rings if it is time. */
  check(): void {
    if (this.#clock.now() >= this.#due) this.#rung();
  }

  clear(): void {
    this.#due = Number.POSITIVE_INFINITY;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  readonly #rung = (): void => {
    const early = this.#due - this.#clock.now();
    this.clear();
    // A timer may be a little early, and is where the wait was longer than a timer can be.
    if (early > 0) this.set(this.#clock.now() + early);
    else this.#ring();
  };
}
