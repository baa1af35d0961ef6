import { DriverError } from "../../internal/driver-error.ts";

export interface ServerAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** Decoded; undefined: the url names none. */
  readonly vhost: string | undefined;
}

/** `amqp://user:password@host:port/vhost`. What it throws never holds the url, in which a password may stand. */
export function parseUrl(url: string): ServerAddress {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !/^amqps?:$/.test(parsed.protocol) || parsed.hostname === "" || parsed.search !== "")
    throw invalid("a url must look like amqp://user:password@host:port/vhost, or amqps: for TLS");
  const path = parsed.pathname.replace(/^\//, "");
  if (path.includes("/")) throw invalid("a slash in the name of a virtual host is %2F in the url");
  const tls = parsed.protocol === "amqps:";
  return {
    host: parsed.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: parsed.port === "" ? (tls ? 5_671 : 5_672) : Number(parsed.port),
    tls,
    username: parsed.username === "" ? undefined : decoded(parsed.username),
    password: parsed.password === "" ? undefined : decoded(parsed.password),
    vhost: path === "" ? undefined : decoded(path),
  };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw invalid("the url has a percent sign that encodes nothing; a percent sign itself is %25");
  }
}

const invalid = (message: string): DriverError => new DriverError("BUS_INVALID_OPTION", `rabbitmq: ${message}`);
