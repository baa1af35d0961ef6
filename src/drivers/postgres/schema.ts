import { appendFunction, type DatabaseFunction } from "./functions/append.ts";
import { claimFunction } from "./functions/claim.ts";
import { directFunctions } from "./functions/direct.ts";
import { findFunction } from "./functions/find.ts";
import { memberFunctions } from "./functions/members.ts";
import { ownTurnFunction } from "./functions/own-turn.ts";
import { readFunction } from "./functions/read.ts";
import { retainFunctions } from "./functions/retain.ts";
import { settleFunction } from "./functions/settle.ts";
import { stateFunctions } from "./functions/state.ts";
import { tailFunction } from "./functions/tail.ts";
import { layoutVersion } from "./names.ts";

/** Rows that come and go: room for newer versions beside them, and looked through soon. */
const busy =
  "WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0)";

/** A message as it stands in the log and in `delayed`. `broker`: 16 bytes of its id for the broker. */
const messageColumns = `
  expires bigint, broker bytea, topic text COLLATE "C" NOT NULL, key text COLLATE "C", headers text, body bytea NOT NULL`;

/** A `StoredMessage`: `address` is JSON. */
const storedColumns = `
  id text COLLATE "C" NOT NULL, address text NOT NULL, grp text COLLATE "C", topic text COLLATE "C" NOT NULL,
  key text COLLATE "C", headers text NOT NULL, body bytea NOT NULL, stored_at bigint NOT NULL, not_before bigint`;

/**
 * Streams, groups, members and processes go by numbers that are never used twice, so that what a former owner still writes finds
 * nothing. Nothing that changes with each turn is updated in place: it is appended, and the newest counts, since an open
 * transaction anywhere in the database keeps every version of an updated row in its index. docs/postgres-design.md has the figures.
 */
export const tables: Readonly<Record<string, string>> = {
  meta: `CREATE TABLE {meta} (key text COLLATE "C" PRIMARY KEY, value text NOT NULL)`,

  // A log, or with \`queue\` the private lane of a group.
  stream: `CREATE TABLE {stream} (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL, queue boolean NOT NULL,
    topics text NOT NULL, partitions int NOT NULL, max_age bigint NOT NULL, max_bytes bigint NOT NULL, max_messages bigint,
    when_full text NOT NULL, idle_group bigint NOT NULL, gone boolean NOT NULL DEFAULT false, UNIQUE (queue, name))`,
  // \`first\`: the oldest position that is there; \`cut\`: the bytes below it. Written by retention alone.
  part: `CREATE TABLE {part} (
    stream int, partition smallint, first bigint NOT NULL DEFAULT 1, cut bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (stream, partition)) ${busy}`,
  // \`total\`: the bytes of the partition up to and including this one.
  log: `CREATE TABLE {log} (
    stream int, partition smallint, seq bigint, at bigint NOT NULL, total bigint NOT NULL,${messageColumns},
    PRIMARY KEY (stream, partition, seq), CONSTRAINT {log_once} UNIQUE (stream, broker))`,
  delayed: `CREATE TABLE {delayed} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, due bigint NOT NULL, stream int NOT NULL, partition smallint NOT NULL,
    event text COLLATE "C",${messageColumns}, CONSTRAINT {delayed_once} UNIQUE (stream, broker)) ${busy}`,

  // \`version\` moves with the definition, \`roster\` with the members.
  grp: `CREATE TABLE {grp} (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE, reads text NOT NULL,
    origin text NOT NULL, keeps text NOT NULL, live boolean NOT NULL, version bigint NOT NULL DEFAULT 1,
    roster bigint NOT NULL DEFAULT 0, idle_since bigint NOT NULL) ${busy}`,
  process: `CREATE TABLE {process} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, member text NOT NULL, name text NOT NULL, host text NOT NULL,
    pid int NOT NULL, since bigint NOT NULL, seen bigint NOT NULL, until bigint NOT NULL) ${busy}`,
  // `session` moves with each reconnect of its process: what an earlier one still asks for is refused.
  member: `CREATE TABLE {member} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, grp int NOT NULL, process bigint NOT NULL, version bigint NOT NULL,
    session int NOT NULL DEFAULT 0) ${busy}`,

  // Ordered: the lease row of a partition, and how it stood when it last changed hands; \`outs\`: how far
  // each former owner that died had handed out. Unordered: its start, and what was lost.
  place: `CREATE TABLE {place} (
    grp int, stream int, partition smallint, start bigint NOT NULL, cursor bigint NOT NULL, done bytea, outs bigint[],
    member bigint, epoch bigint NOT NULL DEFAULT 0, lost bigint NOT NULL DEFAULT 0, PRIMARY KEY (grp, stream, partition)) ${busy}`,
  // Ordered, appended: all up to \`cursor\` is settled, \`done\` above it, handed out up to \`out\`. \`n\`: the epoch in its high half.
  progress: `CREATE TABLE {progress} (
    grp int, stream int, partition smallint, n bigint, cursor bigint NOT NULL, out bigint NOT NULL,
    done bytea, PRIMARY KEY (grp, stream, partition, n)) ${busy}`,
  // Unordered, appended: claimed up to there.
  claimed: `CREATE TABLE {claimed} (
    grp int, stream int, partition smallint, seq bigint, PRIMARY KEY (grp, stream, partition, seq)) ${busy}`,
  // A run that is handed out together: bit n of \`done\` is \`first + n\`. Without a member anybody may take it over. Claims are
  // not waited for, so a crash takes a sequence back with them: a number from it could be given twice.
  claim: `CREATE TABLE {claim} (
    id bigint PRIMARY KEY DEFAULT (random() * 9007199254740991)::bigint, grp int NOT NULL, stream int NOT NULL, partition smallint NOT NULL,
    first bigint NOT NULL, last bigint NOT NULL, low bigint NOT NULL, done bytea NOT NULL, deliveries int NOT NULL,
    member bigint) ${busy}`,
  // A single message beside its log: retried, released or noted.
  held: `CREATE TABLE {held} (
    grp int, stream int, partition smallint, seq bigint, member bigint, due bigint NOT NULL, attempts int NOT NULL,
    not_before bigint, deliveries int NOT NULL, headers text, avoid text, PRIMARY KEY (grp, stream, partition, seq)) ${busy}`,

  letter: `CREATE TABLE {letter} (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,${storedColumns}, token text, claimed_until bigint NOT NULL DEFAULT 0,
    UNIQUE (id))`,
  // Where a removed letter stood, for whoever pages through them.
  letter_gone: `CREATE TABLE {letter_gone} (id text COLLATE "C" PRIMARY KEY, n bigint NOT NULL, at bigint NOT NULL)`,

  // A deleted key stays for an hour as a row without a value, so that watchers hear of it.
  state: `CREATE TABLE {state} (
    bucket text COLLATE "C", key text COLLATE "C", value bytea, revision bigint NOT NULL, expires bigint,
    PRIMARY KEY (bucket, key)) ${busy}`,
  schedule: `CREATE TABLE {schedule} (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,${storedColumns}, leased_until bigint NOT NULL DEFAULT 0, UNIQUE (id)) ${busy}`,

  // Emptied by a crash of the server, after which every process comes again. So is its sequence, from 15 on: another would be
  // given the number of one that has not come yet.
  listener: `CREATE UNLOGGED TABLE {listener} (
    id bigint PRIMARY KEY DEFAULT (random() * 9007199254740991)::bigint, process bigint NOT NULL, grp text, address text UNIQUE,
    patterns text NOT NULL, answers text NOT NULL, hears boolean NOT NULL) ${busy}`,
  direct: `CREATE UNLOGGED TABLE {direct} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, consumer bigint NOT NULL, frame bytea NOT NULL, expires bigint) ${busy}`,
};

