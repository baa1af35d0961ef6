import { afterEach } from "vitest";
import { postgresCommand, type PostgresLogin } from "../../scripts/brokers/postgres-command.ts";
import type { ConnectContext, DriverConnection } from "../../src/driver.ts";
import { systemClock } from "../../src/clock.ts";
import { postgres, type PostgresOptions } from "../../src/drivers/postgres/index.ts";

interface Said {
  readonly statuses: { readonly type: string; readonly error?: unknown }[];
  readonly warnings: string[];
  changes: number;
}

export interface Connected extends Said {
  readonly connection: DriverConnection;
}

let worlds = 0;
let members = 0;
const open: DriverConnection[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((connection) => connection.close(AbortSignal.timeout(2_000))));
});

/** A schema of its own, on a server that tests share. */
export async function freshSchema(port: number, login?: PostgresLogin): Promise<string> {
  const schema = `w${process.pid}_${(worlds += 1)}_${Math.random().toString(36).slice(2, 8)}`;
  await postgresCommand(port, `CREATE SCHEMA ${schema}`, login);
  return schema;
}

export async function connectPostgres(
  options: PostgresOptions,
  {
    manage = "create",
    prefix = "omnibus",
  }: { readonly manage?: ConnectContext["manage"]; readonly prefix?: string } = {},
): Promise<Connected> {
  const said: Said = { statuses: [], warnings: [], changes: 0 };
  const id = `member-${(members += 1)}`;
  const now = new Date();
  const connection = await postgres(options).connect({
    name: "test",
    prefix,
    member: { id, name: id, host: "here", pid: process.pid, since: now, lastSeen: now, partitions: undefined },
    manage,
    clock: systemClock,
    signal: new AbortController().signal,
    status: (status) => void said.statuses.push(status),
    changed: () => void (said.changes += 1),
    warn: (message) => void said.warnings.push(message),
  });
  open.push(connection);
  return Object.assign(said, { connection });
}

/** What a try to connect is rejected with, as the bus would say it. */
export async function refusal(
  options: PostgresOptions,
  more: Parameters<typeof connectPostgres>[1] = {},
): Promise<string> {
  try {
    await connectPostgres(options, more);
  } catch (error) {
    return postgres(options).classify(error).code;
  }
  throw new Error("was not refused");
}
