import { performance } from "node:perf_hooks"; // the global one is looked up anew each time

/**
 * Time and chance, the only way by which the core and the drivers reach them, so that a simulation can own both. Three
 * clocks in one: `now` is the wall clock (it may jump, and is what other processes see), `ticks` never goes back and is
 * what time-outs are measured with, `after` is a timer.
 */
export interface Clock {
  /** Milliseconds since the epoch, by the wall clock. */
  now(): number;
  /** Milliseconds since some start; never goes back, whatever happens to the wall clock. */
  ticks(): number;
  /** Calls back once after `ms` (clamped to 0…2^31-1; NaN counts as 0). Disposing it in time prevents the call. */
  after(ms: number, callback: () => void): Disposable;
  /** Calls back at the end of this turn of the event loop. */
  soon(callback: () => void): void;
  /** Uniform in [0, 1), from a cryptographic source: ids and inbox addresses are made of it. */
  random(): number;
}

const longestTimerMs = 2 ** 31 - 1; // beyond it Node fires after 1 ms
const pool = new Uint32Array(2_048);
let poolUsed = pool.length;

function nextRandom(): number {
  if (poolUsed >= pool.length) {
    crypto.getRandomValues(pool);
    poolUsed = 0;
  }
  return pool[poolUsed++]! / 0x1_0000_0000;
}

class Timer implements Disposable {
  readonly #handle: NodeJS.Timeout;

  constructor(ms: number, callback: () => void) {
    this.#handle = setTimeout(callback, Math.min(Math.max(Number.isNaN(ms) ? 0 : ms, 0), longestTimerMs));
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#handle);
  }
}

/** The machine's own clock. Its timers keep the process alive while they run. */
export const systemClock: Clock = {
  now: () => Date.now(),
  ticks: () => performance.now(),
  after: (ms, callback) => new Timer(ms, callback),
  soon: (callback) => void setImmediate(callback),
  random: nextRandom,
};
