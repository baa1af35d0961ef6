import { groupsOf, type HistoryRecord, idsOf, type Violation } from "./history.ts";

export interface DeliveryOptions {
  /** Those that must have got everything. @default those that handled something */
  readonly groups?: readonly (string | undefined)[] | undefined;
}

const done = ["handled", "dead-lettered", "dropped"] as const;

/**
 * I1: what was acknowledged is handled or dead-lettered by every group. What is lost is told per publisher as prefix (before
 * the first that arrived: a cursor that was reset), postfix (after the last: a drain that is slow) and middle (a hole).
 * When nobody got anything, and no group is named that should have, everything is lost.
 */
export function nothingLost(history: readonly HistoryRecord[], options: DeliveryOptions = {}): Violation[] {
  const acked = history.filter((record) => record.op === "published");
  const groups = options.groups ?? [...groupsOf(history)];
  if (options.groups === undefined && groups.length === 0 && acked.length > 0)
    return [
      {
        invariant: "I1",
        message: `lost all ${acked.length}: nobody handled anything`,
        ids: acked.map(({ id }) => id),
      },
    ];
  return groups.flatMap((group) => {
    const arrived = idsOf(
      history.filter((record) => record.group === group),
      ...done,
    );
    const lost = acked.filter(({ id }) => !arrived.has(id));
    if (lost.length === 0) return [];
    const message = `lost ${lost.length} of ${acked.length} in ${group ?? "no group"}: ${placesOfLoss(acked, arrived)}`;
    return [{ invariant: "I1", message, ids: lost.map(({ id }) => id) }];
  });
}

function placesOfLoss(acked: readonly HistoryRecord[], arrived: ReadonlySet<string>): string {
  const publishers = Map.groupBy(acked, (record) => record.process);
  return [...publishers]
    .map(([publisher, records]) => {
      const inOrder = records.toSorted((a, b) => (a.sequence ?? a.at) - (b.sequence ?? b.at));
      const first = inOrder.findIndex(({ id }) => arrived.has(id));
      const last = inOrder.findLastIndex(({ id }) => arrived.has(id));
      const places = { prefix: 0, middle: 0, postfix: 0 };
      for (const [index, { id }] of inOrder.entries()) {
        if (arrived.has(id)) continue;
        places[first === -1 || index < first ? "prefix" : index > last ? "postfix" : "middle"]++;
      }
      return `${publisher} prefix ${places.prefix}, middle ${places.middle}, postfix ${places.postfix}`;
    })
    .filter((line) => !line.endsWith("prefix 0, middle 0, postfix 0"))
    .join("; ");
}

/** I2: what is handled was published, and its body is unchanged. */
export function nothingInvented(history: readonly HistoryRecord[]): Violation[] {
  const sent = new Map(history.filter(({ op }) => op === "publish-started").map((record) => [record.id, record.hash]));
  const seen = history.filter((record) => record.op === "handling" || record.op === "handled");
  const invented = [...new Set(seen.filter(({ id }) => !sent.has(id)).map(({ id }) => id))];
  const corrupted = seen.filter(
    ({ id, hash }) => hash !== undefined && sent.get(id) !== undefined && sent.get(id) !== hash,
  );
  const violations: Violation[] = [];
  if (invented.length > 0)
    violations.push({ invariant: "I2", message: `${invented.length} were never published`, ids: invented });
  if (corrupted.length > 0) {
    violations.push({
      invariant: "I2",
      message: `${corrupted.length} bodies changed`,
      ids: corrupted.map(({ id }) => id),
    });
  }
  return violations;
}

/** I3: a message is settled only by the process that handled it, gave it up, or dropped it by policy, in the same epoch. */
export function settledOnlyWhenDone(history: readonly HistoryRecord[]): Violation[] {
  const finished = new Set<string>();
  const early: string[] = [];
  const place = ({ id, process, group, epoch }: HistoryRecord): string => JSON.stringify([id, process, group, epoch]);
  for (const record of history) {
    if ((done as readonly string[]).includes(record.op)) finished.add(place(record));
    if (record.op === "settled" && !finished.has(place(record))) early.push(record.id);
  }
  return early.length === 0
    ? []
    : [{ invariant: "I3", message: `${early.length} settled before they were done`, ids: early }];
}

/** Not promised after a fault: no group handled a message twice, but for those that a fault had in flight. */
export function nothingDuplicated(
  history: readonly HistoryRecord[],
  inFlight: ReadonlySet<string> = new Set(),
): Violation[] {
  const counts = new Map<string, { readonly id: string; times: number }>();
  for (const { op, group, id } of history) {
    if (op !== "handled") continue;
    const count = counts.get(`${group}/${id}`);
    if (count) count.times++;
    else counts.set(`${group}/${id}`, { id, times: 1 });
  }
  const ids = [...counts.values()].filter(({ id, times }) => times > 1 && !inFlight.has(id)).map(({ id }) => id);
  return ids.length === 0 ? [] : [{ invariant: "I6", message: `${ids.length} were handled more than once`, ids }];
}
