import type { StartAt } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { idOfTime } from "./id.ts";

/** Where each of a lane's partitions begins, for the script: `$`, an id, or one id for each. */
export function startText(from: StartAt, live: boolean, stream: string, partitions: number): string {
  if (live) return "$";
  if ("at" in from) return from.at === "newest" ? "$" : "0";
  if ("time" in from) return idOfTime(from.time);
  return Array.from({ length: partitions }, (_, partition) => {
    const position = from.positions[`${stream}/${partition}`];
    if (position === undefined) return "0";
    if (!/^\d{1,20}(?:-\d{1,20})?$/.test(position))
      throw new DriverError("BUS_INVALID_OPTION", `position (${stream}/${partition}): not an id of Redis`);
    return position;
  }).join(" ");
}
