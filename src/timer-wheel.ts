import type { Clock } from "./clock.ts";
import { forNobody } from "./context.ts";

/** One appointment at a time. Cancelling it twice, or after it was kept, does nothing. A subclass says in `fire` what happens. */
export class WheelTimer {
  /** In ticks of the wheel. */
  due = 0;
  previous: WheelTimer | undefined = undefined;
  next: WheelTimer | undefined = undefined;

  fire(): void {
    // the head of a slot never fires
  }

  /** The wheel ends before its time. */
  forget(): void {
    // nobody waits for it
  }

  cancel(): void {
    if (this.previous === undefined) return;
    this.previous.next = this.next;
    if (this.next !== undefined) this.next.previous = this.previous;
    this.previous = undefined;
    this.next = undefined;
  }
}

class Callback extends WheelTimer {
  readonly #callback: () => void;
  readonly #forgotten: (() => void) | undefined;

  constructor(callback: () => void, forgotten: (() => void) | undefined) {
    super();
    this.#callback = callback;
    this.#forgotten = forgotten;
  }

  override forget(): void {
    this.#forgotten?.();
  }

  override fire(): void {
    this.#callback();
  }
}

const slots = 512;
const never = Number.MAX_SAFE_INTEGER;
const longestMs = 2 ** 50;

/**
 * Many coarse timers on one real one: setting and cancelling cost no timer of the machine. A callback comes at its time or up
 * to one tick (10 ms) later, never before. Nothing is kept alive while no timer is set.
 */
export class TimerWheel {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #heads: WheelTimer[] = Array.from({ length: slots }, () => new WheelTimer());
  /** Those that get their slot with the next tick; until then `due` is far away by their time in ms. */
  readonly #fresh = new WheelTimer();
  #tick: number;
  #running: Disposable | undefined;
  #turning = false;
  #closed = false;

  constructor(clock: Clock, tickMs = 10) {
    this.#clock = clock;
    this.#tickMs = tickMs;
    this.#tick = Math.floor(clock.ticks() / tickMs);
  }

  /** Calls back once, `ms` from now; what throws there is the caller's bug and ends the process. `forgotten`: instead, when the wheel is cleared before. */
  set(ms: number, callback: () => void, forgotten?: () => void): WheelTimer {
    const timer = new Callback(callback, forgotten);
    this.start(timer, ms);
    return timer;
  }

  /** Sets a timer of one's own, again if it was set. */
  start(timer: WheelTimer, ms: number): void {
    timer.cancel();
    if (this.#closed) return timer.forget();
    const now = this.#clock.ticks() / this.#tickMs;
    if (this.#running === undefined && !this.#turning) this.#tick = Math.floor(now); // it stood still: it was empty
    this.#place(timer, ms, now);
    this.#arm();
  }

  /**
   * As `start`, but the time begins with the wheel's next tick, so it ends up to a tick later: for what is cancelled long before
   * most of the time, and should not cost a look at the clock.
   */
  startWithNextTick(timer: WheelTimer, ms: number): void {
    timer.cancel();
    if (this.#closed) return timer.forget();
    timer.due = never - Math.ceil(Number.isNaN(ms) ? 0 : Math.min(Math.max(ms, 0), longestMs));
    link(this.#fresh, timer);
    if (this.#running === undefined) this.#arm();
  }

  #place(timer: WheelTimer, ms: number, now: number): void {
    timer.due = Math.min(
      Math.max(Math.ceil(now + Math.max(Number.isNaN(ms) ? 0 : ms, 0) / this.#tickMs), this.#tick + 1),
      never,
    );
    link(this.#heads[timer.due % slots]!, timer);
  }

  /** Forgets every timer, and every one that is set from now on. */
  close(): void {
    this.#closed = true;
    this.clear();
  }

  /** Forgets every timer. */
  clear(): void {
    const forgotten: WheelTimer[] = [];
    for (const head of [...this.#heads, this.#fresh]) {
      while (head.next !== undefined) {
        forgotten.push(head.next);
        head.next.cancel();
      }
    }
    for (const timer of forgotten) timer.forget();
    this.#running?.[Symbol.dispose]();
    this.#running = undefined;
  }

  readonly #turn = (): void => {
    this.#running = undefined;
    this.#turning = true;
    const now = this.#clock.ticks() / this.#tickMs;
    const until = Math.floor(now);
    const from = Math.max(this.#tick, until - slots); // after a long pause one round sees every slot
    const kept: WheelTimer[] = [];
    for (let tick = from + 1; tick <= until; tick += 1) {
      for (let timer = this.#heads[tick % slots]!.next; timer !== undefined; timer = timer.next)
        if (timer.due <= until) kept.push(timer);
    }
    this.#tick = Math.max(until, this.#tick);
    for (let timer = this.#fresh.next; timer !== undefined; timer = this.#fresh.next) {
      timer.cancel();
      this.#place(timer, never - timer.due, now);
    }
    for (const timer of kept) {
      if (timer.previous === undefined || timer.due > until) continue; // cancelled or set again by one before it
      timer.cancel();
      timer.fire();
    }
    this.#turning = false;
    if (this.#fresh.next !== undefined || this.#heads.some((head) => head.next !== undefined)) this.#arm();
  };

  /** For the next tick's beginning, so that lateness does not add up. */
  #arm(): void {
    if (this.#running !== undefined || this.#turning) return;
    const now = this.#clock.ticks();
    this.#running = forNobody(() =>
      this.#clock.after((Math.floor(now / this.#tickMs) + 1) * this.#tickMs - now, this.#turn),
    );
  }
}

function link(head: WheelTimer, timer: WheelTimer): void {
  timer.previous = head;
  timer.next = head.next;
  if (head.next !== undefined) head.next.previous = timer;
  head.next = timer;
}
