import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach } from "vitest";
import { systemClock, type Clock } from "../../src/clock.ts";
import type { ConnectContext, DriverConnection, StreamOptions } from "../../src/driver.ts";
import { sqlite, type SqliteOptions } from "../../src/drivers/sqlite/index.ts";

export interface ConnectOptions extends Partial<SqliteOptions> {
  readonly member?: string;
  readonly prefix?: string;
  readonly manage?: ConnectContext["manage"];
  readonly clock?: Clock;
  /** Made once connected; none with `[]`. @default one stream, `events`, that takes everything */
  readonly streams?: readonly StreamOptions[];
}

export interface Connected {
  readonly connection: DriverConnection;
  readonly statuses: { readonly type: string; readonly error?: unknown }[];
  readonly changes: () => number;
}

let members = 0;

/** A folder of its own for each test, removed afterwards, and the connections that were opened in it. */
export class SqliteWorld {
  readonly folder: string = mkdtempSync(join(tmpdir(), "omnibus-sqlite-"));
  readonly #open: DriverConnection[] = [];

  get path(): string {
    return join(this.folder, "bus.db");
  }

  async connect(options: ConnectOptions = {}): Promise<Connected> {
    const { member, prefix = "omnibus", manage = "create", clock = systemClock, streams, ...rest } = options;
    const statuses: Connected["statuses"] = [];
    let changes = 0;
    members += 1;
    const id = member ?? `member-${members}`;
    const now = new Date();
    const connection = await sqlite({ path: this.path, ...rest }).connect({
      name: "test",
      prefix,
      member: { id, name: id, host: "here", pid: process.pid, since: now, lastSeen: now, partitions: undefined },
      manage,
      clock,
      signal: new AbortController().signal,
      status: (status) => void statuses.push(status),
      changed: () => void (changes += 1),
      warn: () => undefined,
    });
    this.#open.push(connection);
    for (const stream of streams ?? [{ name: "events", topics: [">"] }]) await connection.ensureStream(stream);
    return { connection, statuses, changes: () => changes };
  }

  /** A second look at the file, as from the shell. */
  raw(): DatabaseSync {
    const database = new DatabaseSync(this.path);
    database.exec("PRAGMA busy_timeout = 5000");
    return database;
  }

  rows(sql: string): readonly Readonly<Record<string, unknown>>[] {
    const database = this.raw();
    try {
      return database.prepare(sql).all();
    } finally {
      database.close();
    }
  }

  count(table: string): number {
    return this.rows(`SELECT count(*) AS count FROM omnibus_${table}`)[0]!["count"] as number;
  }

  async dispose(): Promise<void> {
    for (const connection of this.#open) await connection.close(AbortSignal.timeout(5_000));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** In a test: a world that is gone when the test ends. */
export function newWorld(): SqliteWorld {
  const world = new SqliteWorld();
  worlds.push(world);
  return world;
}

const worlds: SqliteWorld[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.dispose();
});
