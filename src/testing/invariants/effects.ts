import { type HistoryRecord, idsOf, type Violation } from "./history.ts";

/** I6: each acknowledged message has one effect. Proves nothing without a duplicate, so one without is a violation too. */
export function effectOnce(history: readonly HistoryRecord[]): Violation[] {
  const effects = history.filter((record) => record.op === "effect");
  const counts = Map.groupBy(effects, (record) => `${record.group}/${record.id}`);
  const repeated = [...counts.values()].filter((records) => records.length > 1).map(([record]) => record?.id ?? "");
  const ids = new Set(effects.map((record) => record.id));
  const missing = [...idsOf(history, "published")].filter((id) => !ids.has(id));
  const runs = history.filter((record) => record.op === "handling").length;
  const violations: Violation[] = [];
  if (repeated.length > 0)
    violations.push({ invariant: "I6", message: `${repeated.length} effects happened twice`, ids: repeated });
  if (missing.length > 0)
    violations.push({ invariant: "I6", message: `${missing.length} effects are missing`, ids: missing });
  if (runs <= counts.size)
    violations.push({ invariant: "I6", message: "nothing was handled twice: nothing is proven", ids: [] });
  return violations;
}

/** I8: once a later owner had an effect on a key, an earlier one has none. */
export function fenced(history: readonly HistoryRecord[]): Violation[] {
  const newest = new Map<string, number>();
  const stale: string[] = [];
  for (const { op, group, key, epoch, id } of history) {
    if (op !== "effect" || epoch === undefined) continue;
    const place = `${group}/${key}`;
    const last = newest.get(place) ?? epoch;
    if (epoch < last) stale.push(id);
    newest.set(place, Math.max(last, epoch));
  }
  return stale.length === 0
    ? []
    : [{ invariant: "I8", message: `${stale.length} effects of a former owner`, ids: stale }];
}
