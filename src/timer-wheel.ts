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

/**
 * Many coarse timers on one real one: setting and cancelling cost no timer of the machine. A callback comes at its time or up
 * to one tick (10 ms) later, never before. Nothing is kept alive while no timer is set.
 */
export class TimerWheel {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #heads: WheelTimer[] = Array.from({ length: slots }, () => new WheelTimer());
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
    timer.due = Math.min(
      Math.max(Math.ceil(now + Math.max(Number.isNaN(ms) ? 0 : ms, 0) / this.#tickMs), this.#tick + 1),
      Number.MAX_SAFE_INTEGER,
    );
    const head = this.#heads[timer.due % slots]!;
    timer.previous = head;
    timer.next = head.next;
    if (head.next !== undefined) head.next.previous = timer;
    head.next = timer;
    this.#arm();
  }

  /** Forgets every timer, and every one that is set from now on. */
  close(): void {
    this.#closed = true;
    this.clear();
  }

  /** Forgets every timer. */
  clear(): void {
    const forgotten: WheelTimer[] = [];
    for (const head of this.#heads) {
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
    const until = Math.floor(this.#clock.ticks() / this.#tickMs);
    const from = Math.max(this.#tick, until - slots); // after a long pause one round sees every slot
    const kept: WheelTimer[] = [];
    for (let tick = from + 1; tick <= until; tick += 1) {
      for (let timer = this.#heads[tick % slots]!.next; timer !== undefined; timer = timer.next)
        if (timer.due <= until) kept.push(timer);
    }
    this.#tick = Math.max(until, this.#tick);
    for (const timer of kept) {
      if (timer.previous === undefined || timer.due > until) continue; // cancelled or set again by one before it
      timer.cancel();
      timer.fire();
    }
    this.#turning = false;
    if (this.#heads.some((head) => head.next !== undefined)) this.#arm();
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
