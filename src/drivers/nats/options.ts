import { DriverError } from "../../internal/driver-error.ts";
import {
  boolean,
  either,
  integer,
  list,
  optionProblem,
  printable,
  record,
  text,
  type Kind,
  type Shape,
} from "../../internal/option-problem.ts";
import type { NatsClient } from "./client.ts";
import { parseServers, type ParsedServers } from "./server-url.ts";

export interface NatsOptions {
  /**
   * `host:port` or urls, one or several, in which user and password or a token may stand: `nats://user:secret@host:4222`.
   * `tls://` asks for TLS. @default "127.0.0.1:4222"
   */
  readonly servers?: string | readonly string[] | undefined;
  /** @default what the url has */
  readonly user?: string | undefined;
  /** @default what the url has */
  readonly password?: string | undefined;
  /** @default what the url has */
  readonly token?: string | undefined;
  /** The seed of an nkey (`SU…`). @default none */
  readonly nkey?: string | undefined;
  /** The path of a credentials file (`.creds`). @default none */
  readonly credentials?: string | undefined;
  /** TLS, with these files; `{}` asks for it with the system's authorities. @default what the server asks for */
  readonly tls?: NatsTlsOptions | undefined;
  /** A connection of `@nats-io/transport-node` that is yours: never closed by the bus, several buses may share it. @default none */
  readonly connection?: NatsClient | undefined;
  /** Streams that are there already, by the names that the bus has for them: used as they are, never changed. @default none */
  readonly attach?: Readonly<Record<string, NatsAttachment>> | undefined;
  /** How long a member may be silent before what it holds goes to others; renewed every third. In milliseconds. @default 10_000 */
  readonly leaseMs?: number | undefined;
  /** How often the server says that an open pull still lives; two missed: it is looked after. In milliseconds. @default 2_000 */
  readonly heartbeatMs?: number | undefined;
  /** How often the connection is checked; two missed answers: it is lost. In milliseconds. @default 5_000 */
  readonly pingMs?: number | undefined;
  /** For a call to the server, connecting included. In milliseconds. @default 5_000 */
  readonly requestTimeoutMs?: number | undefined;
  /** Copies of what the driver keeps for itself (queues, dead letters, state) in a cluster. @default as many as there are, 1 when it is made */
  readonly replicas?: number | undefined;
  /** Where answers arrive, for a user who may not subscribe to `<prefix>.i.>`. @default "<prefix>.i" */
  readonly inboxPrefix?: string | undefined;
}

export interface NatsTlsOptions {
  /** The file of the authorities that are trusted. @default the system's */
  readonly caFile?: string | undefined;
  /** The file of the client's certificate. @default none */
  readonly certFile?: string | undefined;
  /** The file of its key. @default none */
  readonly keyFile?: string | undefined;
  /** The server begins with TLS (`handshake_first`). @default false */
  readonly handshakeFirst?: boolean | undefined;
}

/** A stream that somebody else made; its messages are read through `wire.foreign`, unless the bus wrote them. */
export interface NatsAttachment {
  /** Its name at the server. */
  readonly stream: string;
  /** What stands before the topic in its subjects, the dot included: `shop.` where `shop.orders.placed` is the topic `orders.placed`. @default "" */
  readonly subjectPrefix?: string | undefined;
  /**
   * Durable consumers that somebody else made, by the groups that read through them: used as they are, never changed and never
   * deleted. Such a group needs `order: "none"` or `"process"`. @default none
   */
  readonly consumers?: Readonly<Record<string, string>> | undefined;
}

/** With the defaults filled in. */
export interface Attached {
  readonly stream: string;
  readonly subjectPrefix: string;
  readonly consumers: ReadonlyMap<string, string>;
}

export interface ResolvedOptions {
  readonly servers: ParsedServers;
  readonly nkey: string | undefined;
  readonly credentials: string | undefined;
  readonly tls: NatsTlsOptions | undefined;
  readonly connection: NatsClient | undefined;
  readonly attach: ReadonlyMap<string, Attached>;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly pingMs: number;
  readonly requestTimeoutMs: number;
  readonly replicas: number | undefined;
  readonly inboxPrefix: string | undefined;
}

