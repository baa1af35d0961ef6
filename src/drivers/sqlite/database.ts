import { closeSync, constants, lstatSync, openSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { DriverError } from "../../internal/driver-error.ts";
import { LogFile } from "./log-file.ts";

/** One prepared statement; `Row` is what the caller says its columns are, or with `tuples` their values in order. */
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

/** A log of so many pages is copied into the file. */
const checkpointPages = 500;

/** SQLite's own code for it. */
const busy = 5;

/** One SQLite file, in WAL mode, only for us (0600). Synchronous; waits at most a few milliseconds for a lock. */
export class Database {
  /** As the file system calls it, without links: `-wal` stands beside that. */
  readonly path: string;
  readonly prefix: string;
  readonly raw: DatabaseSync;
  readonly #inode: string;
  readonly #synchronous: DatabaseSettings["synchronous"];
  /** Commits are not synced now: the transaction that is open won't be, or going back failed. */
  #relaxed = false;
  /** A transaction that could not be rolled back. */
  #stuck = false;
  readonly #log: LogFile;
  readonly #queries = new Map<string, Query>();
  readonly #tuples = new Map<string, Query>();
  readonly #begin: Query;
  readonly #read: Query;
  readonly #commit: Query;
  readonly #rollback: Query;
  readonly #dataVersion: Query<{ readonly data_version: number }>;
  readonly #changes: Query<readonly [number]>;

  constructor(settings: DatabaseSettings) {
    this.path = locate(settings.path, settings.create);
    this.prefix = settings.prefix.replaceAll('"', '""');
    this.#synchronous = settings.synchronous;
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
      // SQLite says nothing of an error of its own checkpoint, which concerns only a file that is synced.
      this.raw.exec(`PRAGMA wal_autocheckpoint = ${settings.synchronous === "OFF" ? checkpointPages : 0}`);
      this.raw.exec("PRAGMA journal_size_limit = 67108864");
      const { page_size } = this.raw.prepare("PRAGMA page_size").get() as { readonly page_size: number };
      this.#log = new LogFile(`${this.path}-wal`, page_size);
      if (settings.maxFileBytes !== undefined)
        this.raw.exec(`PRAGMA max_page_count = ${Math.floor(settings.maxFileBytes / page_size)}`);
      this.#begin = this.query("BEGIN IMMEDIATE");
      this.#read = this.query("BEGIN");
      this.#commit = this.query("COMMIT");
      this.#rollback = this.query("ROLLBACK");
      this.#dataVersion = this.query("PRAGMA data_version");
      this.#changes = this.tuples("SELECT total_changes()");
      this.#inode = inodeOf(this.path) ?? "";
    } catch (error) {
      this.raw.close();
      throw error;
    }
  }

  /** False for a file that may be lost at any time. */
  get syncs(): boolean {
    return this.#synchronous === "FULL";
  }

  /** Prepared once, kept. */
  query<Row = unknown>(sql: string): Query<Row> {
    return this.#prepared<Row>(sql, this.#queries, false);
  }

  /** As `query`, each row as an array: the binding makes those in two thirds of the time of an object. */
  tuples<Row extends readonly unknown[]>(sql: string): Query<Row> {
    return this.#prepared<Row>(sql, this.#tuples, true);
  }

  /** Forgets statements of a table that is gone. */
  forget(fragment: string): void {
    for (const queries of [this.#queries, this.#tuples])
      for (const sql of queries.keys()) if (sql.includes(fragment)) queries.delete(sql);
  }

  exec(sql: string): void {
    this.raw.exec(this.#named(sql));
  }

  /**
   * `synced` false: the commit is written and seen by others, and synced with the next one that is. A power cut may take back
   * the last of them, in their order; a crash of the process takes nothing.
   */
  begin(synced = true): void {
    if (this.#stuck) this.rollback();
    if (synced) this.#restore();
    else if (this.syncs) {
      this.#relaxed = true;
      this.raw.exec("PRAGMA synchronous = NORMAL");
    }
    try {
      this.#begin.run();
    } catch (error) {
      this.#ended();
      throw error;
    }
  }

  commit(): void {
    this.#commit.run();
    this.#ended();
  }

  /** Some errors have rolled back already. */
  rollback(): void {
    if (!this.raw.isOpen) return;
    this.#stuck = true; // unless the next line ends
    if (this.raw.isTransaction) this.#rollback.run();
    this.#stuck = false;
    this.#ended();
  }

  /** Copies what it can of a long log into the file, synced; nothing of a short one. Throws when that fails. */
  checkpoint(): void {
    if (this.syncs && this.#log.reaches(checkpointPages)) this.query("PRAGMA wal_checkpoint(PASSIVE)").get();
  }

  /** Copies all of the log into the file, synced, so that the log begins anew. Throws when that fails, as busy when another reads or writes. */
  restartLog(): void {
    const result = this.query<{ readonly busy: number }>("PRAGMA wal_checkpoint(RESTART)").get();
    if (result?.busy !== 0)
      throw Object.assign(new Error(`${this.path}: another process holds the log`), { errcode: busy });
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

  /** Moves with each row that this connection writes. */
  changes(): number {
    return this.#changes.get()![0];
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
    this.#tuples.clear();
    this.#log.close();
    if (this.raw.isOpen) this.raw.close();
  }

  #prepared<Row>(sql: string, queries: Map<string, Query>, asArrays: boolean): Query<Row> {
    let query = queries.get(sql);
    if (query === undefined) {
      const statement = this.raw.prepare(this.#named(sql));
      statement.setReturnArrays(asArrays);
      queries.set(sql, (query = new Query(statement)));
    }
    return query as Query<Row>;
  }

  /** The transaction is over, whatever comes of this: the next that must be synced tries it again before it begins. */
  #ended(): void {
    try {
      this.#restore();
    } catch {
      // It is tried again.
    }
  }

  #restore(): void {
    if (!this.#relaxed) return;
    this.raw.exec(`PRAGMA synchronous = ${this.#synchronous}`);
    this.#relaxed = false;
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
