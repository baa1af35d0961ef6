import type { Capabilities } from "../../driver.ts";
import { maxMessageBytes } from "./append.ts";
import { dedupeWindowMs } from "./seen.ts";

export const capabilities: Capabilities = {
  durable: true,
  groups: true,
  replay: true,
  order: true,
  publishOrder: "prefix",
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
