import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { randomBytes } from "node:crypto";
import { join, sep } from "node:path";
import { stateFolder } from "./folders.ts";
import type { Found } from "./find-broker.ts";
import { freePorts } from "./free-ports.ts";
import { withLock } from "./lock.ts";
import { identify, isAlive, type ProcessIdentity, signal } from "./process-identity.ts";
import { removeContainer } from "./server-container.ts";

/** A broker that was started, as every process of this user can read it. */
export interface Instance {
  /** Its folder's name; also the server's or the container's. */
  readonly id: string;
  readonly kind: string;
  readonly release: string;
  readonly variant: string;
  readonly label: string;
  readonly found: Found;
  /** By server. */
  readonly ports: readonly (readonly number[])[];
  /** By server; null until it was started for the first time. */
  readonly processes: readonly (ProcessIdentity | null)[];
  /** The process with which it ends; null: kept until it is stopped. */
  readonly owner: ProcessIdentity | null;
  /** ISO 8601. */
  readonly since: string;
}

export const folderOf = (id: string): string => join(stateFolder(), id);
const recordOf = (id: string): string => join(folderOf(id), "record.json");

export function self(): ProcessIdentity {
  return identify(process.pid) ?? { pid: process.pid, started: "" };
}

/** A reader sees the old record or the new one. */
export function writeInstance(instance: Instance): void {
  const path = recordOf(instance.id);
  writeFileSync(`${path}.new`, JSON.stringify(instance, undefined, 2));
  renameSync(`${path}.new`, path);
}

function readInstance(id: string): Instance | undefined {
  try {
    const record = JSON.parse(readFileSync(recordOf(id), "utf8")) as Partial<Instance> | null;
    return record?.id === id && record.found && record.ports && record.processes ? (record as Instance) : undefined;
  } catch {
    return undefined;
  }
}

/** Whatever else is in the folder is somebody's, and not ours to remove. */
const idPattern = /^omnibus-[a-z]+-[0-9a-f]{12}$/;

const ids = (): readonly string[] =>
  readdirSync(stateFolder(), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && idPattern.test(entry.name))
    .map(({ name }) => name);

export function listInstances(): readonly Instance[] {
  return ids().flatMap((id) => readInstance(id) ?? []);
}

/** Those that are kept, by what they are called. */
export function keptInstance(label: string): Instance | undefined {
  return listInstances().find((instance) => instance.owner === null && instance.label === label);
}

/** Ends all of it without waiting, and forgets it. */
export function removeInstance(instance: Instance): void {
  if (instance.found.way === "container") removeContainer(instance.found.engine, instance.id);
  for (const process of instance.processes) if (process !== null) signal(process, "SIGKILL");
  rmSync(folderOf(instance.id), { recursive: true, force: true, maxRetries: 5 });
}

/** The program's own file; what it was called when that is gone by now. */
function programOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/**
 * A starter can be killed between the start of a server and its record. On Linux the server is found all the same: it runs
 * our executable in a folder that nobody else works in.
 */
function unrecorded({ id, found, processes }: Instance): readonly ProcessIdentity[] {
  if (process.platform !== "linux" || found.way !== "executable") return [];
  const executable = programOf(found.path);
  return readdirSync("/proc").flatMap((name) => {
    try {
      if (!readlinkSync(`/proc/${name}/cwd`).startsWith(folderOf(id) + sep)) return [];
      if (readlinkSync(`/proc/${name}/exe`).replace(/ \(deleted\)$/, "") !== executable) return [];
      const found = identify(Number(name));
      return found === undefined || processes.some((known) => known?.pid === found.pid) ? [] : [found];
    } catch {
      return []; // no process, or not ours
    }
  });
}

/** Ends what the owners that are gone left running, and removes their folders. */
function sweep(): void {
  for (const id of ids()) {
    const instance = readInstance(id);
    if (instance === undefined) rmSync(folderOf(id), { recursive: true, force: true });
    else if (instance.owner !== null && !isAlive(instance.owner)) {
      for (const process of unrecorded(instance)) signal(process, "SIGKILL");
      removeInstance(instance);
    }
  }
}

/** Cleans up behind crashed owners, then takes ports and a folder for a new broker, which belongs to this process. */
export async function newInstance(
  wanted: Pick<Instance, "kind" | "release" | "variant" | "label" | "found">,
  ports: readonly number[],
): Promise<Instance> {
  return withLock(join(stateFolder(), "lock"), async () => {
    sweep();
    const taken = new Set(listInstances().flatMap((instance) => instance.ports.flat()));
    const free = await freePorts(
      ports.reduce((sum, count) => sum + count, 0),
      taken,
    );
    const instance: Instance = {
      ...wanted,
      id: `omnibus-${wanted.kind}-${randomBytes(6).toString("hex")}`,
      ports: ports.map((count) => free.splice(0, count)),
      processes: ports.map(() => null),
      owner: self(),
      since: new Date().toISOString(),
    };
    mkdirSync(folderOf(instance.id), { mode: 0o700 });
    writeInstance(instance);
    return instance;
  });
}

/** Also done by every start. */
export async function sweepInstances(): Promise<void> {
  await withLock(join(stateFolder(), "lock"), sweep);
}
