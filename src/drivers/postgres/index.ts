import type { Driver } from "../../driver.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { classify } from "./classify.ts";
import { PostgresConnection } from "./connection.ts";
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
