import type { Capabilities } from "../../driver.ts";
import type { ResolvedOptions } from "./options.ts";

/** A frame is copied by Lua several times; Redis itself would take 512 MB. */
export const maxMessageBytes = 16_777_216;

/** What a chunk holds already, and the texts of a message, go with it in one argument of a script. */
const beside = 524_288;

export function largestMessage(longestArgument: number | undefined): number {
  return Math.min(maxMessageBytes, (longestArgument ?? Number.POSITIVE_INFINITY) - beside);
}

export function capabilitiesOf({ dedupeWindowMs }: Pick<ResolvedOptions, "dedupeWindowMs">): Capabilities {
  return {
    durable: true,
    groups: true,
    replay: true,
    order: true,
    publishOrder: "best-effort",
    publishRetry: "core",
    retry: "in-place",
    delay: "native",
    schedules: "native",
    state: "native",
    filter: "client",
    dedupeWindowMs,
    fencing: "all",
    handover: "drained",
    losses: "counted",
    noResponder: true,
    transactions: false,
    priorities: false,
    maxHoldMs: undefined,
    maxMessageBytes,
  };
}
