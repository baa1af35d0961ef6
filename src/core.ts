import type { Clock } from "./clock.ts";
import type { Counters } from "./counters.ts";
import type { UuidSource } from "./internal/uuid.ts";
import type { ResolvedOptions } from "./normalise.ts";
import type { Standstill } from "./standstill.ts";
import type { StatusBoard } from "./status-board.ts";
import type { TimerWheel } from "./timer-wheel.ts";

/** What every part of one bus shares. */
export interface Core {
  readonly options: ResolvedOptions;
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly standstill: Standstill;
  readonly ids: UuidSource;
  readonly counters: Counters;
  readonly board: StatusBoard;
}
