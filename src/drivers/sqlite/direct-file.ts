import { Database, type Query } from "./database.ts";
import type { LivingRow } from "./liveness.ts";
import type { ProcessIdentity } from "./process-identity.ts";

export interface DirectRow {
  readonly id: number;
  readonly consumer: number;
  readonly topic: string;
  readonly key: string | null;
  readonly reply: string | null;
  readonly expires: number | null;
  readonly headers: string | null;
  readonly body: Uint8Array;
}
export interface ConsumerRow extends LivingRow {
  readonly grp: string | null;
  readonly address: string | null;
  readonly patterns: string;
  /** Patterns of the requests that it answers. */
  readonly answers: string;
}

/** Another layout has other names: the file may be shared with another version, and be deleted. */
const statements = [
  "CREATE TABLE IF NOT EXISTS {direct_1_meta} (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
  `CREATE TABLE IF NOT EXISTS {direct_1_consumer} (
    id INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER NOT NULL, started TEXT NOT NULL, space TEXT NOT NULL, beat INTEGER NOT NULL DEFAULT 0,
    grp TEXT, address TEXT UNIQUE, patterns TEXT NOT NULL, answers TEXT NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS {direct_1_message} (
    id INTEGER PRIMARY KEY AUTOINCREMENT, consumer INTEGER NOT NULL, topic TEXT NOT NULL, key TEXT, reply TEXT, expires INTEGER, headers TEXT, body BLOB NOT NULL)`,
  "CREATE INDEX IF NOT EXISTS {direct_1_message_consumer} ON {direct_1_message} (consumer, id)",
  "CREATE INDEX IF NOT EXISTS {direct_1_message_expires} ON {direct_1_message} (expires) WHERE expires IS NOT NULL",
  "INSERT OR IGNORE INTO {direct_1_meta} VALUES ('registry', 0)",
];

/** The unsynced file beside the durable one: who listens, and what is under way between processes. May be deleted at any time. */
export class DirectFile {
  readonly database: Database;
  readonly #put: Query;
  readonly #of: Query<DirectRow>;
  readonly #taken: Query;
  readonly #registry: Query<{ readonly value: number }>;

  constructor(path: string, prefix: string) {
    this.database = new Database({ path: `${path}-direct`, prefix, synchronous: "OFF", create: true });
    try {
      this.database.transaction(() => {
        for (const statement of statements) this.database.exec(statement);
      });
      this.#put = this.database.query(
        "INSERT INTO {direct_1_message} (consumer, topic, key, reply, expires, headers, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
      );
      this.#of = this.database.query("SELECT * FROM {direct_1_message} WHERE consumer = ? ORDER BY id LIMIT ?");
      this.#taken = this.database.query("DELETE FROM {direct_1_message} WHERE consumer = ? AND id <= ?");
      this.#registry = this.database.query("SELECT value FROM {direct_1_meta} WHERE key = 'registry'");
    } catch (error) {
      this.database.close();
      throw error;
    }
  }

  register(identity: ProcessIdentity, group: string | undefined, address: string | undefined): number {
    this.#touch();
    return this.database
      .query(
        "INSERT INTO {direct_1_consumer} (pid, started, space, grp, address, patterns, answers) VALUES (?, ?, ?, ?, ?, '[]', '[]')",
      )
      .insert(identity.pid, identity.started, identity.space, group ?? null, address ?? null);
  }

  wants(consumer: number, patterns: readonly string[], answers: readonly string[]): void {
    this.database
      .query("UPDATE {direct_1_consumer} SET patterns = ?, answers = ? WHERE id = ?")
      .run(JSON.stringify(patterns), JSON.stringify(answers), consumer);
    this.#touch();
  }

  unregister(consumer: number): void {
    this.database.query("DELETE FROM {direct_1_consumer} WHERE id = ?").run(consumer);
    this.database.query("DELETE FROM {direct_1_message} WHERE consumer = ?").run(consumer);
    this.#touch();
  }

  /** False when others took it for dead. */
  renew(consumer: number): boolean {
    return this.database.query("UPDATE {direct_1_consumer} SET beat = beat + 1 WHERE id = ?").run(consumer) === 1;
  }

  consumers(): ConsumerRow[] {
    return this.database.query<ConsumerRow>("SELECT * FROM {direct_1_consumer} ORDER BY id").all();
  }

  /** Moves whenever somebody comes, goes or wants something else. */
  registry(): number {
    return this.#registry.get()?.value ?? 0;
  }

  put(
    consumer: number,
    topic: string,
    key: string | null,
    reply: string | null,
    expires: number | null,
    headers: string | null,
    body: Uint8Array,
  ): void {
    this.#put.run(consumer, topic, key, reply, expires, headers, body);
  }

  /** Takes what waits for a consumer, in order; it is gone then. */
  take(consumer: number, limit: number): DirectRow[] {
    const rows = this.#of.all(consumer, limit);
    if (rows.length > 0) this.#taken.run(consumer, rows.at(-1)!.id);
    return rows;
  }

  /** Removes the oldest of what waits for a consumer beyond so many. How many went. */
  trim(consumer: number, most: number): number {
    return this.database
      .query(
        `DELETE FROM {direct_1_message} WHERE consumer = ?1 AND id <=
         (SELECT id FROM {direct_1_message} WHERE consumer = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)`,
      )
      .run(consumer, most);
  }

  overflows(consumer: number, most: number): boolean {
    return (
      this.database
        .query("SELECT 1 FROM {direct_1_message} WHERE consumer = ? LIMIT 1 OFFSET ?")
        .get(consumer, most) !== undefined
    );
  }

  anythingFor(consumer: number): boolean {
    return this.#of.get(consumer, 1) !== undefined;
  }

  removeExpired(now: number): void {
    this.database.query("DELETE FROM {direct_1_message} WHERE expires <= ?").run(now);
  }

  anyExpired(now: number): boolean {
    return this.database.query("SELECT 1 FROM {direct_1_message} WHERE expires <= ? LIMIT 1").get(now) !== undefined;
  }

  #touch(): void {
    this.database.query("UPDATE {direct_1_meta} SET value = value + 1 WHERE key = 'registry'").run();
  }
}
