import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";

const isBusy = (error: unknown): boolean => (error as { readonly errcode?: number }).errcode === 5;

/**
 * Runs the work while no other process, and nobody else in this one, holds the lock of this path; waits for it. SQLite's
 * lock on the file, because the system takes it back from a process that is killed: no lock is ever stale.
 */
export async function withLock<T>(path: string, work: () => T | Promise<T>): Promise<T> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const database = new DatabaseSync(path);
  try {
    for (;;) {
      try {
        database.exec("BEGIN EXCLUSIVE");
        break;
      } catch (error) {
        if (!isBusy(error)) throw error;
        await sleep(20);
      }
    }
    return await work();
  } finally {
    database.close();
  }
}
