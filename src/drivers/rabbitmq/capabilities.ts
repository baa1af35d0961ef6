import type { Capabilities } from "../../driver.ts";
import type { ResolvedOptions } from "./options.ts";

/** `max_message_size` of a server as it comes: 16 MiB from 4.0 on, 128 MiB before. */
export const maxMessageBytesOf = (version: string): number =>
  Number.parseInt(version, 10) >= 4 ? 16_777_216 : 134_217_728;

export function capabilitiesOf({ holdLimitMs }: ResolvedOptions, version = "3.10"): Capabilities {
  return {
    durable: true,
    groups: true,
    replay: true,
    order: true,
    publishOrder: "best-effort",
    publishRetry: "core",
    retry: "copy",
    delay: "native",
    schedules: "none",
    state: "none",
    filter: "native",
    dedupeWindowMs: 0,
    fencing: "all",
    handover: "drained",
    losses: "said",
    noResponder: true,
    transactions: false,
    priorities: false,
    maxHoldMs: holdLimitMs,
    maxMessageBytes: maxMessageBytesOf(version),
  };
}
