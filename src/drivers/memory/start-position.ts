import type { StartAt } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { PartitionLog } from "./partition-log.ts";

/** Where reading begins, and how many entries before it are gone already. */
export interface Start {
  readonly position: number;
  readonly lost: number;
}

export function startPosition(from: StartAt, log: PartitionLog): Start {
  if ("at" in from) return { position: from.at === "oldest" ? log.first : log.next, lost: 0 };
  if ("time" in from) return { position: log.positionAt(from.time), lost: 0 };
  const after = from.positions[log.partition];
  return after === undefined ? { position: log.first, lost: 0 } : startAfter(after, log);
}

/** Throws when it is none. */
export function checkStart(from: StartAt): void {
  if ("positions" in from)
    for (const [partition, position] of Object.entries(from.positions)) checkPosition(partition, position);
}

function checkPosition(partition: string, position: string): void {
  if (!/^\d{1,15}$/.test(position))
    throw new DriverError("BUS_INVALID_OPTION", `position (${partition}): not a whole number`);
}

/** Behind a position that was handled. One that this log has not reached is another log's: everything here is new. */
export function startAfter(position: string, log: PartitionLog): Start {
  checkPosition(log.partition, position);
  const wanted = Number(position) + 1;
  if (wanted > log.next) return { position: log.first, lost: log.first - 1 };
  return { position: Math.max(wanted, log.first), lost: Math.max(log.first - wanted, 0) };
}
