/** What the bare SQLite programs share: a fresh file, durable like ours (WAL, synchronous=FULL), its tables, and how a cursor moves. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

export interface BareFile {
  readonly path: string;
  readonly db: DatabaseSync;
  readonly remove: () => void;
}

export function openFile(path: string, synchronous: "FULL" | "OFF" = "FULL"): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 5_000 });
  db.exec(`PRAGMA journal_mode=WAL; PRAGMA synchronous=${synchronous};
    CREATE TABLE IF NOT EXISTS log (position INTEGER PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS answers (position INTEGER PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS cursor (id INTEGER PRIMARY KEY, position INTEGER NOT NULL)`);
  return db;
}

export function freshFile(directory: string, synchronous?: "FULL" | "OFF"): BareFile {
  const folder = mkdtempSync(join(directory, "bare-"));
  const path = join(folder, "bare.db");
  const db = openFile(path, synchronous);
  return {
    path,
    db,
    remove: () => {
      db.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/**
 * Moves the cursor like ours: commits with synchronous=NORMAL, so that a later commit syncs it, and once in 100 ms with FULL
 * unless somebody else's commits do (`othersSync`).
 */
export function settler(db: DatabaseSync, othersSync = false): (position: number) => void {
  const settle = db.prepare("INSERT OR REPLACE INTO cursor (id, position) VALUES (1, ?)");
  let syncedAt = performance.now();
  return (position) => {
    const synced = !othersSync && performance.now() - syncedAt >= 100;
    if (!synced) db.exec("PRAGMA synchronous=NORMAL");
    settle.run(position);
    if (synced) syncedAt = performance.now();
    else db.exec("PRAGMA synchronous=FULL");
  };
}
