import { createHash } from "node:crypto";
import { existsSync, readFileSync, realpathSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join, sep } from "node:path";
import { onPath } from "./executables.ts";
import type { Found } from "./find-broker.ts";
import { cacheFolder } from "./folders.ts";
import { withLock } from "./lock.ts";

/** Beside what was installed, of which it is removed with. Another Java wants another, and would ignore this one. */
function archiveOf(path: string): string | undefined {
  const [java] = onPath("java");
  if (java === undefined || !path.startsWith(cacheFolder() + sep) || /["'\\]/.test(path)) return undefined;
  const program = realpathSync(java);
  const key = createHash("md5")
    .update(`${program} ${statSync(program).mtimeMs}`)
    .digest("hex")
    .slice(0, 12);
  return join(dirname(dirname(path)), `${basename(dirname(path))}.${key}.jsa`);
}

/** Its first bytes are written last. */
const isWhole = (archive: string): boolean => existsSync(archive) && readFileSync(archive).subarray(0, 4).some(Boolean);

/**
 * A server on Java spends more than half of its start on reading and checking classes. Those that we installed get an archive of
 * them, once: a server that is started for it, by `run`, leaves it when it ends.
 */
export async function withClassArchive(
  found: Found,
  run: (found: Found) => Promise<void>,
  say: (line: string) => void,
): Promise<Found> {
  if (found.way !== "executable") return found;
  const archive = archiveOf(found.path);
  if (archive === undefined) return found;
  const having = (option: string): Found => ({ ...found, env: { JDK_JAVA_OPTIONS: `"-XX:${option}"` } });
  if (!existsSync(archive)) {
    await withLock(join(cacheFolder(), "lock"), async () => {
      if (existsSync(archive)) return;
      say(`makes ${basename(archive)}, with which it starts in half the time`);
      const unfinished = `${archive}.new`;
      try {
        await run(having(`ArchiveClassesAtExit=${unfinished}`));
        if (isWhole(unfinished)) renameSync(unfinished, archive);
      } finally {
        rmSync(unfinished, { force: true });
      }
    });
  }
  return existsSync(archive) ? having(`SharedArchiveFile=${archive}`) : found;
}
