import { mkdirSync, writeFileSync } from "node:fs";
import { Session } from "node:inspector/promises";
import { join } from "node:path";

let runs = 0;

/** Runs `work`; with OMNIBUS_BENCH_PROFILE it writes what the processor did meanwhile into that folder, a file for each run. */
export async function profiled<T>(work: () => Promise<T>): Promise<T> {
  const folder = process.env["OMNIBUS_BENCH_PROFILE"];
  if (folder === undefined) return work();
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.start");
  try {
    return await work();
  } finally {
    const { profile } = await session.post("Profiler.stop");
    session.disconnect();
    runs += 1;
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${process.pid}-${runs}.cpuprofile`), JSON.stringify(profile));
  }
}
