import type { Capabilities } from "./driver.ts";
import { BusError } from "./errors.ts";
import type { SubscribeOptions } from "./handler.ts";

/** What was asked of a group. */
interface Wish extends Pick<SubscribeOptions, "order" | "from"> {
  readonly group: string;
  readonly live: boolean;
  readonly halts: boolean;
  /** Of its handlers' limits the longest. */
  readonly timeoutMs: number;
}

/** Throws BUS_UNSUPPORTED at what the driver can't keep: what was asked for is refused, never quietly weakened. */
export function checkGroup(
  { group, live, order, from, halts, timeoutMs }: Wish,
  driver: string,
  able: Capabilities,
): void {
  const refuse = (what: string, instead: string): BusError =>
    new BusError("BUS_UNSUPPORTED", `group "${group}": the driver "${driver}" ${what}; ${instead}`);
  if (!live && !able.groups) throw refuse("has no durable groups", '"live": true shares load without storing');
  if (order === "group" && !able.order)
    throw refuse("keeps no order across members", '"order" may be "process" or "none"');
  if (halts && able.state === "none")
    throw refuse(
      'has no state store for "retry.exhausted": "halt-key"',
      'give the bus one: { state: "sqlite:./state.db" }',
    );
  if (!live && from !== undefined && from !== "newest" && !able.replay)
    throw refuse("can't start a group in the past", '"from" may be "newest"');
  const { maxHoldMs } = able;
  if (!live && maxHoldMs !== undefined && timeoutMs > maxHoldMs)
    throw refuse(`takes back what is held for ${maxHoldMs} ms`, '"timeoutMs" may be at most that');
}
