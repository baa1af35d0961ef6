import type { Capabilities } from "../../driver.ts";
import type { BusConfig } from "../../index.ts";
import type { Parameters } from "../suite.ts";

/** A broker that a test can take away. `startBroker` of scripts/brokers gives one. */
export interface RecoveryBroker extends AsyncDisposable {
  /** Where it listens; the same after each start. */
  readonly url: string;
  /** Resolves when it takes connections, on the same port and data as before. */
  start(): Promise<void>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay, nothing answers. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Ends it as an operator would, and starts it again. */
  restart(): Promise<void>;
}

/** What is kept in a file and read by the processes themselves: nothing to kill and no line to break. */
export interface EmbeddedStore extends AsyncDisposable {
  readonly url: string;
}

/** Of a bus of the suite: what a hook needs to find its objects at the broker. */
export interface RecoveryNames {
  readonly url: string;
  readonly prefix: string;
}

export interface RecoveryUnderTest {
  /** What its tests are called. */
  readonly name: string;
  /** What the driver declares; tests are skipped, and what is checked is chosen, by it. */
  readonly capabilities: Capabilities;
  /** What its buses meet at. */
  readonly broker:
    | {
        /** One of its own for each test, running. */
        create(): Promise<RecoveryBroker>;
      }
    | {
        /** A store of its own for each test; what needs a broker's process or a line is skipped. */
        embedded(): Promise<EmbeddedStore>;
      };
  /** What `connect` takes; the url may be that of a proxy in front of the broker. The suite sets `prefix`. */
  config(url: string): BusConfig;
  /** A module that calls `runRecoveryMember` with the same `config`: a member in a process of its own. */
  readonly member: URL;
  /** What clients behind a proxy get instead of an answer that names the broker's address: as long as the answer. @default as it is */
  readonly rewriteReply?: ((reply: Uint8Array, url: string, proxyPort: number) => Uint8Array) | undefined;
  /** How long a delivery is kept for a member that fell silent: what `config` asks for. @default 10_000 */
  readonly leaseMs?: number | undefined;
  /** How long a line may be silent before the driver takes it for dead: what `config` asks for. @default 15_000 */
  readonly silenceMs?: number | undefined;
  /** What was handled so long before a fault may be handled again: acknowledgements that a fault can make the broker forget. @default 100 */
  readonly repeatsMs?: number | undefined;
  /** Stops a process, when it holds no lock that the others need. @default SIGSTOP */
  readonly stop?: ((pid: number, url: string) => Promise<void>) | undefined;
  /** Deletes a group with the broker's own means, behind the back of every bus. @default that test is skipped */
  readonly deleteGroupNatively?: ((names: RecoveryNames & { readonly group: string }) => Promise<void>) | undefined;
  /** The same of a stream. @default that test is skipped */
  readonly deleteStreamNatively?: ((names: RecoveryNames & { readonly stream: string }) => Promise<void>) | undefined;
}

export type RecoveryNeed =
  | "broker"
  | "durable"
  | "groups"
  | "replay"
  | "order"
  | "publish retry"
  | "native group"
  | "native stream";

export interface RecoverySpec<P extends Parameters> {
  /** The fault. */
  readonly name: string;
  /** Skipped, with the reason, where the driver or its harness lacks one of these. */
  readonly needs: readonly RecoveryNeed[];
  /** What `npm test` runs. */
  readonly short?: P | undefined;
  /** @default short */
  readonly full?: P | undefined;
}

/** Why the driver can't be tested so, in words; undefined when it can. */
export function lackToRecover(need: RecoveryNeed, driver: RecoveryUnderTest): string | undefined {
  switch (need) {
    case "broker":
      return "create" in driver.broker ? undefined : "has no broker: its store is embedded";
    case "durable":
    case "groups":
    case "replay":
    case "order":
      return driver.capabilities[need] ? undefined : `declares ${need}: false`;
    case "publish retry":
      return driver.capabilities.publishRetry === "driver" ? 'declares publishRetry: "driver"' : undefined;
    case "native group":
      return driver.deleteGroupNatively === undefined ? "is given no deleteGroupNatively" : undefined;
    case "native stream":
      return driver.deleteStreamNatively === undefined ? "is given no deleteStreamNatively" : undefined;
  }
}
