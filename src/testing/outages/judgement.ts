import type { Capabilities } from "../../driver.ts";
import { nothingInvented, nothingLost } from "../invariants/delivery.ts";
import { groupsOf, type HistoryRecord, idsOf, type Violation } from "../invariants/history.ts";
import { keyOrder } from "../invariants/key-order.ts";
import { acknowledgedIsStored, definiteFailures } from "../invariants/publishing.ts";

/** Of one fault, by the journal's clock. */
export interface FaultWindow {
  readonly from: number;
  /** When it was taken off and everybody was seen to be well again. */
  readonly until: number;
  /** Whose acknowledgements it can have taken. @default everybody's */
  readonly process?: string | undefined;
}

export interface Judged {
  readonly history: readonly HistoryRecord[];
  readonly capabilities: Capabilities;
  /** Those that must have got everything that was acknowledged. */
  readonly groups: readonly string[];
  /** Of these, the one that keeps the order of its keys. */
  readonly ordered?: string | undefined;
  /** Whether the tail must have got everything too: nobody said that it lost something. */
  readonly tail?: boolean | undefined;
  /** The ids at the broker, one for each stored message; undefined: it can't be read from its oldest. */
  readonly stored: readonly string[] | undefined;
  readonly faults: readonly FaultWindow[];
  readonly repeatsMs: number;
  /** While nobody could know who owns a key, so that what begins in it is not held to the order. @default never */
  readonly disowned?: FaultWindow | undefined;
}

/** What the invariants say of a history with faults in it. */
export function judge(judged: Judged): Violation[] {
  const { history, capabilities, groups, ordered, tail = false, stored, faults, repeatsMs, disowned } = judged;
  const ids = new Set(stored ?? []);
  const copies = capabilities.dedupeWindowMs === 0 ? publishedWithin(history, faults) : new Set<string>();
  return [
    ...nothingLost(history, { groups: tail ? [...groups, undefined] : groups }),
    ...nothingInvented(history),
    ...definiteFailures(history, ids),
    ...(stored === undefined ? [] : acknowledgedIsStored(history, ids)),
    ...(stored === undefined ? [] : storedOnce(stored, copies)),
    // Where a handover is abrupt the old owner's handler may overlap the new one's.
    ...(ordered === undefined || !capabilities.order || capabilities.handover === "abrupt"
      ? []
      : keyOrder(
          history.filter(
            ({ op, group, at }) =>
              op === "killed" || (group === ordered && !(op === "handling" && isWithin(at, disowned))),
          ),
          { repeats: true },
        )),
    ...repeatsExplained(history, faults, repeatsMs, copies),
  ];
}

/** No id is stored twice, but those whose publishes were tried again at a broker that knows no ids. */
export function storedOnce(stored: readonly string[], copies: ReadonlySet<string> = new Set()): Violation[] {
  const seen = new Set<string>();
  const twice = new Set(stored.filter((id) => !copies.has(id) && seen.size === seen.add(id).size));
  return twice.size === 0
    ? []
    : [{ invariant: "I6", message: `${twice.size} are stored more than once`, ids: [...twice] }];
}

/**
 * What was handled twice was handled for the first time during a fault, or so shortly before that its acknowledgement may have
 * been lost.
 */
export function repeatsExplained(
  history: readonly HistoryRecord[],
  faults: readonly FaultWindow[],
  repeatsMs: number,
  copies: ReadonlySet<string> = new Set(),
): Violation[] {
  const violations: Violation[] = [];
  for (const group of groupsOf(history)) {
    const isExplained = ({ at, process }: HistoryRecord): boolean =>
      faults.some(
        (fault) =>
          at >= fault.from - repeatsMs &&
          at <= fault.until &&
          (fault.process === undefined || fault.process === process),
      );
    const last = new Map<string, HistoryRecord>();
    const ids: string[] = [];
    for (const record of history) {
      const { op, id, group: of } = record;
      if (op !== "handled" || of !== group) continue;
      const before = last.get(id);
      if (before !== undefined && !copies.has(id) && !isExplained(before)) ids.push(id);
      last.set(id, record);
    }
    if (ids.length > 0)
      violations.push({
        invariant: "I6",
        message: `${ids.length} were handled again in ${group ?? "no group"} that no fault explains`,
        ids,
      });
  }
  return violations;
}

/** When a reader (undefined: the tail) first got something whose publish began after `since`. */
export function firstFresh(
  history: readonly HistoryRecord[],
  group: string | undefined,
  since: number,
): number | undefined {
  const fresh = idsOf(
    history.filter(({ at }) => at > since),
    "publish-started",
  );
  return history.find(({ op, group: of, id }) => op === "handling" && of === group && fresh.has(id))?.at;
}

/** How many handlers that began before that still run. */
export function stillRunning(history: readonly HistoryRecord[], begunBefore: number): number {
  const running = new Set<string>();
  for (const { op, process, group, id, at } of history) {
    const run = `${process} ${group} ${id}`;
    if (op === "handling" && at < begunBefore) running.add(run);
    else if (op === "handled" || op === "handler-failed") running.delete(run);
  }
  return running.size;
}

/** I9: every reader got something new soon after the fault was taken off. */
export function deliversAgain(
  history: readonly HistoryRecord[],
  groups: readonly (string | undefined)[],
  since: number,
  withinMs: number,
): Violation[] {
  return groups.flatMap((group) => {
    const who = group === undefined ? "the tail" : `group ${group}`;
    return soon(who, firstFresh(history, group, since), since, withinMs);
  });
}

/** I9 of the direct lane: requests are answered soon after the fault was taken off. */
export const answersAgain = (answeredAt: readonly number[], since: number, withinMs: number): Violation[] =>
  soon(
    "the requester",
    answeredAt.find((at) => at > since),
    since,
    withinMs,
  );

function soon(who: string, at: number | undefined, since: number, withinMs: number): Violation[] {
  if (at !== undefined && at - since <= withinMs) return [];
  const message = at === undefined ? "got nothing new" : `got something new after ${Math.round(at - since)} ms`;
  return [{ invariant: "I9", message: `${who} ${message}, ${withinMs} are allowed`, ids: [] }];
}

/** Ids whose publish was under way during a fault. */
function publishedWithin(history: readonly HistoryRecord[], faults: readonly FaultWindow[]): Set<string> {
  const ids = new Set<string>();
  for (const { from, until } of faults) {
    const ended = idsOf(
      history.filter(({ at }) => at < from),
      "published",
    );
    for (const { op, id, at } of history) if (op === "publish-started" && at <= until && !ended.has(id)) ids.add(id);
  }
  return ids;
}

const isWithin = (at: number, window: FaultWindow | undefined): boolean =>
  window !== undefined && at >= window.from && at <= window.until;