const subject: Kind = (value) =>
  typeof value === "string" && /^[\w$-]+(?:\.[\w$-]+)*$/.test(value)
    ? undefined
    : "must be tokens of letters, digits, -, _ and $, separated by dots";
const client: Kind = (value) =>
  typeof (value as NatsClient | null)?.subscribe === "function" && typeof (value as NatsClient).publish === "function"
    ? undefined
    : "must be a connection of @nats-io/transport-node";

const shape: Shape = {
  servers: either(text, list),
  user: text,
  password: text,
  token: text,
  nkey: text,
  credentials: text,
  tls: record,
  connection: client,
  attach: record,
  leaseMs: integer(300, 3_600_000),
  heartbeatMs: integer(100, 60_000),
  pingMs: integer(100, 600_000),
  requestTimeoutMs: integer(100, 600_000),
  replicas: integer(1, 5),
  inboxPrefix: subject,
};
const tlsShape: Shape = { caFile: text, certFile: text, keyFile: text, handshakeFirst: boolean };

const nativeName: Kind = (value) =>
  typeof value === "string" && /^[^\s.*>/\\]+$/.test(value) ? undefined : "must be a name at the server";
const subjectPrefix: Kind = (value) =>
  typeof value === "string" && /^(?:[^\s.*>]+\.)*$/.test(value)
    ? undefined
    : 'must be "" or tokens that each end in a dot';
const attachmentShape: Shape = { stream: nativeName, subjectPrefix, consumers: record };

function attachments(given: NatsOptions["attach"] = {}): ReadonlyMap<string, Attached> {
  const attached = new Map<string, Attached>();
  for (const [name, attachment] of Object.entries(given)) {
    const where = `nats: "attach" of "${printable(name)}"`;
    const problem = optionProblem(where, attachment, attachmentShape);
    if (problem !== undefined) throw invalid(problem);
    const { stream, subjectPrefix = "", consumers = {} } = attachment;
    if (stream === undefined) throw invalid(`${where} needs a "stream"`);
    for (const [group, consumer] of Object.entries(consumers)) {
      const wrong = nativeName(consumer);
      if (wrong !== undefined) throw invalid(`${where}: the consumer of the group "${printable(group)}" ${wrong}`);
    }
    attached.set(name, { stream, subjectPrefix, consumers: new Map(Object.entries(consumers)) });
  }
  return attached;
}

const ofConnection = ["servers", "user", "password", "token", "nkey", "credentials", "tls", "pingMs"] as const;

/** Refuses what is unknown, out of range or contradicts itself, naming it; fills in the defaults. */
export function resolveOptions(options: NatsOptions): ResolvedOptions {
  const given = options ?? {};
  const problem = optionProblem("nats", given, shape) ?? optionProblem('nats: "tls"', given.tls, tlsShape);
  if (problem !== undefined) throw invalid(problem);
  const { connection, nkey, credentials, tls } = given;
  if (connection !== undefined) {
    const both = ofConnection.find((name) => given[name] !== undefined);
    if (both !== undefined) throw invalid(`nats: "${both}" is the connection's own; leave it out beside "connection"`);
  }
  const servers = parseServers(given);
  const ways = [
    servers.user === undefined ? undefined : "user",
    servers.token === undefined ? undefined : "token",
    nkey === undefined ? undefined : "nkey",
    credentials === undefined ? undefined : "credentials",
  ].filter((way) => way !== undefined);
  if (ways.length > 1) throw invalid(`nats: one way to log in is enough, there are "${ways.join('" and "')}"`);
  if ((tls?.certFile === undefined) !== (tls?.keyFile === undefined))
    throw invalid('nats: "tls" needs "certFile" and "keyFile" together');
  const { leaseMs = 10_000, heartbeatMs = 2_000, pingMs = 5_000, requestTimeoutMs = 5_000 } = given;
  return {
    servers,
    nkey,
    credentials,
    tls: tls ?? (servers.tls ? {} : undefined),
    connection,
    attach: attachments(given.attach),
    leaseMs,
    heartbeatMs,
    pingMs,
    requestTimeoutMs,
    replicas: given.replicas,
    inboxPrefix: given.inboxPrefix,
  };
}

const invalid = (message: string): DriverError => new DriverError("BUS_INVALID_OPTION", message);
