import assert from "node:assert/strict";
import type { Bus } from "../../index.ts";
import { loud } from "../invariants/faults.ts";
import { idsOf, summary, type Violation } from "../invariants/history.ts";
import { isFull, seed } from "../settings.ts";
import { until, within } from "../until.ts";
import { ticks } from "./journal.ts";
import { answersAgain, deliversAgain, type FaultWindow, firstFresh, judge } from "./judgement.ts";
import type { Load } from "./load.ts";
import type { RecoveryLab } from "./recovery-lab.ts";

/** DESIGN.md, After an outage: how soon every subscription delivers again. */
export const againMs = 5_000;
const drainMs = isFull ? 120_000 : 45_000;

export interface Aftermath {
  readonly faults: readonly FaultWindow[];
  /** Since when everybody must get something new. */
  readonly since: number;
  /** Within what time. @default 5_000 */
  readonly withinMs?: number | undefined;
  /** Whether the tail was there before the first event. @default true */
  readonly tail?: boolean | undefined;
  readonly disowned?: FaultWindow | undefined;
}

/** Resolves when everybody gets something new, is asked and answers, and `health` is up: with the time of that. */
export async function recovered(
  lab: RecoveryLab,
  load: Load,
  since: number,
  withinMs: number = againMs,
): Promise<number> {
  const readers = [...load.groups, undefined];
  let up = "";
  await until(
    async () => {
      if (readers.some((group) => firstFresh(lab.journal.history, group, since) === undefined)) return false;
      if (!load.answeredAt.some((at) => at > since)) return false;
      const healths = await Promise.all(load.buses.map((bus) => bus.health({ timeoutMs: 2_000 })));
      up = healths.map(({ status, reasons }) => `${status} (${reasons.join("; ")})`).join(", ");
      return healths.every(({ status }) => status === "up");
    },
    () => {
      const fresh = readers.map(
        (group) => `${group ?? "tail"}: ${firstFresh(lab.journal.history, group, since) !== undefined}`,
      );
      return `everything to flow again; new: ${fresh.join(", ")}; answered: ${load.answeredAt.some((at) => at > since)}; health: ${up}`;
    },
    withinMs + 10_000, // how late it is, is for the judgement to say
  );
  return ticks();
}

/** Ends the load, waits until the groups have settled everything, and holds what happened against the invariants. */
export async function assertRecovered(lab: RecoveryLab, load: Load, after: Aftermath): Promise<void> {
  const { driver, journal } = lab;
  await load.stop();
  const operator = await lab.bus();
  await drained(operator, load.groups);
  const stored = driver.capabilities.replay ? await storedIds(lab, operator, load) : undefined;
  const letters = await Promise.all(load.groups.map((group) => operator.deadLetters.count({ group })));
  const lost = load.consumers
    .flatMap((bus) => lab.said(bus))
    .flatMap((status) => (status.type === "messages-lost" ? [status.stream] : []));
  await lab.closeAll();

  const { history } = journal;
  const ofGroups = lost.filter((of) => of.startsWith('group "'));
  const { since, withinMs = againMs, tail = true } = after;
  console.info(
    `${driver.name}: new events after ${[...load.groups, undefined].map((group) => Math.round((firstFresh(history, group, since) ?? NaN) - since)).join(", ")} ms; seed ${seed}, ${JSON.stringify(summary(history))}`,
  );
  const violations: Violation[] = [
    ...judge({
      history,
      capabilities: driver.capabilities,
      groups: load.groups,
      ordered: load.ordered,
      tail: tail && lost.length === ofGroups.length,
      stored,
      faults: after.faults,
      repeatsMs: lab.repeatsMs,
      disowned: after.disowned,
    }),
    ...deliversAgain(history, [...load.groups, undefined], since, withinMs),
    ...answersAgain(load.answeredAt, since, withinMs),
    ...loud([], [], lab.watch.complaints),
  ];
  assertNone(violations);
  if (after.disowned === undefined) assert.deepEqual(ofGroups, [], "what lost nothing does not say that it did");
  assert.deepEqual(letters, [0, 0], "no handler failed, and nothing was given up");
}

/** Named by the first few of their ids: what is violated is, as a rule, violated often. */
export function assertNone(violations: readonly Violation[]): void {
  assert.deepEqual(
    violations.map(({ invariant, message, ids }) => `${invariant}: ${message} ${ids.slice(0, 5).join(" ")}`.trim()),
    [],
  );
}

/** Nothing waits and nothing is in anybody's hands. */
export async function drained(bus: Bus, groups: readonly string[]): Promise<void> {
  for (const group of groups) {
    let state = "";
    await until(
      async () => {
        const { waiting, inFlight } = await bus.groups.info(group);
        state = `${waiting} wait, ${inFlight} are in flight`;
        return waiting + inFlight === 0;
      },
      () => `group ${group} to settle everything: ${state}`,
      drainMs,
    );
  }
}

/** The ids of what is stored, each as often as it is: a new group reads all of it, undisturbed. */
export async function storedIds(
  lab: RecoveryLab,
  bus: Bus,
  { item }: Pick<Load, "item">,
  group: string = lab.group("audit"),
): Promise<readonly string[]> {
  const ids: string[] = [];
  const subscription = await bus.subscribe(item, ({ id }) => void ids.push(id), {
    group,
    order: "none",
    from: "oldest",
  });
  await drained(bus, [group]);
  await within(subscription.unsubscribe(), "the audit's end");
  await bus.groups.delete(group);
  return ids;
}

/** The buses were told so: the fault reached them. */
export function assertSaid(
  lab: RecoveryLab,
  buses: readonly Bus[],
  type: "disconnected" | "reconnecting" | "messages-lost",
): void {
  for (const [index, bus] of buses.entries())
    assert.ok(
      lab.said(bus).some((status) => status.type === type),
      `bus ${index} was told: ${[...new Set(lab.said(bus).map((status) => status.type))].join(", ")}, and not "${type}"`,
    );
}

/** Something ended otherwise than well, or came again: the fault hit what was under way (I12). */
export function assertHit(lab: RecoveryLab): void {
  const { history } = lab.journal;
  const failed = idsOf(history, "publish-failed", "publish-unknown").size;
  const runs = history.filter(({ op }) => op === "handling");
  const again = runs.length - new Set(runs.map(({ group, id }) => `${group}/${id}`)).size;
  assert.ok(failed + again > 0, "invalid: the fault hit nothing, every publish went well and nothing came again");
}
