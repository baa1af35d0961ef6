import type { HistoryRecord, Violation } from "./history.ts";

export interface KeyOrderOptions {
  /** Whether an event that was done may be handled again: there was a kill or an outage. @default false */
  readonly repeats?: boolean | undefined;
}

interface Lane {
  /** Of the last that was done, in sequence. */
  done: number;
  /** Sequence → process, of those that run. */
  readonly running: Map<number, string>;
}

/**
 * I7: of each group and key, one event at a time and each in its turn: none begins while another of the key runs, none
 * begins before all earlier ones are done. Needs `sequence` per key, from 0, and the history in the order in which it
 * happened. A killed process runs nothing any more.
 */
export function keyOrder(history: readonly HistoryRecord[], options: KeyOrderOptions = {}): Violation[] {
  const lanes = new Map<string, Lane>();
  const violations: Violation[] = [];
  for (const record of history) {
    const { op, group, key, sequence, process, id } = record;
    if (op === "killed") {
      for (const lane of lanes.values())
        for (const [of, owner] of lane.running) if (owner === process) lane.running.delete(of);
    }
    if (key === undefined || sequence === undefined) continue;
    const name = `${group}/${key}`;
    const lane = lanes.get(name) ?? { done: -1, running: new Map<number, string>() };
    lanes.set(name, lane);
    const say = (what: string): unknown =>
      violations.push({ invariant: "I7", message: `${name}: ${sequence} ${what}`, ids: [id] });
    if (op === "handling") {
      if (lane.running.size > 0) say(`began while ${[...lane.running.keys()].join(", ")} ran`);
      if (sequence > lane.done + 1) say(`began before ${lane.done + 1} was done`);
      if (sequence <= lane.done && options.repeats !== true) say("came again after it was done");
      lane.running.set(sequence, process);
    } else if (op === "handled" || op === "dead-lettered" || op === "dropped") {
      lane.running.delete(sequence);
      lane.done = Math.max(lane.done, sequence);
    } else if (op === "handler-failed") {
      lane.running.delete(sequence);
    }
  }
  return violations;
}
