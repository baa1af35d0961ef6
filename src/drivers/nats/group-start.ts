import type { StartAt } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";

/** Where a consumer begins: at a sequence, of the stream that was made then if it says so; or at what was stored from a time on. */
export type Start = { readonly sequence: number; readonly created?: string } | { readonly time: number };

/** What of a JetStream stream decides where a group begins. */
export interface StreamState {
  /** When it was made: one of the same name that was made later is another. */
  readonly created: string;
  readonly last: number;
}

export const oldest: Start = { sequence: 1 };

/** Where a group begins in a stream, and in its partitions. */
export function startOf(
  from: StartAt,
  stream: string,
  partitions: number,
  state: StreamState,
): Readonly<Record<string, Start>> {
  const { created } = state;
  if ("at" in from) return { [stream]: from.at === "oldest" ? oldest : { sequence: state.last + 1, created } };
  if ("time" in from) return { [stream]: { time: from.time } };
  const starts: Record<string, Start> = {};
  let lowest: number | undefined;
  for (let partition = 0; partition < partitions; partition += 1) {
    const name = `${stream}/${partition}`;
    const position = from.positions[name];
    if (position === undefined) continue;
    const sequence = afterPosition(name, position, state);
    starts[name] = { sequence, created };
    lowest = Math.min(lowest ?? sequence, sequence);
  }
  const whole = from.positions[stream];
  starts[stream] = { sequence: whole === undefined ? (lowest ?? 1) : afterPosition(stream, whole, state), created };
  return starts;
}

/** Where a partition begins that nobody has read. A sequence of a stream that was deleted means nothing in the one that has its name. */
export function startIn(
  starts: Readonly<Record<string, Start>>,
  stream: string,
  partition: number,
  created: string,
): Start {
  const start = starts[`${stream}/${partition}`] ?? starts[stream] ?? oldest;
  return isOf(start, created) ? start : oldest;
}

export const isOf = (start: Start, created: string): boolean =>
  !("sequence" in start) || start.created === undefined || start.created === created;

/** Behind what was handled: a sequence, or one that says of which stream (`17@2026-…`). One not reached yet is another stream's. */
export function afterPosition(partition: string, position: string, state: StreamState): number {
  const [digits = "", created] = position.split("@", 2);
  if (!/^\d{1,15}$/.test(digits))
    throw new DriverError("BUS_INVALID_OPTION", `position (${partition}): not a whole number`);
  if (created !== undefined && created !== state.created) return 1;
  return Number(digits) > state.last ? 1 : Number(digits) + 1;
}

export const positionOf = (sequence: number, created: string): string => `${sequence}@${created}`;

export function checkStart(from: StartAt): void {
  if (!("positions" in from)) return;
  for (const [partition, position] of Object.entries(from.positions))
    afterPosition(partition, position, { created: "", last: 0 });
}
