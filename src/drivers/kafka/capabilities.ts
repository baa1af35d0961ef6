import type { Capabilities } from "../../driver.ts";
import type { ResolvedOptions } from "./options.ts";

export const capabilitiesOf = ({
  acks,
  maxMessageBytes,
}: Pick<ResolvedOptions, "acks" | "maxMessageBytes">): Capabilities => ({
  ...capabilities,
  durable: acks !== 0,
  maxMessageBytes,
});

const capabilities: Omit<Capabilities, "durable" | "maxMessageBytes"> = {
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
};
