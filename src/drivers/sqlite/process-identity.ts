import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/** Who a process is beyond its number, which the system uses again. */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, as the system tells it; "" where it doesn't. */
  readonly started: string;
  /** Where its number means something: the boot of this machine and, in a container, its own numbering. */
  readonly space: string;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Of `/proc/<pid>/stat`, from the state on: the name before it, in brackets, may hold anything. */
function statOf(pid: number): readonly string[] {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

const startOf = (stat: readonly string[]): string => stat[19] ?? "";

function spaceOf(): string {
  let numbering = "";
  try {
    numbering = readlinkSync("/proc/self/ns/pid");
  } catch {
    // Not Linux: numbers are the machine's.
  }
  return `${hostname()}|${read("/proc/sys/kernel/random/boot_id").trim()}|${numbering}`;
}

export function ownIdentity(): ProcessIdentity {
  return { pid: process.pid, started: startOf(statOf(process.pid)), space: spaceOf() };
}

/** True only when it is certain; what runs elsewhere is left to its lease. */
export function isDead(other: ProcessIdentity, own: ProcessIdentity): boolean {
  if (other.space !== own.space) return false;
  try {
    process.kill(other.pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
  const stat = statOf(other.pid);
  if (stat[0] === "Z" || stat[0] === "X") return true; // killed, and its parent has not asked yet
  return other.started !== "" && startOf(stat) !== "" && startOf(stat) !== other.started;
}