const delayedEvent = "{delayed_event} ON {delayed} (event)";
const claimFree = "{claim_free} ON {claim} (grp, stream, partition, first) WHERE member IS NULL";
/** As `state-store.ts` asks for it, word for word, or it is not used. */
const scheduleDue = "{schedule_due} ON {schedule} ((coalesce(not_before, 0)), n)";

const indexes = [
  "{delayed_due} ON {delayed} (due, id)",
  delayedEvent,
  "{member_grp} ON {member} (grp)",
  "{member_process} ON {member} (process)",
  "{place_member} ON {place} (member)",
  "{claim_run} ON {claim} (grp, stream, partition, first)",
  claimFree,
  "{claim_member} ON {claim} (member)",
  "{held_due} ON {held} (grp, due) WHERE member IS NULL",
  "{held_released} ON {held} (grp) WHERE member IS NULL AND avoid IS NOT NULL",
  "{held_member} ON {held} (member) WHERE member IS NOT NULL",
  "{letter_grp} ON {letter} (grp, n)",
  "{state_revision} ON {state} (bucket, revision)",
  "{state_expires} ON {state} (expires) WHERE expires IS NOT NULL",
  scheduleDue,
  "{direct_consumer} ON {direct} (consumer, id)",
];

/** By name. */
export const functions: Readonly<Record<string, DatabaseFunction>> = {
  append: appendFunction,
  find: findFunction,
  read: readFunction,
  claim: claimFunction,
  settle: settleFunction,
  own_turn: ownTurnFunction,
  tail: tailFunction,
  ...memberFunctions,
  ...retainFunctions,
  ...directFunctions,
  ...stateFunctions,
};

function replaced(name: string): string {
  return functions[name]!.text.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION");
}

/** From the layout of its index plus one to the next. Processes of the version before go on beside those of the next. */
export const steps: readonly (readonly string[])[] = [
  // 1 to 2: what is published for later says whose id it has. That of a UUID is known; of another only its hash is.
  [
    `ALTER TABLE {delayed} ADD COLUMN event text COLLATE "C"`,
    "UPDATE {delayed} SET event = encode(broker, 'hex')::uuid::text",
    `CREATE INDEX ${delayedEvent}`,
    ...["move_due", "find"].map(replaced),
  ],
  // 2 to 3: what is asked for again and again is found by its index, in its order; a table that nothing was ever put into goes.
  [
    "DROP INDEX {claim_free}",
    `CREATE INDEX ${claimFree}`,
    "DROP INDEX {schedule_due}",
    `CREATE INDEX ${scheduleDue}`,
    ...["move_due", "append", "read", "claim", "own_turn"].map(replaced),
    "DROP TABLE IF EXISTS {parked}",
  ],
  // 3 to 4: what ran out is deleted without writing it anew, who listens can say anew how, and what is due is moved by one at a time.
  ["tidy", "hear", "move_due"].map(replaced),
];

/** All that a new database needs, in order. An index and a constraint stand in their table's schema, without naming it. */
export const statements: readonly string[] = [
  ...Object.values(tables),
  `ALTER TABLE {log} ALTER body SET STORAGE EXTERNAL`,
  `ALTER TABLE {delayed} ALTER body SET STORAGE EXTERNAL`,
  `ALTER TABLE {log} SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0)`,
  ...indexes.map((index) => `CREATE INDEX ${index}`),
  "CREATE SEQUENCE {revision}",
  ...Object.values(functions).map(({ text }) => text),
  `INSERT INTO {meta} VALUES ('layout', '${layoutVersion}'), ('id', gen_random_uuid()::text), ('routing', '1'), ('direct', '1')`,
];
