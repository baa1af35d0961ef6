import type { Capabilities } from "../../driver.ts";
import { dedupeWindowMs } from "./stream-log.ts";

export const memoryCapabilities: Capabilities = {
  durable: false,
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
  maxMessageBytes: undefined,
};
