import { BusError } from "./errors.ts";

/** What every reader of the wire throws: why, never what stood there. */
export function undecodable(why: string, cause?: unknown): BusError {
  return new BusError("BUS_UNDECODABLE", `undecodable message: ${why}`, { cause });
}
