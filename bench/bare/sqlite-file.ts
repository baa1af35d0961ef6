/** What the bare SQLite programs share: a fresh file, durable like ours (WAL, synchronous=FULL), and its table. */
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
