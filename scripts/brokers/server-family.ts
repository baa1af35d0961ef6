import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync, realpathSync } from "node:fs";
import { basename, sep } from "node:path";
import { identify, isAlive, type ProcessIdentity, signal } from "./process-identity.ts";

export interface Family {
  /** The processes that were started, as far as it is known. */
  readonly started: readonly ProcessIdentity[];
  /** Where they work, and nobody else. */
  readonly folder: string;
  /** What they run: a path, or the mere name of a program. */
  readonly programs: readonly string[];
}

type Parent = readonly [pid: number, parent: number];

/** The parent follows the state, behind the name in brackets, which may hold anything. */
function onLinux(name: string): readonly Parent[] {
  try {
    const stat = readFileSync(`/proc/${name}/stat`, "utf8");
    return [[Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1])]];
  } catch {
    return []; // gone by now
  }
}

const numbers = (): readonly string[] => readdirSync("/proc").filter(Number);

function parents(): readonly Parent[] {
  if (process.platform === "linux") return numbers().flatMap(onLinux);
  const { stdout } = spawnSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" });
  return (stdout ?? "").split("\n").map((line) => {
    const [pid = 0, parent = 0] = line.trim().split(/\s+/).map(Number);
    return [pid, parent] as const;
  });
}

/** What these processes started, and what that started, with themselves. */
function withDescendants(pids: readonly number[]): ReadonlySet<number> {
  const family = new Set(pids);
  const all = family.size === 0 ? [] : parents();
  for (let before = 0; before < family.size;) {
    before = family.size;
    for (const [child, parent] of all) if (family.has(parent)) family.add(child);
  }
  return family;
}

/** Without its links; what it was called when it is gone by now. */
function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** Only Linux tells where a process works. */
function workingIn({ folder, programs }: Family): readonly number[] {
  if (process.platform !== "linux") return [];
  const here = real(folder) + sep;
  const known = new Set(programs.map((program) => (program.includes(sep) ? real(program) : program)));
  return numbers().flatMap((name) => {
    try {
      if (!`${readlinkSync(`/proc/${name}/cwd`)}${sep}`.startsWith(here)) return [];
      const program = readlinkSync(`/proc/${name}/exe`).replace(/ \(deleted\)$/, "");
      return known.has(program) || known.has(basename(program)) ? [Number(name)] : [];
    } catch {
      return []; // no process any more, or not ours
    }
  });
}

/**
 * All processes of servers that live: what was started, what that started, each of which may lead a group of its own, and on
 * Linux also what has lost its parent, or was never put on record since its starter was killed.
 */
export function membersOf(family: Family): readonly ProcessIdentity[] {
  const started = family.started.filter(isAlive).map(({ pid }) => pid);
  const all = new Set([...withDescendants(started), ...workingIn(family)]);
  return [...all].flatMap((pid) => identify(pid) ?? []);
}

/** Sends SIGKILL to all of them, and gives them. They are stopped first, so that none is started while one looks. */
export function killFamily(family: Family): readonly ProcessIdentity[] {
  for (const each of family.started) signal(each, "SIGSTOP");
  const members = membersOf(family);
  for (const each of members) signal(each, "SIGKILL");
  return members;
}
