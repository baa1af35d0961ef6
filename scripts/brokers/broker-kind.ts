import type { Certificates } from "./certificates.ts";
import type { Installer } from "./installer.ts";

/** What a client needs besides the url, or instead of what is in it. */
export interface Login {
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  /** The secret half of an nkey. */
  readonly seed?: string;
  /** The text of a credentials file. */
  readonly credentials?: string;
}

/** One server of a broker: how it is started. */
export interface ServerPlan {
  /** Written into its folder before its first start. */
  readonly files: Readonly<Record<string, string>>;
  readonly args: readonly string[];
}

export interface PlanInput<Variant extends string> {
  readonly variant: Variant;
  /** Unique; names the broker where it has a name. */
  readonly id: string;
  /** What it listens on: loopback, or everything inside a container. */
  readonly host: string;
  /** The folder is a server's own, for its files and data. All paths are as the server sees them. */
  readonly servers: readonly { readonly folder: string; readonly ports: readonly number[] }[];
  readonly certificates: Certificates;
}

export interface BrokerPlan {
  readonly servers: readonly ServerPlan[];
  readonly url: string;
  readonly login: Login | undefined;
  /** Called when all its servers are ready, after every start: makes and awaits what they are together. */
  readonly settle?: ((signal: AbortSignal) => Promise<void>) | undefined;
}

/** What is particular to a broker; one object, one file. All else is the same for each of them. */
export interface BrokerKind<Variant extends string = string, Release extends string = string> {
  readonly name: string;
  /** Its name on the path, and in the shipped image. */
  readonly executable: string;
  /** Makes the executable print its version. */
  readonly versionArgs: readonly string[];
  /** An older one is refused. */
  readonly minimum: string;
  /**
   * The versions that are installed and run in containers. A binary that is found may be any from the minimum on where the
   * newest is wanted, and has to be of the release where that was asked for by its name.
   */
  readonly releases: Readonly<Record<Release, string>>;
  /** The first is the one that is meant when none is named. */
  readonly variants: readonly Variant[];
  /** How many ports each of its servers wants: an element for each. The first is the one for clients. */
  ports(variant: Variant): readonly number[];
  plan(input: PlanInput<Variant>): BrokerPlan;
  /** What its log says at each start, once it takes connections. */
  readonly readyLine: RegExp;
  /** In the order in which they are tried. */
  installers(release: Release): readonly Installer[];
}
