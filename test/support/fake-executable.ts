import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach } from "vitest";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A folder for this test alone. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "omnibus-fake-"));
  folders.push(folder);
  return folder;
}

/** A shell script under a name, in a folder to put on the path; its commands are found although the path may lead nowhere. */
export function fakeExecutable(name: string, script: string, folder: string = temporaryFolder()): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\nPATH=/usr/bin:/bin\n${script}\n`);
  chmodSync(path, 0o755);
  return folder;
}
