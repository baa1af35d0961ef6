import { DriverError } from "../../internal/driver-error.ts";
import {
  boolean,
  callable,
  either,
  integer,
  oneOf,
  optionProblem,
  record,
  text,
  type Kind,
  type Shape,
} from "../../internal/option-problem.ts";
import type { PgPool } from "./client.ts";
import { parseUrl, type ServerAddress } from "./server-url.ts";

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`; several hosts with commas, of which the first that takes writes is used. @default "postgres://127.0.0.1:5432" */
  readonly url?: string | undefined;
  /** @default what the url has, or "postgres" */
  readonly username?: string | undefined;
  /** A function is asked before each connection, for those that expire. @default what the url has */
  readonly password?: string | (() => string | Promise<string>) | undefined;
  /** @default what the url has, or the user's name */
  readonly database?: string | undefined;
  /** The schema that the tables lie in; it must exist. @default the first of the connection's `search_path` */
  readonly schema?: string | undefined;
  /** TLS, with these files; `{}` asks for it with the system's authorities. @default by `sslmode` */
  readonly tls?: PostgresTlsOptions | undefined;
  /** As in libpq's urls: `require` and `verify-full` check the certificate and its name, `verify-ca` the certificate only. @default "disable", with `tls` "verify-full" */
  readonly sslmode?: "disable" | "require" | "verify-ca" | "verify-full" | undefined;
  /** As in libpq's urls: the file of `tls.caFile`. @default none */
  readonly sslrootcert?: string | undefined;
  /** As in libpq's urls: the file of `tls.certFile`. @default none */
  readonly sslcert?: string | undefined;
  /** As in libpq's urls: the file of `tls.keyFile`. @default none */
  readonly sslkey?: string | undefined;
  /** A `Pool` of `pg` that is yours: never ended by the bus, several buses may share it. It needs 4 clients, 3 without `listen`. @default none */
  readonly pool?: PgPool | undefined;
  /** How long the pool may take to give a client; longer, and what was asked for did not happen. In milliseconds. @default 5_000 */
  readonly poolTimeoutMs?: number | undefined;
  /** Whether a connection listens to what others announce; without it they are heard by `pollMs` alone. @default true */
  readonly listen?: boolean | undefined;
  /** How long a member may be silent before what it holds goes to others; renewed every third. In milliseconds. @default 10_000 */
  readonly leaseMs?: number | undefined;
  /** How often an idle member looks without having been woken: the net under a lost wake-up. In milliseconds. @default 1_000, where nothing can be listened to 100 */
  readonly pollMs?: number | undefined;
  /** Until the server's first answer, with `socketTimeoutMs`; several hosts share it evenly. In milliseconds. @default 5_000 */
  readonly connectTimeoutMs?: number | undefined;
  /** An answer that takes longer means that the connection is lost. In milliseconds. @default 5_000 */
  readonly socketTimeoutMs?: number | undefined;
  /** How long a second send of an event is recognised. In milliseconds. @default 120_000 */
  readonly dedupeWindowMs?: number | undefined;
}

export interface PostgresTlsOptions {
  /** The file of the authorities that are trusted. @default the system's */
  readonly caFile?: string | undefined;
  /** The file of the client's certificate. @default none */
  readonly certFile?: string | undefined;
  /** The file of its key. @default none */
  readonly keyFile?: string | undefined;
}

export interface ResolvedTls extends PostgresTlsOptions {
  /** The certificate has to name the host. */
  readonly named: boolean;
}

export interface ResolvedOptions {
  readonly hosts: ServerAddress["hosts"];
  readonly username: string;
  readonly password: string | (() => string | Promise<string>) | undefined;
  readonly database: string;
  readonly schema: string | undefined;
  readonly tls: ResolvedTls | undefined;
  readonly pool: PgPool | undefined;
  readonly poolTimeoutMs: number;
  readonly listen: boolean;
  readonly leaseMs: number;
  readonly pollMs: number | undefined;
  readonly connectTimeoutMs: number;
  readonly socketTimeoutMs: number;
  readonly dedupeWindowMs: number;
}

const pool: Kind = (value) =>
  typeof (value as PgPool | null)?.connect === "function" && typeof (value as PgPool).on === "function"
    ? undefined
    : "must be a Pool of pg";
const sslmodes = ["disable", "require", "verify-ca", "verify-full"] as const;

const shape: Shape = {
  url: text,
  username: text,
  password: either(text, callable),
  database: text,
  schema: text,
  tls: record,
  sslmode: oneOf(...sslmodes),
  sslrootcert: text,
  sslcert: text,
  sslkey: text,
  pool,
  poolTimeoutMs: integer(10, 600_000),
  listen: boolean,
  leaseMs: integer(300, 3_600_000),
  pollMs: integer(10, 600_000),
  connectTimeoutMs: integer(10, 600_000),
  socketTimeoutMs: integer(100, 600_000),
  dedupeWindowMs: integer(0, 86_400_000),
};
const tlsShape: Shape = { caFile: text, certFile: text, keyFile: text };
const inUrl = ["sslmode", "sslrootcert", "sslcert", "sslkey"] as const;
/** What a pool that is given has of its own. */
const ofPool = ["url", "username", "password", "database", "tls", ...inUrl, "connectTimeoutMs"] as const;

/** Refuses what is unknown or out of range, naming it; fills in the defaults. */
export function resolveOptions(options: PostgresOptions): ResolvedOptions {
  const problem = optionProblem("postgres", options, shape) ?? optionProblem('postgres: "tls"', options.tls, tlsShape);
  if (problem !== undefined) throw invalid(problem);
  const both = options.pool === undefined ? undefined : ofPool.find((name) => options[name] !== undefined);
  if (both !== undefined) throw invalid(`postgres: "${both}" is the pool's own; leave it out beside "pool"`);
  const address = parseUrl(options.url ?? "postgres://127.0.0.1:5432");
  const given = { ...address.query, ...options };
  const again =
    optionProblem("postgres: the url", address.query, {
      sslmode: shape["sslmode"]!,
      sslrootcert: text,
      sslcert: text,
      sslkey: text,
    }) ??
    inUrl
      .map((name) =>
        name in address.query && options[name] !== undefined
          ? `postgres: "${name}" stands in the url already; leave the option out`
          : undefined,
      )
      .find((each) => each !== undefined);
  if (again !== undefined) throw invalid(again);
  const username = options.username ?? address.username ?? "postgres";
  const most = options.pool?.options?.max;
  const needed = options.listen === false ? 3 : 4;
  if (most !== undefined && most < needed)
    throw invalid(`postgres: the "pool" has ${most} clients at most, and ${needed} are needed`);
  return {
    hosts: address.hosts,
    username,
    password: options.password ?? address.password,
    database: options.database ?? address.database ?? username,
    schema: options.schema,
    tls: tlsOf(given),
    pool: options.pool,
    poolTimeoutMs: options.poolTimeoutMs ?? 5_000,
    listen: options.listen ?? true,
    leaseMs: options.leaseMs ?? 10_000,
    pollMs: options.pollMs,
    connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
    socketTimeoutMs: options.socketTimeoutMs ?? 5_000,
    dedupeWindowMs: options.dedupeWindowMs ?? 120_000,
  };
}

function tlsOf({ tls, sslmode, sslrootcert, sslcert, sslkey }: PostgresOptions): ResolvedTls | undefined {
  const files = {
    caFile: tls?.caFile ?? sslrootcert,
    certFile: tls?.certFile ?? sslcert,
    keyFile: tls?.keyFile ?? sslkey,
  };
  const any = tls !== undefined || sslrootcert !== undefined || sslcert !== undefined || sslkey !== undefined;
  if (sslmode === "disable" && any) throw invalid('postgres: with "sslmode" disable there is no TLS to set up');
  if ((files.certFile === undefined) !== (files.keyFile === undefined))
    throw invalid("postgres: a client's certificate and its key go together");
  if (sslmode === "disable" || (sslmode === undefined && !any)) return undefined;
  return { ...files, named: sslmode !== "verify-ca" };
}

const invalid = (message: string): DriverError => new DriverError("BUS_INVALID_OPTION", message);
