import type { Database } from "./database.ts";

/** Of the tables below; in the table `meta`. A change here needs a step in migrate.ts. */
export const layoutVersion = 3;

/** A message as it stands in a log and in `delayed`; `headers` is JSON, or the number of a text in `header_text`. */
const messageColumns = `
  topic TEXT NOT NULL,
  key TEXT,
  event TEXT NOT NULL,
  expires INTEGER,
  headers NUMERIC,
  body BLOB NOT NULL`;

/** A `StoredMessage`: `address` is JSON. */
const storedColumns = `
  address TEXT NOT NULL,
  grp TEXT,
  topic TEXT NOT NULL,
  key TEXT,
  headers TEXT NOT NULL,
  body BLOB NOT NULL,
  stored_at INTEGER NOT NULL,
  not_before INTEGER`;

/**
 * Groups, streams, members and processes go by integers that are never used twice (AUTOINCREMENT), so that what a former owner
 * still writes finds nothing.
 */
const statements = [
  "CREATE TABLE {meta} (key TEXT PRIMARY KEY, value) WITHOUT ROWID",

  // A log, or with `queue` the private lane of a group. Sequence numbers start at 1 and have no gaps.
  `CREATE TABLE {stream} (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, queue INTEGER NOT NULL,
    topics TEXT NOT NULL, partitions INTEGER NOT NULL, max_age INTEGER NOT NULL, max_bytes INTEGER NOT NULL,
    max_messages INTEGER, when_full TEXT NOT NULL, idle_group INTEGER NOT NULL,
    first INTEGER NOT NULL DEFAULT 1, last INTEGER NOT NULL DEFAULT 0, last_at INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0, largest INTEGER NOT NULL DEFAULT 0, UNIQUE (queue, name))`,
  `CREATE TABLE {delayed} (id INTEGER PRIMARY KEY, due INTEGER NOT NULL, stream INTEGER NOT NULL, partition INTEGER NOT NULL,${messageColumns})`,
  "CREATE INDEX {delayed_due} ON {delayed} (due)",
  "CREATE INDEX {delayed_event} ON {delayed} (event)",
  "CREATE TABLE {header_text} (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)",
  // Of two windows one fills; when it is 120 s old the other is emptied and fills next.
  "CREATE TABLE {seen_a} (broker TEXT, stream INTEGER, seq INTEGER NOT NULL, PRIMARY KEY (broker, stream)) WITHOUT ROWID",
  "CREATE TABLE {seen_b} (broker TEXT, stream INTEGER, seq INTEGER NOT NULL, PRIMARY KEY (broker, stream)) WITHOUT ROWID",

  // `version` moves with the definition, `roster` with the members.
  `CREATE TABLE {grp} (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, reads TEXT NOT NULL, origin TEXT NOT NULL, keeps TEXT NOT NULL,
    live INTEGER NOT NULL, version INTEGER NOT NULL DEFAULT 1, roster INTEGER NOT NULL DEFAULT 0,
    idle_since INTEGER NOT NULL)`,
  `CREATE TABLE {process} (
    id INTEGER PRIMARY KEY AUTOINCREMENT, member TEXT NOT NULL, name TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL,
    started TEXT NOT NULL, space TEXT NOT NULL, since INTEGER NOT NULL, seen INTEGER NOT NULL, beat INTEGER NOT NULL DEFAULT 0)`,
  `CREATE TABLE {member} (
    id INTEGER PRIMARY KEY AUTOINCREMENT, grp INTEGER NOT NULL, process INTEGER NOT NULL, version INTEGER NOT NULL)`,
  "CREATE INDEX {member_grp} ON {member} (grp)",
  "CREATE INDEX {member_process} ON {member} (process)",

  // How far an unordered group has claimed a stream; what it still misses below stands in `claim` and `held`.
  `CREATE TABLE {cursor} (
    grp INTEGER, stream INTEGER, seq INTEGER NOT NULL, start INTEGER NOT NULL, skips TEXT, lost INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (grp, stream)) WITHOUT ROWID`,
  // A run of a stream handed out together: bit n of `done` is `first + n`. Without a member anybody may take it over.
  `CREATE TABLE {claim} (
    id INTEGER PRIMARY KEY, grp INTEGER NOT NULL, stream INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    low INTEGER NOT NULL, done BLOB NOT NULL, deliveries INTEGER NOT NULL, member INTEGER)`,
  "CREATE INDEX {claim_grp} ON {claim} (grp, stream, low)",
  "CREATE INDEX {claim_free} ON {claim} (grp) WHERE member IS NULL",
  "CREATE INDEX {claim_member} ON {claim} (member)",
  // A single message beside its log: retried, released or noted. Of an ordered group only the note; its place is in `own`.
  // Of a released one `avoid` has the members that may have it from `not_before` on only, everybody else from `due` on.
  `CREATE TABLE {held} (
    grp INTEGER, stream INTEGER, seq INTEGER, member INTEGER, due INTEGER NOT NULL, attempts INTEGER NOT NULL, not_before INTEGER,
    deliveries INTEGER NOT NULL, headers TEXT, avoid TEXT, PRIMARY KEY (grp, stream, seq)) WITHOUT ROWID`,
  "CREATE INDEX {held_due} ON {held} (grp, due) WHERE member IS NULL",
  "CREATE INDEX {held_member} ON {held} (member) WHERE member IS NOT NULL",
  // A partition of an ordered group. `cursor`: all up to it is settled; `done`: what is settled above it; `out`: handed out by
  // this owner; `counts`: how often what former owners left was handed out.
  `CREATE TABLE {own} (
    grp INTEGER, stream INTEGER, partition INTEGER, member INTEGER, epoch INTEGER NOT NULL DEFAULT 0, cursor INTEGER NOT NULL,
    start INTEGER NOT NULL, done BLOB, out INTEGER NOT NULL DEFAULT 0, counts TEXT, lost INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (grp, stream, partition)) WITHOUT ROWID`,
  "CREATE INDEX {own_member} ON {own} (member)",

  `CREATE TABLE {letter} (
    n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,${storedColumns},
    token TEXT, claimed_until INTEGER NOT NULL DEFAULT 0)`,
  "CREATE INDEX {letter_grp} ON {letter} (grp)",
  // Where a removed letter stood, for whoever pages through them.
  "CREATE TABLE {letter_gone} (id TEXT PRIMARY KEY, n INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID",

  // A deleted key stays for an hour as a row without a value, so that watchers hear of it.
  `CREATE TABLE {state} (bucket TEXT, key TEXT, value BLOB, revision INTEGER NOT NULL, expires INTEGER, PRIMARY KEY (bucket, key)) WITHOUT ROWID`,
  "CREATE INDEX {state_revision} ON {state} (bucket, revision)",
  "CREATE INDEX {state_expires} ON {state} (expires) WHERE expires IS NOT NULL",
  `CREATE TABLE {schedule} (n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,${storedColumns}, leased_until INTEGER NOT NULL DEFAULT 0)`,
  "CREATE INDEX {schedule_due} ON {schedule} (not_before)",
];

/** Everything that a new file needs; within the caller's transaction. */
export function createSchema(database: Database): void {
  for (const statement of statements) database.exec(statement);
  database
    .query(
      "INSERT INTO {meta} VALUES ('layout', ?), ('routing', 1), ('revision', 0), ('seen_table', 'a'), ('seen_since', 0)",
    )
    .run(layoutVersion);
}

/** The log of one stream. */
export function createLog(database: Database, stream: number): void {
  database.exec(
    `CREATE TABLE {log_${stream}} (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, partition INTEGER NOT NULL,${messageColumns})`,
  );
}

export function dropLog(database: Database, stream: number): void {
  database.forget(`{log_${stream}}`);
  database.exec(`DROP TABLE IF EXISTS {log_${stream}}`);
}

/** The tables that every layout has, without the logs. */
export const tableNames: readonly string[] = statements.flatMap((statement) => {
  const name = /^\s*CREATE TABLE \{(\w+)\}/.exec(statement)?.[1];
  return name === undefined ? [] : [name];
});
