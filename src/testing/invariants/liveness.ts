import { readdirSync } from "node:fs";
import type { Violation } from "./history.ts";

export interface ProgressOptions {
  /** Looks in a row without a decrease. @default 5 */
  readonly polls?: number | undefined;
}

/** I9: after the fault is healed the backlog falls to nothing, and never stands still for several looks in a row. */
export function progress(backlog: readonly number[], options: ProgressOptions = {}): Violation[] {
  const polls = options.polls ?? 5;
  let still = 0;
  let lowest = Infinity;
  for (const [index, waiting] of backlog.entries()) {
    still = waiting < lowest || waiting === 0 ? 0 : still + 1;
    lowest = Math.min(lowest, waiting);
    if (still >= polls) {
      return [{ invariant: "I9", message: `stuck at ${waiting} for ${still} looks, up to look ${index}`, ids: [] }];
    }
  }
  const left = backlog.at(-1);
  if (left === 0) return [];
  return [{ invariant: "I9", message: left === undefined ? "nobody looked" : `${left} are left`, ids: [] }];
}

export interface Resources {
  readonly rssBytes: number;
  readonly handles: number;
  readonly files: number;
  readonly listeners: number;
}

/** What this process holds now. */
export function resources(): Resources {
  return {
    rssBytes: process.memoryUsage.rss(),
    handles: process.getActiveResourcesInfo().length,
    files: process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0,
    listeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
  };
}

/** I10: memory stays within a limit over the baseline; handles, files and listeners are back to it. */
export function bounded(before: Resources, after: Resources, limitBytes: number): Violation[] {
  const violations: Violation[] = [];
  const say = (message: string): unknown => violations.push({ invariant: "I10", message, ids: [] });
  const grown = after.rssBytes - before.rssBytes;
  if (grown > limitBytes) say(`memory grew by ${grown} bytes, and may by ${limitBytes}`);
  for (const name of ["handles", "files", "listeners"] as const) {
    if (after[name] > before[name]) say(`${after[name]} ${name}, ${before[name]} before`);
  }
  return violations;
}
