import { lstatSync, mkdirSync } from "node:fs";
import { homedir, tmpdir, userInfo } from "node:os";
import { isAbsolute, join, resolve } from "node:path";

/** What was installed for this user: it outlives the repository and is shared by its copies. */
export function cacheFolder(): string {
  const base = process.env["XDG_CACHE_HOME"] ?? "";
  // Its specification wants one that is not absolute to be ignored; Go would refuse it.
  return join(isAbsolute(base) ? base : join(homedir(), ".cache"), "omnibus", "brokers");
}

/** The same for what root installs and another user has to run: root's own home is closed to it. */
export function openCacheFolder(): string {
  return process.getuid?.() === 0 ? "/var/cache/omnibus/brokers" : cacheFolder();
}

/**
 * A folder for each broker that runs, with its record, configuration, data and log. Temporary, because that is what a test's
 * broker is; `OMNIBUS_BROKERS_DIR` puts it elsewhere. Refuses a folder that another user made where this one's should be, and
 * one that others can write: what a record says is run.
 */
export function stateFolder(): string {
  const { uid, username } = userInfo();
  const usual = join(tmpdir(), `omnibus-brokers-${uid < 0 ? username : uid}`);
  const folder = resolve(process.env["OMNIBUS_BROKERS_DIR"] || usual);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const found = lstatSync(folder);
  if (!found.isDirectory() || (uid >= 0 && found.uid !== uid)) {
    throw new Error(`${folder} is not this user's own folder: set OMNIBUS_BROKERS_DIR to one that is`);
  }
  if ((found.mode & 0o002) !== 0) {
    throw new Error(
      `${folder} can be written by everybody: set OMNIBUS_BROKERS_DIR to a folder that only this user writes`,
    );
  }
  return folder;
}
