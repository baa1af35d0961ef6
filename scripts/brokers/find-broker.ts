import { existsSync } from "node:fs";
import { join } from "node:path";
import type { BrokerKind } from "./broker-kind.ts";
import { lastLine } from "./command.ts";
import { findEngine, imageOf, pullImage } from "./container-engine.ts";
import { isExecutable, judge, onPath } from "./executables.ts";
import { cacheFolder } from "./folders.ts";
import { type Installer, mayInstall } from "./installer.ts";
import { withLock } from "./lock.ts";
import { canRunAs } from "./unprivileged.ts";

/** What a broker of our own is started from. */
export type Found =
  | {
      readonly way: "executable";
      readonly path: string;
      readonly version: string;
      /** See `BrokerKind.programs`. */
      readonly programs?: readonly string[];
      /** Beside what its plan says. */
      readonly env?: Readonly<Record<string, string>>;
    }
  | { readonly way: "container"; readonly engine: string; readonly image: string; readonly version: string };

/** Which one is wanted. */
export interface Wanted {
  readonly kind: BrokerKind;
  readonly release: string;
  readonly variant: string;
  /** `nats@2.10/tls`: what people call it. */
  readonly label: string;
}

/** A broker that can't be had here. The message is one line: what was tried, and how to get it. */
export class BrokerUnavailable extends Error {}

export function urlVariable({ kind, release }: Pick<Wanted, "kind" | "release">): string {
  const name = release === "newest" ? kind.name : `${kind.name}_${release}`;
  return `OMNIBUS_TEST_${name.toUpperCase().replaceAll(/\W/g, "_")}_URL`;
}

/** A variant is ours to configure. */
export const takesUrl = ({ kind, variant }: Wanted): boolean => variant === kind.variants[0];

/** A broker that somebody else runs, by the environment. */
export function givenUrl(wanted: Wanted): { readonly url: string; readonly variable: string } | undefined {
  const variable = urlVariable(wanted);
  const url = process.env[variable];
  return takesUrl(wanted) && url !== undefined && url !== "" ? { url, variable } : undefined;
}

/** Why not, if not. */
async function inContainer(wanted: Wanted, say: (line: string) => void): Promise<Found | string> {
  const { kind, release, variant } = wanted;
  if (kind.inContainers === false) return `${kind.name} is not run in containers`;
  if (kind.ports(variant).length > 1) return "several servers don't run in containers"; // they would have to meet
  const engine = await findEngine();
  if (engine === undefined) return "no docker or podman answers";
  const version = kind.releases[release] ?? release;
  const image = imageOf(kind.name, kind.releases["newest"] ?? "", version);
  const failed = await pullImage(engine, image, say);
  return failed === undefined ? { way: "container", engine, image, version } : `${engine} has no ${image}: ${failed}`;
}

/** Of those that are there the first that is taken; else why each was refused. */
async function onDisk(wanted: Wanted, installers: readonly Installer[]): Promise<Found | readonly string[]> {
  const { executable } = wanted.kind;
  const refused: string[] = [];
  for (const path of new Set([...onPath(executable), ...installers.map(({ path }) => path).filter(isExecutable)])) {
    const judged = await judge(wanted, path);
    if ("found" in judged) return judged.found;
    refused.push(judged.refused);
  }
  return refused.length === 0 ? [`no ${executable} on the path`] : refused;
}

/**
 * What to start it from, in the order of docs/brokers.md; `say` is told what takes a while. Rejects with BrokerUnavailable
 * when every way is closed.
 */
export async function findBroker(wanted: Wanted, say: (line: string) => void): Promise<Found> {
  const { kind, release, label } = wanted;
  const { executable, unprivileged = [] } = kind;
  const asWhom = canRunAs(kind.unprivileged)
    ? undefined
    : `it refuses to run as root, and setpriv does not run it as ${unprivileged.join(" or ")}`;
  const installers = kind.installers(release);
  const tried: string[] = [];

  const there = asWhom === undefined ? await onDisk(wanted, installers) : [asWhom];
  if ("way" in there) return there;
  tried.push(...there);

  const contained = await inContainer(wanted, say);
  if (typeof contained !== "string") return contained;
  tried.push(contained);

  if (asWhom === undefined) {
    const wasInstalled = mayInstall() ? await installOne(wanted, installers, say) : "installing was not asked for";
    if (typeof wasInstalled !== "string") return wasInstalled;
    tried.push(wasInstalled);
  }
  const version = release === "newest" ? `${kind.minimum} or newer` : (kind.releases[release] ?? release);
  const install = `Set OMNIBUS_TEST_INSTALL=1 to install ${installers.map(({ what }) => what).join(" or ")}`;
  const put = mayInstall() ? `Put ${executable} ${version} on the path` : install;
  const ways = [
    asWhom === undefined ? put : "Start it as another user",
    ...(takesUrl(wanted) ? [`set ${urlVariable(wanted)} to its url`] : []),
  ];
  throw new BrokerUnavailable(`${label} can't be had: ${tried.join("; ")}. ${ways.join(", or ")}`);
}

/** One process installs at a time; who waited finds it there. Why it failed, if it did. */
async function installOne(
  wanted: Wanted,
  installers: readonly Installer[],
  say: (line: string) => void,
): Promise<Found | string> {
  const failures: string[] = [];
  return withLock(join(cacheFolder(), "lock"), async () => {
    for (const installer of installers) {
      if (!existsSync(installer.path)) {
        say(`installs ${installer.what}`);
        const { ok, output } = await installer.install();
        if (!ok) {
          failures.push(`${installer.what}: ${lastLine(output)}`);
          continue;
        }
      }
      const judged = await judge(wanted, installer.path); // not asked for before: installing may decide it
      if ("found" in judged) return judged.found;
      failures.push(judged.refused);
    }
    return `installing failed (${failures.join("; ")})`;
  });
}
