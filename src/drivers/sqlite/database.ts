import { closeSync, constants, lstatSync, openSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { DriverError } from "../../internal/driver-error.ts";

/** One prepared statement; `Row` is what the caller says its columns are. */
export class Query<Row = unknown> {
  readonly #statement: StatementSync;

  constructor(statement: StatementSync) {
    this.#statement = statement;
  }

  all(...values: SQLInputValue[]): Row[] {
    return this.#statement.all(...values) as Row[];
  }

  get(...values: SQLInputValue[]): Row | undefined {
    return this.#statement.get(...values) as Row | undefined;
  }

  /** How many rows changed. */
  run(...values: SQLInputValue[]): number {
    return Number(this.#statement.run(...values).changes);
  }

  /** The rowid of the new row. */
  insert(...values: SQLInputValue[]): number {
    return Number(this.#statement.run(...values).lastInsertRowid);
  }
}

export interface DatabaseSettings {
  readonly path: string;
  /** Of every table: `{stream}` in a statement stands for `"<prefix>_stream"`. */
  readonly prefix: string;
  readonly synchronous: "FULL" | "OFF";
  readonly create: boolean;
  readonly maxFileBytes?: number | undefined;
}

/** One SQLite file, in WAL mode, only for us (0600). Synchronous; waits at most a few milliseconds for a lock. */
export class Database {
  /** As the file system calls it, without links: `-wal` stands beside that. */
  readonly path: string;
  readonly prefix: string;
  readonly raw: DatabaseSync;
  readonly #inode: string;
  readonly #queries = new Map<string, Query>();
  readonly #begin: Query;
  readonly #read: Query;
  readonly #commit: Query;
  readonly #rollback: Query;
  readonly #dataVersion: Query<{ readonly data_version: number }>;

  constructor(settings: DatabaseSettings) {
    this.path = locate(settings.path, settings.create);
    this.prefix = settings.prefix.replaceAll('"', '""');
    this.raw = new DatabaseSync(this.path, { enableForeignKeyConstraints: false });
    try {
      // Before the file has any table: half the writes of the usual 4 KiB for a batch, little more for a single message.
      this.raw.exec("PRAGMA page_size = 8192");
      // Short: whoever needs longer comes back by the event loop.
      this.raw.exec("PRAGMA busy_timeout = 5");
      const { journal_mode } = this.raw.prepare("PRAGMA journal_mode = WAL").get() as { readonly journal_mode: string };
      if (journal_mode !== "wal")
        throw new DriverError(
          "BUS_CONNECTION",
          `sqlite: ${this.path} can't have a write-ahead log: its file system has no shared memory`,
        );
      this.raw.exec(`PRAGMA synchronous = ${settings.synchronous}`);
      this.raw.exec("PRAGMA cell_size_check = ON");
      this.raw.exec("PRAGMA temp_store = MEMORY");
      this.raw.exec("PRAGMA wal_autocheckpoint = 500");
      this.raw.exec("PRAGMA journal_size_limit = 67108864");
      if (settings.maxFileBytes !== undefined) {
        const { page_size } = this.raw.prepare("PRAGMA page_size").get() as { readonly page_size: number };
        this.raw.exec(`PRAGMA max_page_count = ${Math.floor(settings.maxFileBytes / page_size)}`);
      }
      this.#begin = this.query("BEGIN IMMEDIATE");
      this.#read = this.query("BEGIN");
      this.#commit = this.query("COMMIT");
      this.#rollback = this.query("ROLLBACK");
      this.#dataVersion = this.query("PRAGMA data_version");
      this.#inode = inodeOf(this.path) ?? "";
    } catch (error) {
      this.raw.close();
      throw error;
    }
  }

  /** Prepared once, kept. */
  query<Row = unknown>(sql: string): Query<Row> {
    let query = this.#queries.get(sql);
    if (query === undefined) {
      query = new Query(this.raw.prepare(this.#named(sql)));
      this.#queries.set(sql, query);
    }
    return query as Query<Row>;
  }

  /** Forgets statements of a table that is gone. */
  forget(fragment: string): void {
    for (const sql of this.#queries.keys()) if (sql.includes(fragment)) this.#queries.delete(sql);
  }

  exec(sql: string): void {
    this.raw.exec(this.#named(sql));
  }

  begin(): void {
    this.#begin.run();
  }

  commit(): void {
    this.#commit.run();
  }

  /** Some errors have rolled back already. */
  rollback(): void {
    if (this.raw.isTransaction) this.#rollback.run();
  }

  /** All of it or nothing; rejects with SQLite's own error, that of a lock included. */
  transaction<Result>(body: () => Result): Result {
    this.begin();
    try {
      const result = body();
      this.commit();
      return result;
    } catch (error) {
      this.rollback();
      throw error;
    }
  }

  /** Several looks at one state of the file, whatever others commit meanwhile. */
  snapshot<Result>(body: () => Result): Result {
    this.#read.run();
    try {
      return body();
    } finally {
      this.rollback();
    }
  }

  /** Moves when another connection has committed. */
  dataVersion(): number {
    return this.#dataVersion.get()!.data_version;
  }

  /** The file under its name is no longer the one that is open. */
  replaced(): boolean {
    return inodeOf(this.path) !== this.#inode;
  }

  close(): void {
    this.#queries.clear();
    if (this.raw.isOpen) this.raw.close();
  }

  #named(sql: string): string {
    return sql.replaceAll(/\{(\w+)\}/g, (_, name: string) => `"${this.prefix}_${name}"`);
  }
}

function inodeOf(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
}

/** Refuses folders and files that anybody else may write, before SQLite makes anything in them. */
function locate(path: string, create: boolean): string {
  const absolute = resolve(path);
  const folder = realpathSync(dirname(absolute));
  const { mode } = statSync(folder);
  if ((mode & 0o002) !== 0 && (mode & constants.S_IFMT) === constants.S_IFDIR && (mode & 0o1000) === 0)
    throw new DriverError("BUS_AUTHENTICATION", `sqlite: ${folder} may be written by everybody: chmod o-w it`);
  const file = join(folder, basename(absolute));
  const found = lstatSync(file, { throwIfNoEntry: false });
  if (found === undefined) {
    if (!create)
      throw new DriverError("BUS_NOT_FOUND", `sqlite: ${file} does not exist: connect once with manage "create"`);
    // Only a file that was not there may be opened by us: closing it would drop the locks of another connection of this process.
    try {
      closeSync(openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error; // another process was faster
    }
    return file;
  }
  const real = found.isSymbolicLink() ? realpathSync(file) : file;
  const there = statSync(real);
  if (!there.isFile()) throw new DriverError("BUS_CONNECTION", `sqlite: ${real} is not a file`);
  if ((there.mode & 0o002) !== 0)
    throw new DriverError("BUS_AUTHENTICATION", `sqlite: ${real} may be written by everybody: chmod 600 it`);
  return real;
}
