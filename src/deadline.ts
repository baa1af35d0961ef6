import { BusError } from "./errors.ts";
import type { TimerWheel, WheelTimer } from "./timer-wheel.ts";

export const aborted = (signal: AbortSignal): Promise<void> =>
  signal.aborted
    ? Promise.resolve()
    : new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));

/** Resolves to true when the work did, to false when `ms` passed before; rejects as the work does, or with BUS_ABORTED. */
export function within(wheel: TimerWheel, ms: number, work: Promise<unknown>, signal?: AbortSignal): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const abort = (): void => finish(() => reject(new BusError("BUS_ABORTED", "aborted by the caller")));
    const finish = (end: () => void): void => {
      timer?.cancel();
      signal?.removeEventListener("abort", abort);
      end();
    };
    const late = (): void => finish(() => resolve(false));
    let timer: WheelTimer | undefined = undefined;
    timer = wheel.set(ms, late, late); // of a wheel that is closed it is late at once
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted === true) abort();
    work.then(
      () => finish(() => resolve(true)),
      (error: Error) => finish(() => reject(error)),
    );
  });
}
