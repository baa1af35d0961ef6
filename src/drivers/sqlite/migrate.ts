import { DriverError } from "../../internal/driver-error.ts";
import type { Database } from "./database.ts";
import { createSchema, layoutVersion, tableNames } from "./schema.ts";

/** From the layout of its index plus one to the next; each within the transaction that also writes the new version. */
const steps: readonly ((database: Database) => void)[] = [
  // 1 to 2: a released message prefers other members; a stream knows its largest message.
  (database) => {
    database.exec("ALTER TABLE {held} ADD COLUMN avoid TEXT");
    database.exec("ALTER TABLE {stream} ADD COLUMN largest INTEGER NOT NULL DEFAULT 0");
    for (const { id } of database.query<{ readonly id: number }>("SELECT id FROM {stream}").all())
      database
        .query(`UPDATE {stream} SET largest = (SELECT coalesce(max(length(body)), 0) FROM {log_${id}}) WHERE id = ?`)
        .run(id);
  },
  // 2 to 3: what is published for later is found by its event's id.
  (database) => database.exec("CREATE INDEX {delayed_event} ON {delayed} (event)"),
];

/**
 * Makes the tables of a new file, brings those of an older layout up to date, refuses a newer one. Another process that does
 * the same at once waits and then finds it done. A crash leaves the old layout or the new one.
 */
export function prepareLayout(database: Database, manage: "create" | "verify" | "off"): void {
  if (manage === "off") return;
  const found = layoutOf(database);
  refuseNewer(database, found);
  if (found === layoutVersion) return verifyTables(database);
  if (manage === "verify")
    throw new DriverError(
      "BUS_NOT_FOUND",
      found === undefined
        ? `sqlite: ${database.path} has no tables of "${database.prefix}": connect once with manage "create"`
        : `sqlite: ${database.path} has layout ${found}, this version needs ${layoutVersion}: connect once with manage "create"`,
    );
  database.transaction(() => {
    const layout = layoutOf(database);
    refuseNewer(database, layout);
    if (layout === undefined) return createSchema(database);
    for (const step of steps.slice(layout - 1)) step(database);
    database.query("UPDATE {meta} SET value = ? WHERE key = 'layout'").run(layoutVersion);
  });
  if (found === undefined) database.query("PRAGMA wal_checkpoint(TRUNCATE)").get(); // or a small disk would hold it twice
}

function layoutOf(database: Database): number | undefined {
  if (!namesOf(database).has(`${database.prefix}_meta`)) return undefined;
  const row = database.query<{ readonly value: number }>("SELECT value FROM {meta} WHERE key = 'layout'").get();
  if (row === undefined || !Number.isSafeInteger(row.value) || row.value < 1)
    throw new DriverError("BUS_CORRUPT", `sqlite: ${database.path} doesn't say which layout it has`);
  return row.value;
}

function refuseNewer(database: Database, found: number | undefined): void {
  if (found !== undefined && found > layoutVersion)
    throw new DriverError(
      "BUS_CONFLICT",
      `sqlite: ${database.path} has layout ${found}, this version knows ${layoutVersion}: a newer version of the package wrote it, use that one`,
    );
}

function verifyTables(database: Database): void {
  const names = namesOf(database);
  const missing = tableNames.filter((name) => !names.has(`${database.prefix}_${name}`));
  if (missing.length > 0)
    throw new DriverError(
      "BUS_CORRUPT",
      `sqlite: ${database.path} lacks the tables ${missing.join(", ")}: restore it from a backup`,
    );
}

function namesOf(database: Database): ReadonlySet<string> {
  const rows = database.query<{ readonly name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  return new Set(rows.map(({ name }) => name));
}
