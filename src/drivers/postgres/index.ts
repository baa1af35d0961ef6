import type { Driver } from "../../driver.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { classify } from "./classify.ts";
import { PostgresConnection } from "./connection.ts";
import { schemaFile } from "./migrate.ts";
import { Names } from "./names.ts";
import { resolveOptions, type PostgresOptions } from "./options.ts";

export type { PgPool } from "./client.ts";
export type { PostgresOptions, PostgresTlsOptions } from "./options.ts";

/**
 * PostgreSQL, from server 15 on. What it maps to what, what it promises and what it costs at the server stands in
 * docs/postgres.md.
 *
 * @example
 * const bus = await connect({ driver: postgres({ url: "postgres://localhost/app" }) });
 */
export function postgres(options: PostgresOptions = {}): Driver {
  const resolved = resolveOptions(options);
  return {
    name: "postgres",
    capabilities: capabilitiesOf(resolved),
    classify,
    async connect(context) {
      context.signal.throwIfAborted();
      return await PostgresConnection.open(resolved, context);
    },
  };
}

/**
 * The SQL that makes the driver's tables and functions, or brings those of an older version up to date, for who migrates by hand:
 * one statement, as the owner of the tables, in a schema that is there. It may be run again. Throws a DriverError
 * (BUS_INVALID_OPTION) for names that PostgreSQL can't have.
 *
 * @param schema `PostgresOptions.schema`
 * @param prefix `BusOptions.prefix`
 * @example
 * process.stdout.write(postgresSchema("events"));
 */
export function postgresSchema(schema = "public", prefix = "omnibus"): string {
  return schemaFile(new Names(schema, prefix));
}
