import { Audit } from "./deploy-member.ts";
import type { DeployRecord } from "./deployment.ts";

export interface Way {
  readonly id: string;
  /** How often a member gave it up for want of a handler, */
  handOns: number;
  /** and who did, in turn. */
  readonly by: string[];
  /** How often one looked at it in its place, and left it there. */
  looks: number;
  /** How often it came to a member without a handler for it. */
  inWrongHands: number;
}

/** What became of the events that version 1 can't handle. */
export class DeployReport {
  readonly ways: readonly Way[];
  /** Handler runs of a version that should not have it. */
  readonly wrong: readonly DeployRecord[];

  constructor(records: readonly DeployRecord[]) {
    const ways = new Map<string, Way>();
    for (const { id, op, type } of records)
      if (op === "publish-started" && type === Audit.type)
        ways.set(id, { id, handOns: 0, by: [], looks: 0, inWrongHands: 0 });
    for (const { id, op, process, handOn } of records) {
      const way = ways.get(id);
      if (way === undefined) continue;
      if (op === "delivered" && isOld(process)) way.inWrongHands += 1;
      else if (op === "kept") way.looks += 1;
      else if (op === "release" && handOn === true) way.handOns = way.by.push(process);
    }
    this.ways = [...ways.values()];
    this.wrong = records.filter(({ id, op, process }) => op === "handling" && ways.has(id) && isOld(process));
  }

  /** `1: 17, 2: 2` is 17 events with one each, two with two. */
  spread(of: "handOns" | "looks" | "inWrongHands"): string {
    return [...Map.groupBy(this.ways, (way) => way[of])]
      .toSorted(([a], [b]) => a - b)
      .map(([times, all]) => `${times}: ${all.length}`)
      .join(", ");
  }
}

const isOld = (process: string): boolean => process.startsWith("v1");
