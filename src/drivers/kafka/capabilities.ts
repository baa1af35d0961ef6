import type { Capabilities } from "../../driver.ts";

/** What a batch, its headers and a letter add to a message. */
const beside = 4_096;
const usualLimit = 1_048_588;

export const capabilities: Capabilities = {
  durable: true,
  groups: true,
  replay: true,
  order: true,
  publishOrder: "best-effort",
  publishRetry: "driver",
  retry: "copy",
  delay: "native",
  schedules: "none",
  state: "none",
  filter: "client",
  dedupeWindowMs: 0,
  fencing: "all",
  handover: "drained",
  losses: "said",
  noResponder: true,
  transactions: false,
  priorities: false,
  maxHoldMs: undefined,
  maxMessageBytes: usualLimit - beside,
};
