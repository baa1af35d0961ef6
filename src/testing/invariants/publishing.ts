import { type HistoryRecord, idsOf, type Violation } from "./history.ts";

/** I4: what was acknowledged is at the broker: give the ids that it has, or that were handled. */
export function acknowledgedIsStored(history: readonly HistoryRecord[], stored: ReadonlySet<string>): Violation[] {
  const missing = [...idsOf(history, "published")].filter((id) => !stored.has(id));
  return missing.length === 0
    ? []
    : [{ invariant: "I4", message: `${missing.length} acknowledged, and not stored`, ids: missing }];
}

/** I5: what was definitely refused appears nowhere, unless a later try with its id was not refused. */
export function definiteFailures(history: readonly HistoryRecord[], stored: ReadonlySet<string>): Violation[] {
  const open = idsOf(history, "published", "publish-unknown");
  const seen = new Set([...idsOf(history, "handling", "handled", "effect", "dead-lettered"), ...stored]);
  const ids = [...idsOf(history, "publish-failed")].filter((id) => !open.has(id) && seen.has(id));
  return ids.length === 0 ? [] : [{ invariant: "I5", message: `${ids.length} refused, and yet there`, ids }];
}
