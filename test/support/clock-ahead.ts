import { type Clock, systemClock } from "../../src/clock.ts";

/** The system's clock, and so much later; timers go off as they were set. */
export class ClockAhead implements Clock {
  ms = 0;
  readonly after: Clock["after"] = (ms, callback) => systemClock.after(ms, callback);
  readonly soon: Clock["soon"] = (callback) => systemClock.soon(callback);
  readonly random: Clock["random"] = () => systemClock.random();
  readonly now: Clock["now"] = () => systemClock.now() + this.ms;
  readonly ticks: Clock["ticks"] = () => systemClock.ticks() + this.ms;
}
