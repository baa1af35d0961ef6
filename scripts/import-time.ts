import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./run.ts";

export const budgetMs = 30;

export interface ImportTime {
  readonly ms: number;
  /** User and system, of all threads: steadier than the clock on a shared machine. */
  readonly cpuMs: number;
}

/** What importing takes in a process of its own, and an empty module beside it: medians of runs that take turns. */
export function importTimes(
  name: string,
  folder: string,
  runs = 20,
): { readonly core: ImportTime; readonly empty: ImportTime } {
  writeFileSync(join(folder, "empty.mjs"), "export {};");
  const measured = { core: measurement(name, folder), empty: measurement("./empty.mjs", folder) };
  const times = { core: [] as ImportTime[], empty: [] as ImportTime[] };
  for (let at = 0; at <= runs; at += 1) {
    for (const side of ["core", "empty"] as const) {
      const [ms = Number.NaN, cpuMs = Number.NaN] = run("node", [measured[side]], folder).output.split(" ").map(Number);
      if (at > 0) times[side].push({ ms, cpuMs }); // the first one reads the files from the disk
    }
  }
  return { core: medians(times.core), empty: medians(times.empty) };
}

function measurement(specifier: string, folder: string): string {
  const path = specifier === "./empty.mjs" ? "time-empty.mjs" : "time-core.mjs";
  writeFileSync(
    join(folder, path),
    `const [from, before] = [performance.now(), process.cpuUsage()];
await import(${JSON.stringify(specifier)});
const [ms, { user, system }] = [performance.now() - from, process.cpuUsage(before)];
console.log(ms, (user + system) / 1_000);`,
  );
  return path;
}

function medians(times: readonly ImportTime[]): ImportTime {
  const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
  return { ms: median(times.map(({ ms }) => ms)), cpuMs: median(times.map(({ cpuMs }) => cpuMs)) };
}
