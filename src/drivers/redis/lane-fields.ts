import { attachedFields } from "./attach.ts";
import type { RedisAttachment } from "./options.ts";
import type { StoredStream } from "./stream-plan.ts";

/** What the hash of a stream's lane says of it, for scripts. */
export function laneFields(
  plan: StoredStream,
  attachment: RedisAttachment | undefined,
): Readonly<Record<string, string>> {
  return {
    n: String(plan.partitions),
    maxAge: String(plan.maxAgeMs),
    maxBytes: String(plan.maxBytes),
    maxMessages: plan.maxMessages === undefined ? "" : String(plan.maxMessages),
    full: plan.whenFull,
    idle: String(plan.idleGroupMs),
    // what somebody else keeps there is his to trim
    ...(attachment === undefined
      ? {}
      : { maxAge: "", maxBytes: "", ...attachedFields(attachment, plan.name, plan.topics) }),
  };
}
