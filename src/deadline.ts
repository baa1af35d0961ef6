import type { TimerWheel } from "./timer-wheel.ts";

/** Resolves to true when the work did, to false when `ms` passed before; never rejects for the time. */
export function within(wheel: TimerWheel, ms: number, work: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const timer = wheel.set(ms, () => resolve(false));
    work.then(() => resolve(true), reject).finally(() => timer.cancel());
  });
}
