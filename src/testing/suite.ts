import type { Capabilities } from "../driver.ts";
import type { DriverUnderTest } from "./test-driver.ts";
import type { Lab } from "./lab.ts";

/** What a test can need of a driver or of its harness. */
export type Need =
  | "durable"
  | "groups"
  | "replay"
  | "order"
  | "publish order"
  | "publish retry"
  | "delay"
  | "schedules"
  | "dedupe"
  | "no-responder"
  | "fencing"
  | "ordered fencing"
  | "loss counts"
  | "transactions"
  | "state"
  | "priorities"
  | "trim"
  | "reset"
  | "recover"
  | "restart"
  | "own driver";

export type Parameters = Readonly<Record<string, number>>;

export interface TestSpec<P extends Parameters> {
  /** A fact. */
  readonly name: string;
  /** Skipped, with the reason, where the driver declares that it lacks one of these. */
  readonly needs?: readonly Need[] | undefined;
  /** A counter-test: runs only where the driver declares that it lacks this. */
  readonly lacks?: Need | undefined;
  /** What `npm test` runs. */
  readonly short?: P | undefined;
  /** @default short */
  readonly full?: P | undefined;
  /** In all. @default 60_000, in full 300_000 */
  readonly timeoutMs?: number | undefined;
}

/** What a topic's file adds its tests to. */
export interface Suite {
  readonly test: <P extends Parameters>(spec: TestSpec<P>, body: (lab: Lab, parameters: P) => Promise<void>) => void;
}

/** Why the driver lacks it, in words; undefined when it has it. */
export function lack(need: Need, { capabilities, unsupported, restart, ownDriver }: Abilities): string | undefined {
  const declares = (name: keyof Capabilities): string => `declares ${name}: ${JSON.stringify(capabilities[name])}`;
  switch (need) {
    case "durable":
    case "groups":
    case "replay":
    case "order":
    case "transactions":
    case "priorities":
      return capabilities[need] ? undefined : declares(need);
    case "publish order":
      return capabilities.publishOrder === "best-effort" ? declares("publishOrder") : undefined;
    case "publish retry":
      return capabilities.publishRetry === "driver" ? declares("publishRetry") : undefined;
    case "fencing":
      return capabilities.fencing === "all" ? undefined : declares("fencing");
    case "ordered fencing":
      return capabilities.fencing === "none" ? declares("fencing") : undefined;
    case "loss counts":
      return capabilities.losses === "said" ? declares("losses") : undefined;
    case "delay":
      return capabilities.delay === "none" ? declares("delay") : undefined;
    case "schedules":
      return capabilities.schedules === "none" ? declares("schedules") : undefined;
    case "state":
      return capabilities.state === "none" ? declares("state") : undefined;
    case "dedupe":
      return capabilities.dedupeWindowMs === 0 ? declares("dedupeWindowMs") : undefined;
    case "no-responder":
      return capabilities.noResponder ? undefined : declares("noResponder");
    case "trim":
    case "reset":
    case "recover":
      return unsupported?.includes(need) ? `has no ${need}` : undefined;
    case "restart":
      return restart === true ? undefined : "has no broker to restart";
    case "own driver":
      return ownDriver === true ? undefined : "is made from a url";
  }
}

export type Abilities = Pick<DriverUnderTest, "capabilities" | "unsupported" | "restart" | "ownDriver">;
