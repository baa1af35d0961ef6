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
  /** All that it finds in its environment beside the path; undefined: it gets this process's. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** What has to be run before its first start, which is known by the file in its folder that it makes. */
  readonly prepare?: Preparation | undefined;
  /** A file in its folder with a process's number, which a killed one leaves and the next one takes for its own. */
  readonly leaves?: string | undefined;
}

export interface Preparation {
  /** A name without a folder is looked for beside the broker's own executable. */
  readonly command: readonly string[];
  readonly makes: string;
  /** The folder of what it makes is the same each time: kept in the cache, and copied from there. @default false */
  readonly isTheSame?: boolean | undefined;
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
  /** The programs that the executable turns into or starts, where it is a script: in a server's folder they are the server's. */
  readonly programs?: readonly string[] | undefined;
  /** Makes the executable print its version; or what tells it by where the executable is, if that can't be asked. */
  readonly versionArgs: readonly string[] | ((path: string) => string | undefined);
  /** An older one is refused. */
  readonly minimum: string;
  /**
   * The versions that are installed and run in containers. A binary that is found may be any from the minimum on where the
   * newest is wanted, and has to be of the release where that was asked for by its name.
   */
  readonly releases: Readonly<Record<Release, string>>;
  /** The first is the one that is meant when none is named. */
  readonly variants: readonly Variant[];
  /** @default true */
  readonly inContainers?: boolean | undefined;
  /** Runs on Java: see class-archive.ts. @default false */
  readonly onJava?: boolean | undefined;
  /** How many ports each of its servers wants: an element for each. The first is the one for clients. */
  ports(variant: Variant): readonly number[];
  plan(input: PlanInput<Variant>): BrokerPlan;
  /** What its log says at each start, once it takes connections. */
  readonly readyLine: RegExp;
  /** Ends it as an operator would. @default SIGTERM */
  readonly stopSignal?: NodeJS.Signals | undefined;
  /** It refuses to run as root, and then runs as the first of these users that is there. @default as whoever starts it */
  readonly unprivileged?: readonly string[] | undefined;
  /** In the order in which they are tried. */
  installers(release: Release): readonly Installer[];
}
