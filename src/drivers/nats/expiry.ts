import type { Headers } from "../../driver.ts";
import { valueOf } from "./message.ts";

const header = "Omnibus-Expires";

/** When an entry of the bucket is over, by the wall clock: below 2.11 the server does not know, and it never knows sooner. */
export const expiryHeader = (at: number): Headers => [[header, String(Math.ceil(at))]];

/** Infinity: never. */
export function expiresOf(headers: Headers): number {
  const at = Number(valueOf(headers, header) ?? Number.NaN);
  return Number.isNaN(at) ? Number.POSITIVE_INFINITY : at;
}
