import type { Capabilities } from "../../driver.ts";

/** A body comes back as a text of twice its size. */
const maxMessageBytes = 67_108_864;

export function capabilitiesOf({ dedupeWindowMs }: { readonly dedupeWindowMs: number }): Capabilities {
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
    filter: "native",
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
