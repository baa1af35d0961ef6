import type { Clock } from "../../src/clock.ts";

interface Timer {
  readonly due: number;
  readonly order: number;
  readonly callback: () => void;
}

/**
 * A clock that moves only when told. `soon` still means the end of the real turn, so that promises and drivers go on by
 * themselves; only time stands still. Chance is a seeded generator: the same seed gives the same run.
 */
export class ManualClock implements Clock {
  readonly #timers = new Set<Timer>();
  #now: number;
  #ticks = 0;
  #order = 0;
  #seed: number;

  constructor(options: { readonly now?: number; readonly seed?: number } = {}) {
    this.#now = options.now ?? Date.UTC(2026, 0, 1);
    this.#seed = options.seed ?? 1;
  }

  /** Timers that are set. */
  get timers(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#now;
  }

  ticks(): number {
    return this.#ticks;
  }

  after(ms: number, callback: () => void): Disposable {
    const timer: Timer = {
      due: this.#ticks + Math.min(Math.max(Number.isNaN(ms) ? 0 : ms, 0), 2 ** 31 - 1),
      order: this.#order++,
      callback,
    };
    this.#timers.add(timer);
    return { [Symbol.dispose]: () => void this.#timers.delete(timer) };
  }

  soon(callback: () => void): void {
    setImmediate(callback);
  }

  random(): number {
    // mulberry32
    this.#seed = (this.#seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#seed ^ (this.#seed >>> 15), this.#seed | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  /** Moves both times on and fires what falls due, in order, each at its own time; timers set meanwhile too. Synchronous. */
  advance(ms: number): void {
    const end = this.#ticks + ms;
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#timers.delete(next);
      this.#move(next.due);
      next.callback();
    }
    this.#move(end);
  }

  /** Moves the wall clock alone, as an administrator would. */
  jump(ms: number): void {
    this.#now += ms;
  }

  /** As `advance`, but with turns of the event loop after each timer and at the end, so that what a timer starts can go on. */
  async pass(ms: number, turns = 3): Promise<void> {
    const end = this.#ticks + ms;
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.advance(Math.max(next.due - this.#ticks, 0));
      await this.turns(turns);
    }
    this.advance(Math.max(end - this.#ticks, 0));
    await this.turns(turns);
  }

  /** Lets that many turns of the event loop go by. */
  async turns(count = 3): Promise<void> {
    for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }

  #move(ticks: number): void {
    const step = Math.max(ticks - this.#ticks, 0);
    this.#ticks += step;
    this.#now += step;
  }

  #next(end: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (
        timer.due > end ||
        (first !== undefined && (first.due < timer.due || (first.due === timer.due && first.order < timer.order)))
      )
        continue;
      first = timer;
    }
    return first;
  }
}
