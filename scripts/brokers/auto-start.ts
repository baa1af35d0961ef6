import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { atExit } from "./at-exit.ts";

const policyPath = "/usr/sbin/policy-rc.d";
const ours =
  "#!/bin/sh\n# Written by omnibus while it installs a package, which must not start its service.\nexit 101\n";

/** Also what a run that was killed left behind. */
function putBack(path: string, saved: string): void {
  if (existsSync(saved)) renameSync(saved, path);
  else if (existsSync(path) && readFileSync(path, "utf8") === ours) rmSync(path);
}

/** Installs Debian packages without starting their services: whatever policy there was is in force again afterwards. */
export async function withoutAutoStart<T>(work: () => Promise<T>, path = policyPath): Promise<T> {
  const saved = `${path}.before-omnibus`;
  const restore = (): void => putBack(path, saved);
  restore();
  if (spawnSync(path, ["any", "start"]).status === 101) return work();
  const atEnd = atExit(restore);
  try {
    if (existsSync(path)) renameSync(path, saved);
    writeFileSync(path, ours);
    chmodSync(path, 0o755);
    return await work();
  } finally {
    restore();
    atEnd[Symbol.dispose]();
  }
}
