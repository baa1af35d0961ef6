/** The PostgreSQL driver in the recovery suite, and a member of it in a process of its own. */
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { postgres } from "../../src/drivers/postgres/index.ts";
import { type RecoveryNames, type RecoveryUnderTest, runRecoveryMember } from "../../src/testing/index.ts";

const leaseMs = 2_000;
// a silent line is lost after an answer that does not come
const socketTimeoutMs = 1_000;
const config: RecoveryUnderTest["config"] = (url) => ({
  driver: postgres({ url, leaseMs, socketTimeoutMs, pollMs: 500 }),
});

/** As by hand: only the rows, and nobody is told. */
const deleted =
  (statements: (names: RecoveryNames & { readonly name: string }) => readonly string[]) =>
  async (names: RecoveryNames & { readonly name: string }): Promise<void> => {
    const port = Number(new URL(names.url).port);
    for (const statement of statements(names)) await postgresCommand(port, statement);
  };

const deleteGroup = deleted(({ prefix, name }) => [`DELETE FROM "${prefix}_grp" WHERE name = '${name}'`]);
const deleteStream = deleted(({ prefix, name }) => [
  `DELETE FROM "${prefix}_log" WHERE stream IN (SELECT id FROM "${prefix}_stream" WHERE NOT queue AND name = '${name}')`,
  `DELETE FROM "${prefix}_stream" WHERE NOT queue AND name = '${name}'`,
]);

export const postgresUnderTest: RecoveryUnderTest = {
  name: "postgres",
  capabilities: postgres().capabilities,
  broker: { create: async () => await startBroker("postgres", { own: true }) },
  config,
  member: new URL(import.meta.url),
  leaseMs,
  silenceMs: 3 * socketTimeoutMs,
  // acknowledgements are not waited for: a crash of the server takes those of three times wal_writer_delay
  repeatsMs: 1_000,
  deleteGroupNatively: ({ group, ...names }) => deleteGroup({ ...names, name: group }),
  deleteStreamNatively: ({ stream, ...names }) => deleteStream({ ...names, name: stream }),
};

if (import.meta.main) await runRecoveryMember(config);
