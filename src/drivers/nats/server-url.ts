import { DriverError } from "../../internal/driver-error.ts";

export interface ParsedServers {
  /** `host:port`, each once, without secrets: what the client is given. */
  readonly hosts: readonly string[];
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly token: string | undefined;
  readonly tls: boolean;
}

interface Given {
  readonly servers?: string | readonly string[] | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly token?: string | undefined;
}

/** `nats://user:secret@a:4222,b:4222`: the client does not read what stands before the `@`, so we do. */
const form = /^(?:(nats|tls):\/\/)?(?:([^@/]*)@)?(\[[0-9a-f:.]+\]|[^:@/,\s[\]]+)(?::(\d{1,5}))?\/?$/i;

/** Hosts, and one login for all of them. Throws without repeating what may hold a secret. */
export function parseServers(given: Given): ParsedServers {
  const servers = typeof given.servers === "string" ? given.servers.split(",") : (given.servers ?? ["127.0.0.1:4222"]);
  if (servers.length === 0) throw invalid('nats: "servers" must not be empty');
  const hosts: string[] = [];
  let login: string | undefined;
  let tls = false;
  for (const [index, server] of servers.entries()) {
    const found = typeof server === "string" ? form.exec(server.trim()) : null;
    const port = Number(found?.[4] ?? 4_222);
    if (found === null || port < 1 || port > 65_535)
      throw invalid(
        `nats: server ${index + 1} of "servers" is none: host:port, nats://host:port or tls://host:port; in user, password and token @, : and / are %40, %3A and %2F`,
      );
    hosts.push(`${found[3]!}:${port}`);
    if (found[1]?.toLowerCase() === "tls") tls = true;
    if (found[2] === undefined) continue;
    if (login !== undefined && login !== found[2])
      throw invalid('nats: the servers of "servers" have different logins; there is one for all');
    login = found[2];
  }
  const inUrl = splitLogin(login);
  for (const name of ["user", "password", "token"] as const)
    if (inUrl[name] !== undefined && given[name] !== undefined)
      throw invalid(`nats: "${name}" stands in the url already; leave the option out`);
  const user = given.user ?? inUrl.user;
  const password = given.password ?? inUrl.password;
  if ((user === undefined) !== (password === undefined)) throw invalid('nats: "user" and "password" go together');
  return { hosts: [...new Set(hosts)], user, password, token: given.token ?? inUrl.token, tls };
}

/** With a colon user and password, without one a token, as the server's own tools read it. */
function splitLogin(login: string | undefined): { user?: string; password?: string; token?: string } {
  if (login === undefined || login === "") return {};
  const colon = login.indexOf(":");
  if (colon < 0) return { token: decoded(login) };
  return { user: decoded(login.slice(0, colon)), password: decoded(login.slice(colon + 1)) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid("nats: the url has a percent sign that encodes nothing; a percent sign itself is %25");
  }
}

const invalid = (message: string): DriverError => new DriverError("BUS_INVALID_OPTION", message);
