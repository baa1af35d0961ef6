import type { GroupState } from "../../driver.ts";
import type { Group } from "./group.ts";

/** What waits for a group and what is in hand, counted now: the work grows with what waits. */
export function groupState(group: Group, now: number): GroupState {
  let waiting = 0;
  let inFlight = 0;
  let scheduled = 0;
  let oldest = Infinity;
  for (const lane of group.lanes()) {
    for (const message of lane.unsettled()) {
      if (message.holder !== undefined) {
        inFlight += 1;
        continue;
      }
      waiting += 1;
      if (message.delayed) scheduled += 1;
      oldest = Math.min(oldest, message.entry.at);
    }
    const backlog = lane.backlog();
    waiting += backlog.waiting;
    oldest = Math.min(oldest, backlog.oldest ?? Infinity);
  }
  // Not old before it is due: it has no place yet.
  const later = group.scheduled();
  waiting += later;
  scheduled += later;
  return {
    spec: group.spec,
    waiting,
    inFlight,
    scheduled,
    oldestWaitingMs: oldest === Infinity ? undefined : Math.max(now - oldest, 0),
  };
}
