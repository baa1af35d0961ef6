import { accessSync, constants, existsSync } from "node:fs";
import type { ConnectContext, Driver, DriverConnection } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { capabilities } from "./capabilities.ts";
import { classify, isBusy } from "./classify.ts";
import { SqliteConnection } from "./connection.ts";
import type { Database } from "./database.ts";
import { missingConnection } from "./missing-connection.ts";
import { prepared } from "./prepared.ts";
import { resolveOptions, type ResolvedOptions, type SqliteOptions } from "./options.ts";

export type { SqliteOptions } from "./options.ts";

/**
 * The embedded durable driver: everything in one file, shared by the processes of one machine. What it maps to what, what it
 * promises and what it costs stands in docs/sqlite.md.
 *
 * @example
 * const bus = await connect({ driver: sqlite({ path: "./bus.db" }) });
 */
export function sqlite(options: SqliteOptions): Driver {
  const resolved = resolveOptions(options);
  return { name: "sqlite", capabilities, classify, connect: (context) => connect(resolved, context) };
}

async function connect(options: ResolvedOptions, context: ConnectContext): Promise<DriverConnection> {
  if (context.prefix.toLowerCase().startsWith("sqlite"))
    throw new DriverError("BUS_INVALID_OPTION", 'sqlite: "prefix" must not begin with "sqlite"');
  const until = context.clock.ticks() + options.busyTimeoutMs;
  for (;;) {
    context.signal.throwIfAborted();
    try {
      return await open(options, context);
    } catch (error) {
      // Others may be making the file, or recovering it.
      if (!isBusy(error) || context.clock.ticks() >= until) throw error;
    }
    await new Promise<void>((resolve) => void context.clock.after(2 + context.clock.random() * 8, resolve));
  }
}

async function open(options: ResolvedOptions, context: ConnectContext): Promise<DriverConnection> {
  let database: Database | undefined;
  let connection: SqliteConnection | undefined;
  try {
    database = prepared(options, context);
    connection = new SqliteConnection(database, capabilities, context, options);
    await connection.join();
    return connection;
  } catch (error) {
    connection?.destroy();
    database?.close();
    if (context.manage === "verify" && error instanceof DriverError && error.code === "BUS_NOT_FOUND")
      return missingConnection(error, capabilities);
    throw refusedFile(error, options.path);
  }
}

/** SQLite says only that it can't open a file; whether rights are the reason is for the system to say. */
function refusedFile(error: unknown, path: string): unknown {
  if (classify(error).code !== "BUS_CONNECTION" || !existsSync(path)) return error;
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return error;
  } catch (cause) {
    return classify(cause).code === "BUS_AUTHENTICATION"
      ? new DriverError("BUS_AUTHENTICATION", "sqlite: the file may not be read and written by this user", { cause })
      : error;
  }
}
