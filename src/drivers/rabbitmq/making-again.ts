import type { StartAt } from "../../driver.ts";
import type { GroupDefinition, GroupLane } from "./definition-fold.ts";
import type { Definitions } from "./definitions.ts";

/** Whether nothing of the past of a lane is to come any more: all of it was handled; of an unordered group, it is in its queue. */
export function isPastHandled(
  definitions: Pick<Definitions, "replay" | "isCaughtUp">,
  { id, spec }: Pick<GroupDefinition, "id" | "spec">,
  stream: string,
  { from, partitions }: Pick<GroupLane, "from" | "partitions">,
): boolean {
  if (from === undefined) return true;
  if (spec.order !== "group") return definitions.replay(id, stream)?.copied === true;
  const numbers = Array.from({ length: partitions }, (_, number) => number);
  return numbers.every((partition) => definitions.isCaughtUp(id, stream, partition));
}

/** Where a lane begins whose group was lost: where its members were, or before that with a past which nobody handled. */
export function startAgain({ from }: Pick<GroupLane, "from">, since: number, isHandled: boolean): StartAt {
  if (isHandled || from === undefined) return { time: since };
  return "time" in from ? { time: Math.min(from.time, since) } : from;
}

/** It was made again, and what was published at that time did not come with it. */
export const isLater = ({ spec, lanes }: Pick<GroupDefinition, "spec" | "lanes">, at: number): boolean =>
  !spec.live &&
  Object.values(lanes).some(
    ({ from, queue }) => queue === undefined && (from === undefined || ("time" in from && from.time > at)),
  );

/** Undefined: nothing of the past. */
export const startOf = (from: StartAt): StartAt | undefined =>
  "at" in from && from.at === "newest" ? undefined : from;
