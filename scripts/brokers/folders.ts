import { lstatSync, mkdirSync } from "node:fs";
import { homedir, tmpdir, userInfo } from "node:os";
import { join } from "node:path";

/** What was installed for this user: it outlives the repository and is shared by its copies. */
export function cacheFolder(): string {
  const base = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  return join(base, "omnibus", "brokers");
}

/**
 * A folder for each broker that runs, with its record, configuration, data and log. Temporary, because that is what a test's
 * broker is; `OMNIBUS_BROKERS_DIR` puts it elsewhere. Refuses a folder that another user made where this one's should be.
 */
export function stateFolder(): string {
  const { uid, username } = userInfo();
  const folder = process.env["OMNIBUS_BROKERS_DIR"] || join(tmpdir(), `omnibus-brokers-${uid < 0 ? username : uid}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const found = lstatSync(folder);
  if (!found.isDirectory() || (uid >= 0 && found.uid !== uid)) {
    throw new Error(`${folder} is not this user's own folder: set OMNIBUS_BROKERS_DIR to one that is`);
  }
  return folder;
}
