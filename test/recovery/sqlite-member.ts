/** The SQLite driver in the recovery suite, and a member of it in a process of its own. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { sqlite } from "../../src/drivers/sqlite/index.ts";
import { type RecoveryUnderTest, runRecoveryMember } from "../../src/testing/index.ts";

const leaseMs = 1_500;
const config: RecoveryUnderTest["config"] = (path) => ({ driver: sqlite({ path, leaseMs }) });

export const sqliteUnderTest: RecoveryUnderTest = {
  name: "sqlite",
  capabilities: sqlite({ path: ":unused:" }).capabilities,
  broker: {
    async embedded() {
      const folder = await mkdtemp(join(tmpdir(), "omnibus-recovery-"));
      return {
        url: join(folder, "bus.db"),
        [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
      };
    },
  },
  config,
  member: new URL(import.meta.url),
  leaseMs,
  // an acknowledgement is stored a moment later, with what a busy disk has to sync before it
  repeatsMs: 500,
  // outside of a transaction, or it would keep the lock of the file, and nobody could go on without it
  async stop(pid, path) {
    const database = new DatabaseSync(path, { timeout: 5_000 });
    database.exec("BEGIN IMMEDIATE");
    process.kill(pid, "SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 50));
    database.exec("ROLLBACK");
    database.close();
  },
};

if (import.meta.main) await runRecoveryMember(config);
