import { DriverError } from "../../internal/driver-error.ts";

export interface ServerAddress {
  /** In the order in which they are tried. */
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: string | undefined;
  /** What stands behind the question mark. */
  readonly query: Readonly<Record<string, string>>;
}

const form =
  /^postgres(?:ql)?:\/\/(?:(?<user>[^:@/?]*)(?::(?<password>[^@/?]*))?@)?(?<hosts>[^/?]+)(?:\/(?<database>[^?]*))?(?:\?(?<query>.*))?$/i;

/** `postgres://user:password@host:port,host:port/database`. What it throws never holds the url, in which a password may stand. */
export function parseUrl(url: string): ServerAddress {
  const parts = form.exec(url)?.groups;
  if (parts === undefined)
    throw invalid(
      "a url must look like postgres://user:password@host:port/database, with commas between several hosts",
    );
  return {
    hosts: parts["hosts"]!.split(",").map(hostOf),
    username: decoded(parts["user"]),
    password: decoded(parts["password"]),
    database: decoded(parts["database"]),
    query: Object.fromEntries(new URLSearchParams(parts["query"] ?? "")),
  };
}

function hostOf(text: string): { readonly host: string; readonly port: number } {
  const found = /^(?<host>\[[0-9a-f:.]+\]|[^:[\]\s]+)(?::(?<port>\d{1,5}))?$/i.exec(text)?.groups;
  const port = Number(found?.["port"] ?? 5_432);
  if (found === undefined || port < 1 || port > 65_535)
    throw invalid("a host of a url must look like host or host:port");
  return { host: found["host"]!.replace(/^\[(.*)\]$/, "$1"), port };
}

function decoded(part: string | undefined): string | undefined {
  if (part === undefined || part === "") return undefined;
  try {
    return decodeURIComponent(part);
  } catch {
    throw invalid("the url has a percent sign that encodes nothing; a percent sign itself is %25");
  }
}

const invalid = (message: string): DriverError => new DriverError("BUS_INVALID_OPTION", `postgres: ${message}`);
