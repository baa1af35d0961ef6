import { Audit, concurrency } from "./deploy-member.ts";
import type { DeployRecord } from "./deployment.ts";

/** The first wait between two looks at an event that nobody could take; each further one is as long as all before it. */
const firstWaitMs = 100;
const oldMembers = 2;

export interface Way {
  readonly id: string;
  readonly publishedAt: number;
  handledAt: number;
  /** How often a member gave it up, or kept it, for want of a handler, and when last. */
  handOns: number;
  lastHandOnAt: number;
  /** How often it came to a member without a handler for it. */
  inWrongHands: number;
}

/** What became of the events that version 1 can't handle. */
export class DeployReport {
  readonly ways: readonly Way[];
  /** Those that a member of version 2 had room for all the time, from their publish on. */
  readonly awaited: readonly Way[];
  /** What came when version 2 was not there yet. */
  readonly early: readonly Way[];
  /** Handler runs of a version that should not have it. */
  readonly wrong: readonly DeployRecord[];

  constructor(records: readonly DeployRecord[]) {
    const ways = new Map<string, Way>();
    for (const { id, op, at, type } of records) {
      if (op !== "publish-started" || type !== Audit.type) continue;
      ways.set(id, { id, publishedAt: at, handledAt: at, handOns: 0, lastHandOnAt: at, inWrongHands: 0 });
    }
    for (const { id, op, at, process, handOn } of records) {
      const way = ways.get(id);
      if (way === undefined) continue;
      if (op === "handled") way.handledAt = at;
      else if (op === "delivered" && isOld(process)) way.inWrongHands += 1;
      else if (op === "kept" || (op === "release" && handOn === true)) {
        way.handOns += 1;
        way.lastHandOnAt = at;
      }
    }
    const joined = records.find(({ op, process }) => op === "ready" && !isOld(process))?.at ?? Infinity;
    const full = spansWithoutRoom(records);
    this.ways = [...ways.values()];
    this.early = this.ways.filter(({ publishedAt }) => publishedAt < joined);
    this.awaited = this.ways.filter(
      ({ publishedAt, handledAt }) => !full.some(([from, to]) => from < handledAt && to > publishedAt),
    );
    this.wrong = records.filter(({ id, op, process }) => op === "handling" && ways.has(id) && isOld(process));
  }

  /** `3: 17, 4: 2` is 17 events with 3 hand-ons each, two with 4. */
  spread(ways: readonly Way[]): string {
    return [...Map.groupBy(ways, ({ handOns }) => handOns)]
      .toSorted(([a], [b]) => a - b)
      .map(([times, all]) => `${times}: ${all.length}`)
      .join(", ");
  }
}

const isOld = (process: string): boolean => process.startsWith("v1");

/** Most that may be: each member of version 1 looks once, then after the first wait, then after each doubling of it. */
export function mostHandOns({ publishedAt, lastHandOnAt }: Way): number {
  const waited = lastHandOnAt - publishedAt;
  return oldMembers * (waited < firstWaitMs ? 1 : 2 + Math.floor(Math.log2(waited / firstWaitMs)));
}

/** When no member of version 2 had room: each that was there had its hands full, or got no time to run. */
function spansWithoutRoom(records: readonly DeployRecord[]): readonly (readonly [from: number, to: number])[] {
  const inHand = new Map<string, number>();
  const stalled = new Set<string>();
  const spans: [number, number][] = [];
  let since: number | undefined = -Infinity;
  for (const { process, op, at } of withStalls(records)) {
    if (isOld(process) || process === "publisher") continue;
    if (op === "ready") inHand.set(process, inHand.get(process) ?? 0);
    else if (op === "closed") inHand.delete(process);
    else if (op === "stalling") stalled.add(process);
    else if (op === "stalled") stalled.delete(process);
    else if (op === "delivered") inHand.set(process, (inHand.get(process) ?? 0) + 1);
    else if (op === "handled") inHand.set(process, (inHand.get(process) ?? 0) - 1);
    const hasRoom = [...inHand].some(([member, count]) => count < concurrency && !stalled.has(member));
    if (hasRoom && since !== undefined) {
      spans.push([since, at]);
      since = undefined;
    } else if (!hasRoom) since ??= at;
  }
  return spans;
}

type Step = Pick<DeployRecord, "at" | "process"> & { readonly op: DeployRecord["op"] | "stalling" };

/** A stall is known when it is over: its beginning is put where it was. */
function withStalls(records: readonly DeployRecord[]): readonly Step[] {
  const begun = records
    .filter(({ op }) => op === "stalled")
    .map(({ process, at, ms = 0 }): Step => ({ process, op: "stalling", at: at - ms }));
  return [...records, ...begun].toSorted((a, b) => a.at - b.at);
}
