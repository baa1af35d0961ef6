import { accessSync, constants, existsSync, statSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import type { BrokerKind } from "./broker-kind.ts";
import { command, lastLine } from "./command.ts";
import { findEngine, imageOf, pullImage } from "./container-engine.ts";
import { cacheFolder } from "./folders.ts";
import { type Installer, mayInstall } from "./installer.ts";
import { withLock } from "./lock.ts";

/** What a broker of our own is started from. */
export type Found =
  | { readonly way: "executable"; readonly path: string; readonly version: string }
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

/** Negative: `a` is the older. */
function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split(".").map(Number));
  for (const at of [0, 1, 2]) if (left?.[at] !== right?.[at]) return (left?.[at] ?? 0) - (right?.[at] ?? 0);
  return 0;
}

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
};

/** Servers are often where only root's path leads. */
function onPath(executable: string): readonly string[] {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin"];
  return [...new Set(folders.filter((folder) => folder !== "").map((folder) => resolve(folder, executable)))].filter(
    isExecutable,
  );
}

type Judged = { readonly found: Found } | { readonly refused: string };

/** A binary is taken when it runs, is not older than the minimum, and is of the release where one was asked for. */
async function judge({ kind, release }: Wanted, path: string): Promise<Judged> {
  const { ok, output } = await command(path, kind.versionArgs, { timeoutMs: 10_000 });
  const version = /\d+\.\d+(?:\.\d+)?/.exec(output)?.[0];
  if (!ok || version === undefined) return { refused: `${path} does not tell its version` };
  if (compareVersions(version, kind.minimum) < 0) {
    return { refused: `${path} is ${version}, and ${kind.minimum} is the lowest that works` };
  }
  if (release !== "newest" && !version.startsWith(`${release}.`)) return { refused: `${path} is ${version}` };
  return { found: { way: "executable", path, version } };
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
  if (kind.ports(variant).length > 1) return "several servers don't run in containers"; // they would have to meet
  const engine = await findEngine();
  if (engine === undefined) return "no docker or podman answers";
  const version = kind.releases[release] ?? release;
  const image = imageOf(kind.name, kind.releases["newest"] ?? "", version);
  const failed = await pullImage(engine, image, say);
  return failed === undefined ? { way: "container", engine, image, version } : `${engine} has no ${image}: ${failed}`;
}

/**
 * What to start it from, in the order of docs/brokers.md; `say` is told what takes a while. Rejects with BrokerUnavailable
 * when every way is closed.
 */
export async function findBroker(wanted: Wanted, say: (line: string) => void): Promise<Found> {
  const { kind, release, label } = wanted;
  const tried: string[] = [];
  const installers = kind.installers(release);
  const paths = [...onPath(kind.executable), ...installers.map(({ path }) => path).filter(isExecutable)];
  for (const path of new Set(paths)) {
    const judged = await judge(wanted, path);
    if ("found" in judged) return judged.found;
    tried.push(judged.refused);
  }
  if (paths.length === 0) tried.push(`no ${kind.executable} on the path`);

  const contained = await inContainer(wanted, say);
  if (typeof contained !== "string") return contained;
  tried.push(contained);

  const wasInstalled = mayInstall() ? await installOne(wanted, installers, say) : "installing was not asked for";
  if (typeof wasInstalled !== "string") return wasInstalled;
  tried.push(wasInstalled);
  const version = release === "newest" ? `${kind.minimum} or newer` : (kind.releases[release] ?? release);
  const ways = [
    mayInstall()
      ? `Put ${kind.executable} ${version} on the path`
      : `Set OMNIBUS_TEST_INSTALL=1 to install ${installers.map(({ what }) => what).join(" or ")}`,
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
    for (const { what, path, install } of installers) {
      if (!existsSync(path)) {
        say(`installs ${what}`);
        const { ok, output } = await install();
        if (!ok) {
          failures.push(`${what}: ${lastLine(output)}`);
          continue;
        }
      }
      const judged = await judge(wanted, path);
      if ("found" in judged) return judged.found;
      failures.push(judged.refused);
    }
    return `installing failed (${failures.join("; ")})`;
  });
}
