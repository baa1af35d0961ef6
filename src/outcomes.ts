import type { Clock } from "./clock.ts";
import { BusError } from "./errors.ts";
import { noteFailure } from "./message-history.ts";
import { decideRetry } from "./retry-decision.ts";
import type { Runner, Work } from "./work.ts";

/** What becomes of a work, decided by the intake and carried out by its owner: a group at the broker, or a subscriber on its own. */
export interface Outcomes {
  /** Before it may start, the first of its key: whether the owner takes it away from here. It calls `resume` or `leave`. */
  takes(work: Work): boolean;
  handled(work: Work): void;
  /** Another attempt after `delayMs`; `attempts` are the runs so far. The owner calls `park`, or `leave` when it gave it back. */
  again(work: Work, attempts: number, delayMs: number): void;
  /** No handler here can take it. */
  unhandled(work: Work, why: string, handOnMs: number): void;
  /** Not handled, and not its fault: to another member, or dropped. */
  back(work: Work): void;
  dead(work: Work, error: unknown): void;
  dropped(work: Work, error: unknown): void;
  failed(work: Work, runner: Runner, error: unknown): void;
  /** Notes durably that a suspect is about to run. Does not reject. */
  note(work: Work, attempts: number): Promise<"done" | "stale" | "unknown">;
  /** What waits here, and is not being handled, changed. */
  load(): void;
  /** It is no longer here. */
  gone(work: Work): void;
}

/** One verdict for all handlers: while one is to be tried again the message stays; at the end one letter names who failed. */
export function decideOutcome(work: Work, outcomes: Outcomes, clock: Clock): void {
  const attempt = work.attempts + 1;
  let delayMs = -1;
  let lastError: unknown;
  for (const { runner, error } of work.failures ?? []) {
    outcomes.failed(work, runner, error);
    lastError = error;
    const decision = decideRetry(runner.retry, work.envelope?.maxAttempts, attempt, error, clock);
    if (decision.kind === "retry") delayMs = Math.max(delayMs, decision.delayMs);
    else if (decision.kind === "dead") (work.givenUp ??= new Set()).add(runner.name);
    else {
      (work.done ??= new Set()).add(runner.name);
      outcomes.dropped(work, error);
    }
  }
  if (work.failures !== undefined) {
    noteFailure(work, lastError, clock.now());
    for (const runner of work.runners)
      if (!work.failures.some((failure) => failure.runner === runner) && !work.handedBack)
        (work.done ??= new Set()).add(runner.name);
  }
  if (delayMs >= 0) outcomes.again(work, attempt, delayMs);
  else if (work.handedBack) outcomes.back(work);
  else if (work.givenUp !== undefined && work.givenUp.size > 0) {
    work.attempts = attempt;
    giveUp(work, outcomes, lastError);
  } else outcomes.handled(work);
}

/** Some handler gave it up, and none is left to run. */
function giveUp(work: Work, outcomes: Outcomes, lastError: unknown): void {
  outcomes.dead(work, lastError ?? new BusError("BUS_HANDLER", work.history.at(-1)?.error ?? "a handler gave it up"));
}
