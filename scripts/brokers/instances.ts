import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { stateFolder } from "./folders.ts";
import type { Found } from "./find-broker.ts";
import { freePorts } from "./free-ports.ts";
import { withLock } from "./lock.ts";
import { identify, isAlive, type ProcessIdentity } from "./process-identity.ts";
import { removeContainer } from "./server-container.ts";
import { killFamily } from "./server-family.ts";

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

/** What its servers run, where that is a process of ours. */
export const programsOf = (found: Found): readonly string[] =>
  found.way === "executable" ? [found.path, ...(found.programs ?? [])] : [];

/** Ends all of it without waiting, and forgets it. */
export function removeInstance({ id, found, processes }: Instance): void {
  const folder = folderOf(id);
  if (found.way === "container") removeContainer(found.engine, id);
  else killFamily({ started: processes.filter((each) => each !== null), folder, programs: programsOf(found) });
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

/** Ends what the owners that are gone left running, and removes their folders. */
function sweep(): void {
  for (const id of ids()) {
    const instance = readInstance(id);
    if (instance === undefined) rmSync(folderOf(id), { recursive: true, force: true });
    else if (instance.owner !== null && !isAlive(instance.owner)) removeInstance(instance);
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
