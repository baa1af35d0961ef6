import { DriverError } from "../../internal/driver-error.ts";
import type { Link } from "./link.ts";
import { functionVersion, layoutVersion, type Names } from "./names.ts";
import { functions, statements, steps, tables } from "./schema.ts";

/**
 * Makes what a new database lacks, brings an older layout up to date, refuses a newer one. All of it is one statement under a lock, so that a crash leaves
 * nothing or everything, and of many who start at once one works and the others find it done.
 */
export async function prepareLayout(
  link: Link,
  names: Names,
  manage: "create" | "verify" | "off",
  unhurried: (work: () => Promise<unknown>) => Promise<unknown> = (work) => work(),
): Promise<void> {
  if (manage === "off") return; // `checkLayout` says what is missing
  const found = await layoutOf(link, names);
  if ((found === undefined || found < layoutVersion) && manage === "create") {
    await unhurried(() => link.query(creation(names)));
    return refuse(await layoutOf(link, names), names);
  }
  refuse(found, names);
  refuseOlder(found, names);
  const missing = await missingOf(link, names);
  if (missing.length > 0)
    throw new DriverError(
      "BUS_NOT_FOUND",
      `postgres: missing at the server: ${missing.join(", ")} of "${names.prefix}" in schema "${names.schema}"${found === undefined ? ': run what postgresSchema() of "omnibus/drivers/postgres" gives, or connect once with manage "create"' : ": somebody removed it; it stands in what postgresSchema() gives"}`,
    );
}

/** Refuses what this version can't work with; the database's own number, by which another one is told from it. */
export async function checkLayout(link: Link, names: Names): Promise<string> {
  const found = await layoutOf(link, names);
  if (found === undefined)
    throw new DriverError(
      "BUS_NOT_FOUND",
      `postgres: there is nothing of "${names.prefix}" in schema "${names.schema}": run what postgresSchema() of "omnibus/drivers/postgres" gives, or connect once with manage "create"`,
    );
  refuse(found, names);
  refuseOlder(found, names);
  const [row] = await link.query(names.fill("SELECT value FROM {meta} WHERE key = 'id'"));
  return row?.[0] ?? "";
}

/**
 * What makes the layout, or changes an older one into it. A lock that another waits for behind somebody's open transaction would hold everybody up. Asked by a query: what `to_regclass`
 * remembers is not refreshed by waiting for an advisory lock.
 */
export function creation(names: Names): string {
  const text = [
    "DO $create$ BEGIN",
    "  SET LOCAL lock_timeout = '5s';",
    "  SET LOCAL check_function_bodies = off;", // fifty starts of a process are not to compile what none of them calls
    `  PERFORM pg_advisory_xact_lock(${names.lock("layout")});`,
    "  IF EXISTS (SELECT FROM pg_catalog.pg_tables",
    `    WHERE schemaname = '${literal(names.schema)}' AND tablename = '${literal(`${names.prefix}_meta`)}') THEN`,
    ...steps.flatMap((step, index) => [
      names.fill(`    IF (SELECT value = '${index + 1}' FROM {meta} WHERE key = 'layout') THEN`),
      ...filled(step, names),
      names.fill(`      UPDATE {meta} SET value = '${index + 2}' WHERE key = 'layout';`),
      "    END IF;",
    ]),
    "    RETURN;",
    "  END IF;",
    ...filled(statements, names),
    "END $create$",
  ];
  return text.join("\n");
}

/** With their names. Those of indexes and constraints are without their schema. */
function filled(texts: readonly string[], names: Names): readonly string[] {
  const own = (_: string, what: string, name: string): string =>
    `${what} "${names.prefix.replaceAll('"', '""')}_${name}"`;
  return texts.map(
    (statement) => `${names.fill(statement.replaceAll(/(CREATE INDEX|CONSTRAINT) \{([a-z_]+)\}/g, own))};`,
  );
}

/** The same for those who migrate by hand: of the usual names `docs/postgres-schema.sql`. */
export function schemaFile(names: Names): string {
  const comment = (text: string): string => `-- ${text.replaceAll(/[\r\n]/g, " ")}`;
  const head = [
    `The tables and functions of prefix "${names.prefix}", layout ${layoutVersion}, in the schema "${names.schema}", which has to be there.`,
    "Run it as the user who owns them, or is to: it makes all of it where there is nothing, and brings an older layout up to date.",
  ];
  return [...head.map(comment), `${creation(names)};`, ""].join("\n");
}

const literal = (text: string): string => text.replaceAll("'", "''");

async function layoutOf(link: Link, names: Names): Promise<number | undefined> {
  const there = await link.query("SELECT to_regclass($1)", [names.of("meta")]);
  if (there[0]?.[0] === null) return undefined;
  const rows = await link.query(names.fill("SELECT value FROM {meta} WHERE key = 'layout'"));
  const layout = Number(rows[0]?.[0]);
  if (!Number.isSafeInteger(layout) || layout < 1)
    throw new DriverError("BUS_CORRUPT", `postgres: ${names.of("meta")} doesn't say which layout it is`);
  return layout;
}

function refuse(found: number | undefined, names: Names): void {
  if (found !== undefined && found > layoutVersion)
    throw new DriverError(
      "BUS_CONFLICT",
      `postgres: "${names.prefix}" in schema "${names.schema}" has layout ${found}, this version knows ${layoutVersion}: a newer version of the package wrote it, use that one`,
    );
}

function refuseOlder(found: number | undefined, names: Names): void {
  if (found !== undefined && found < layoutVersion)
    throw new DriverError(
      "BUS_NOT_FOUND",
      `postgres: "${names.prefix}" in schema "${names.schema}" has layout ${found}, this version needs ${layoutVersion}: as the owner of the tables run what postgresSchema() of "omnibus/drivers/postgres" gives, or connect once with manage "create"`,
    );
}

async function missingOf(link: Link, names: Names): Promise<readonly string[]> {
  const wanted = [
    ...Object.keys(tables).map((name) => [`table ${name}`, `to_regclass('${literal(names.of(name))}')`] as const),
    ...Object.entries(functions).map(
      ([name, { takes }]) =>
        [
          `function ${name}`,
          `to_regprocedure('${literal(`${names.of(`${functionVersion}_${name}`)}(${takes})`)}')`,
        ] as const,
    ),
  ];
  const [row = []] = await link.query(`SELECT ${wanted.map(([, test]) => test).join(", ")}`);
  return wanted.flatMap(([what], at) => (row[at] === null ? [what] : []));
}
