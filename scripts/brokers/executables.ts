import { accessSync, constants, statSync } from "node:fs";
import { delimiter, resolve } from "node:path";
import type { BrokerKind } from "./broker-kind.ts";
import { command } from "./command.ts";
import type { Found, Wanted } from "./find-broker.ts";

/** Negative: `a` is the older. */
function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split(".").map(Number));
  for (const at of [0, 1, 2]) if (left?.[at] !== right?.[at]) return (left?.[at] ?? 0) - (right?.[at] ?? 0);
  return 0;
}

export const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
};

/** Servers are often where only root's path leads. */
export function onPath(executable: string): readonly string[] {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin"];
  return [...new Set(folders.filter((folder) => folder !== "").map((folder) => resolve(folder, executable)))].filter(
    isExecutable,
  );
}

async function versionOf({ versionArgs }: BrokerKind, path: string): Promise<string | undefined> {
  if (typeof versionArgs === "function") return versionArgs(path);
  const { ok, output } = await command(path, versionArgs, { timeoutMs: 10_000 });
  return ok ? /\d+\.\d+(?:\.\d+)?/.exec(output)?.[0] : undefined;
}

type Judged = { readonly found: Found } | { readonly refused: string };

/** A binary is taken when it runs, is not older than the minimum, and is of the release where one was asked for. */
export async function judge({ kind, release }: Wanted, path: string): Promise<Judged> {
  const version = await versionOf(kind, path);
  if (version === undefined) return { refused: `${path} does not tell its version` };
  if (compareVersions(version, kind.minimum) < 0) {
    return { refused: `${path} is ${version}, and ${kind.minimum} is the lowest that works` };
  }
  if (release !== "newest" && !version.startsWith(`${release}.`)) return { refused: `${path} is ${version}` };
  const { programs } = kind;
  return { found: { way: "executable", path, version, ...(programs === undefined ? {} : { programs }) } };
}
