import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Who a process is beyond its number, which the system uses again. */
export interface ProcessIdentity {
  readonly pid: number;
  /** The boot and the moment at which it started, as the system tells them. */
  readonly started: string;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

interface Look {
  /** The first letter of its state; "" of one that is gone. */
  readonly state: string;
  readonly started: string;
}

/**
 * Linux: from the state in `/proc/<pid>/stat` on; the name before it, in brackets, may hold anything. The first thread of a
 * killed process can be a zombie while others are still ending, and with them its open ports: that is not gone yet.
 */
function onLinux(pid: number): Look {
  const stat = read(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state = "", threads, start] = [fields[0], fields[17], fields[19]];
  const isEnding = state === "Z" && Number(threads) > 1;
  return { state: isEnding ? "R" : state, started: `${read("/proc/sys/kernel/random/boot_id").trim()} ${start}` };
}

function elsewhere(pid: number): Look {
  const { stdout } = spawnSync("ps", ["-o", "stat=,lstart=", "-p", String(pid)], { encoding: "utf8" });
  const [, state = "", started = ""] = /^\s*(\S)\S*\s+(.+?)\s*$/.exec(stdout ?? "") ?? [];
  return { state, started };
}

/** Undefined: no process of this number lives. One that ended and that its parent has not asked about yet is dead. */
function look(pid: number): Look | undefined {
  const found = process.platform === "linux" ? onLinux(pid) : elsewhere(pid);
  return found.state === "" || "ZX".includes(found.state) ? undefined : found;
}

/** Undefined: no process of this number is alive. */
export function identify(pid: number): ProcessIdentity | undefined {
  const started = look(pid)?.started;
  return started === undefined ? undefined : { pid, started };
}

export type ProcessState = "running" | "paused" | "down";

export function stateOf({ pid, started }: ProcessIdentity): ProcessState {
  const found = look(pid);
  if (found?.started !== started) return "down";
  return found.state === "T" ? "paused" : "running";
}

export const isAlive = (target: ProcessIdentity): boolean => stateOf(target) !== "down";

/** False: there is none of that number, or no group of it. */
function send(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    return false;
  }
}

/**
 * Signals the process, if it is still the same one, and with it the group that it leads, if it leads one. The group's number is
 * not used again as long as one of its members lives.
 */
export function signal(target: ProcessIdentity, name: NodeJS.Signals): void {
  if (isAlive(target) && !send(-target.pid, name)) send(target.pid, name);
}
