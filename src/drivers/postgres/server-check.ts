import { DriverError } from "../../internal/driver-error.ts";
import type { Link } from "./link.ts";
import { ofStatement } from "./sqlstate.ts";

export interface Server {
  readonly version: string;
  readonly schema: string;
  /** What works, and may lose or stop one day. */
  readonly warnings: readonly string[];
}

const oldest = 150_000;

/** Rejects where nothing could be stored; says what could be lost. */
export async function checkServer(link: Link, schema: string | undefined): Promise<Server> {
  const [row = []] = await link.query(`SELECT current_setting('server_version_num'), current_setting('server_version'),
    current_setting('server_encoding'), pg_is_in_recovery(), current_setting('transaction_read_only'), current_setting('synchronous_commit'),
    current_setting('fsync'), current_setting('full_page_writes'), current_setting('transaction_isolation'), current_schema(),
    current_setting('synchronous_standby_names'), current_setting('bytea_output')`);
  const [number, version, encoding, recovers, readOnly, commit, fsync, pages, isolation, current, standbys, bytes] =
    row;
  if (Number(number) < oldest)
    throw new DriverError("BUS_UNSUPPORTED", `postgres: the server is ${version}; 15 is the oldest that is supported`);
  if (encoding !== "UTF8")
    throw new DriverError("BUS_UNSUPPORTED", `postgres: the database's encoding is ${encoding}; it must be UTF8`);
  if (recovers === "t" || readOnly === "on")
    throw new DriverError(
      "BUS_CONNECTION",
      "postgres: the server is a read-only standby: the url must name the primary, or all hosts",
      { retryable: true },
    );
  if (isolation !== "read committed")
    throw new DriverError(
      "BUS_UNSUPPORTED",
      `postgres: default_transaction_isolation is "${isolation}": it must be "read committed" for this user`,
    );
  if (bytes !== "hex")
    throw new DriverError("BUS_UNSUPPORTED", `postgres: bytea_output is "${bytes}": it must be "hex" for this user`);
  const place = schema ?? current;
  if (place === null || place === undefined)
    throw new DriverError(
      "BUS_NOT_FOUND",
      'postgres: no schema of the search_path exists: give one by the option "schema"',
    );
  const warnings: string[] = [];
  if (commit === "off")
    warnings.push(
      "synchronous_commit is off: what was acknowledged in the last moments before a crash of the server is lost",
    );
  if (commit === "local" && standbys !== "")
    warnings.push("synchronous_commit is local: what was acknowledged may be missing on a standby that takes over");
  if (fsync === "off") warnings.push("fsync is off: a crash of the machine can destroy the database");
  if (pages === "off") warnings.push("full_page_writes is off: a crash of the machine can destroy the database");
  return { version: version ?? "unknown", schema: place, warnings };
}

/** Of the server's history: a standby that is promoted begins another. Undefined: it doesn't say. */
export async function timelineOf(link: Link): Promise<string | undefined> {
  try {
    const [row] = await link.query("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)");
    return row?.[0] ?? undefined;
  } catch (error) {
    if (ofStatement(error)) return undefined;
    throw error;
  }
}
