import type { Consumption } from "../../driver.ts";
import type { Definitions } from "./definitions.ts";
import type { GroupCounts } from "./group-counts.ts";
import type { Groups } from "./groups.ts";
import type { Letters } from "./letters.ts";
import type { Logs } from "./logs.ts";
import type { GroupMember } from "./member.ts";
import type { Presence } from "./presence.ts";
import type { QueueLanes } from "./queue-lanes.ts";
import type { Session } from "./session.ts";
import type { Streams } from "./streams.ts";

/** What the parts of one connection have in common. */
export interface Shared {
  readonly session: Session;
  readonly definitions: Definitions;
  readonly streams: Streams;
  readonly groups: Groups;
  readonly counts: GroupCounts;
  readonly lanes: QueueLanes;
  readonly letters: Letters;
  readonly logs: Logs;
  readonly presence: Presence;
  readonly members: Set<GroupMember>;
  nextNumber(): number;
  left(consumption: Consumption): void;
}
