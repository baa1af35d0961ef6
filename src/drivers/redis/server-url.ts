import { DriverError } from "../../internal/driver-error.ts";

export interface ServerAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number | undefined;
}

/** `redis://user:password@host:port/database`. What it throws never holds the url, in which a password may stand. */
export function parseUrl(url: string): ServerAddress {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !/^rediss?:$/.test(parsed.protocol) || parsed.hostname === "" || parsed.search !== "")
    throw invalid("a url must look like redis://user:password@host:port/database, or rediss: for TLS");
  const path = parsed.pathname.replace(/^\//, "");
  if (!/^\d{0,5}$/.test(path)) throw invalid("what follows the slash in a url must be the number of a database");
  return {
    host: parsed.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: parsed.port === "" ? 6_379 : Number(parsed.port),
    tls: parsed.protocol === "rediss:",
    username: decoded(parsed.username),
    password: decoded(parsed.password),
    database: path === "" ? undefined : Number(path),
  };
}

function decoded(part: string): string | undefined {
  if (part === "") return undefined;
  try {
    return decodeURIComponent(part);
  } catch {
    throw invalid("a url's user or password has a percent sign that encodes nothing; a percent sign itself is %25");
  }
}

const invalid = (message: string): DriverError => new DriverError("BUS_INVALID_OPTION", `redis: ${message}`);
