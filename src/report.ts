import type { Core } from "./core.ts";
import type { BusEvent } from "./event.ts";
import { ReceivedEvent } from "./received-event.ts";
import { errorFields } from "./status-board.ts";
import type { BaseRunner } from "./handler-runner.ts";
import type { Runner, Work } from "./work.ts";

const eventOf = (work: Work): BusEvent | undefined =>
  work.envelope === undefined ? undefined : new ReceivedEvent(work.envelope, work.envelope.data);
const fieldsOf = (work: Work, group: string | undefined): Record<string, unknown> => ({
  event: work.envelope?.id,
  type: work.envelope?.type,
  topic: work.message.topic,
  group,
  attempt: work.attempts + 1,
});

/** What is said and counted of a work's end, alike for groups and for subscribers on their own. */
export function reportFailed(core: Core, work: Work, group: string | undefined, runner: Runner, error: unknown): void {
  core.counters.failed += 1;
  core.counters.lastErrorAt = core.clock.now();
  const { counters } = runner as BaseRunner;
  counters.failed += 1;
  counters.lastErrorAt = core.clock.now();
  core.board.say({ type: "handler-failed", event: eventOf(work), group, attempt: work.attempts + 1, error });
  core.board.log("warn", "handler failed", { handler: runner.name, ...fieldsOf(work, group), ...errorFields(error) });
}

export function reportHandled(core: Core, work: Work): void {
  core.counters.handled += 1;
  for (const runner of work.runners) (runner as BaseRunner).counters.handled += 1;
}

export function reportRetried(core: Core, work: Work, group: string | undefined, delayMs: number): void {
  core.counters.retried += 1;
  for (const runner of work.runners) (runner as BaseRunner).counters.retried += 1;
  core.board.log("info", "retried", { ...fieldsOf(work, group), delayMs: Math.round(delayMs) });
}

export function reportDead(core: Core, work: Work, group: string | undefined, error: unknown): void {
  core.counters.deadLettered += 1;
  for (const runner of work.runners) (runner as BaseRunner).counters.deadLettered += 1;
  core.board.say({ type: "dead-lettered", event: eventOf(work), group, attempt: work.attempts, error });
  core.board.log("error", group === undefined ? "given up" : "dead-lettered", {
    ...fieldsOf(work, group),
    attempt: work.attempts,
    ...errorFields(error),
  });
}

export function reportUnhandled(core: Core, work: Work, group: string | undefined, error: unknown): void {
  core.counters.unhandled += 1;
  core.board.say({ type: "unhandled", event: eventOf(work), group, attempt: work.attempts + 1, error });
  core.board.log("warn", "no handler here", { ...fieldsOf(work, group), ...errorFields(error) });
}
