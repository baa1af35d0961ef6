import { attachedFields } from "./attach.ts";
import type { StoredStream } from "./stream-plan.ts";

/** What the hash of a stream's lane says of it, for scripts. */
export function laneFields(plan: StoredStream): Readonly<Record<string, string>> {
  return {
    n: String(plan.partitions),
    maxAge: String(plan.maxAgeMs),
    maxBytes: String(plan.maxBytes),
    maxMessages: plan.maxMessages === undefined ? "" : String(plan.maxMessages),
    full: plan.whenFull,
    idle: String(plan.idleGroupMs),
    // what somebody else keeps there is his to trim
    ...(plan.attach === undefined
      ? {}
      : { maxAge: "", maxBytes: "", maxMessages: "", ...attachedFields(plan.attach, plan.name, plan.topics) }),
  };
}
