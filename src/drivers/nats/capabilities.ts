import type { Capabilities } from "../../driver.ts";
import { dedupeWindowMs } from "./stream-plan.ts";

/** What holds on every server from 2.10 on; the connection says how large a message its server takes. */
export const capabilities: Capabilities = {
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
  fencing: "ordered",
  handover: "drained",
  losses: "said",
  noResponder: true,
  transactions: false,
  priorities: false,
  maxHoldMs: undefined,
  maxMessageBytes: undefined,
};
