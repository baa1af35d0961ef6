import type { ConnectContext } from "../../driver.ts";
import { Database } from "./database.ts";
import { prepareLayout } from "./migrate.ts";
import type { ResolvedOptions } from "./options.ts";

/** The durable file, open, with the tables that this version needs. */
export function prepared({ path, maxFileBytes }: ResolvedOptions, { manage, prefix }: ConnectContext): Database {
  const database = new Database({ path, prefix, synchronous: "FULL", create: manage === "create", maxFileBytes });
  try {
    prepareLayout(database, manage);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}
