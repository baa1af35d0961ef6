import { DriverError } from "../../internal/driver-error.ts";
import {
  callable,
  either,
  integer,
  list,
  optionProblem,
  record,
  text,
  type Kind,
  type Shape,
} from "../../internal/option-problem.ts";
import { parseUrl, type ServerAddress } from "./server-url.ts";

export interface RabbitMqOptions {
  /** `amqp://user:password@host:port/vhost`, `amqps:` with TLS; several are tried in turn. @default "amqp://127.0.0.1:5672" */
  readonly url?: string | readonly string[] | undefined;
  /** @default what the url has, or "/" */
  readonly vhost?: string | undefined;
  /** @default what the url has, or "guest" */
  readonly username?: string | undefined;
  /** A function is asked before each connection, for those that expire. @default what the url has, or "guest" */
  readonly password?: string | (() => string | Promise<string>) | undefined;
  /** TLS, with these files; `{}` asks for it with the system's authorities. @default by the url: `amqps:` */
  readonly tls?: RabbitMqTlsOptions | undefined;
  /** Of AMQP: a line that is silent for two of them is dead. In milliseconds, whole seconds. @default 5_000 */
  readonly heartbeatMs?: number | undefined;
  /** How long a member may be silent before its partitions go to others; it says that it lives every third. In milliseconds. @default 10_000 */
  readonly leaseMs?: number | undefined;
  /** In milliseconds. @default 5_000 */
  readonly connectTimeoutMs?: number | undefined;
  /** How long a publish waits for the server's confirm, and any other question for its answer. In milliseconds. @default 10_000 */
  readonly confirmTimeoutMs?: number | undefined;
  /** The server's `consumer_timeout`: what is held longer it takes back. In milliseconds. @default 1_800_000 */
  readonly holdLimitMs?: number | undefined;
  /** Streams that are exchanges of somebody else's, or of your own names, by the stream's name. @default none */
  readonly attach?: Readonly<Record<string, RabbitMqAttachment>> | undefined;
  /** What the log of dead letters may take at the server at most. In bytes. @default 8_589_934_592 */
  readonly letterBytes?: number | undefined;
}

export type RabbitMqHeaderMatch = Readonly<Record<string, string | number | boolean>>;

/** A declaration that disagrees with what is there is refused, with the argument's name (`BUS_CONFLICT`). */
export interface RabbitMqAttachment {
  /** Its name at the server. It is made where it is not there. */
  readonly exchange: string;
  /** @default "topic" */
  readonly type?: "topic" | "direct" | "fanout" | "headers" | undefined;
  /** @default true */
  readonly durable?: boolean | undefined;
  /** @default false */
  readonly autoDelete?: boolean | undefined;
  /** The routing keys that the stream takes. @default all; of a direct exchange the stream's topics */
  readonly keys?: readonly string[] | undefined;
  /** Of a headers exchange: the headers of what the stream takes, and `x-match`, "all" or "any". @default all */
  readonly match?: RabbitMqHeaderMatch | undefined;
  /** Groups that read a queue of their own name there, by the group's name. @default none */
  readonly groups?: Readonly<Record<string, RabbitMqQueue>> | undefined;
}

/** It is read as it is: what it holds comes, and nothing of the stream's past. It stays when the group is deleted. */
export interface RabbitMqQueue {
  /** @default exchange and group, with a dot between them */
  readonly queue?: string | undefined;
  /** The routing keys that it is bound by; none: it is bound by hand. @default by what the group subscribes to */
  readonly keys?: readonly string[] | undefined;
  /** Of a headers exchange: the headers that it is bound by, and `x-match`. @default all */
  readonly match?: RabbitMqHeaderMatch | undefined;
  /** @default true */
  readonly durable?: boolean | undefined;
  /** It goes with its last consumer. @default false */
  readonly autoDelete?: boolean | undefined;
  /** What it is declared with. @default a quorum queue's, or none where one can't be: not durable, or auto-delete */
  readonly arguments?: Readonly<Record<string, unknown>> | undefined;
  /** How many a member holds at most: 1 for competing workers. @default by the subscriptions' concurrency */
  readonly prefetch?: number | undefined;
}

export interface RabbitMqTlsOptions {
  /** The file of the authorities that are trusted. @default the system's */
  readonly caFile?: string | undefined;
  /** The file of the client's certificate. @default none */
  readonly certFile?: string | undefined;
  /** The file of its key. @default none */
  readonly keyFile?: string | undefined;
}

export interface ResolvedOptions {
  readonly servers: readonly ServerAddress[];
  readonly vhost: string;
  readonly username: string;
  readonly password: string | (() => string | Promise<string>);
  readonly tls: RabbitMqTlsOptions | undefined;
  readonly heartbeatMs: number;
  readonly leaseMs: number;
  readonly connectTimeoutMs: number;
  readonly confirmTimeoutMs: number;
  readonly holdLimitMs: number;
  readonly letterBytes: number;
  readonly attach: Readonly<Record<string, RabbitMqAttachment>>;
}

const texts: Kind = (value) =>
  list(value) ??
  ((value as readonly unknown[]).length === 0 ? "must not be empty" : undefined) ??
  (value as readonly unknown[]).map(text).find((problem) => problem !== undefined);

const shape: Shape = {
  url: either(text, texts),
  vhost: text,
  username: text,
  password: either(text, callable),
  tls: record,
  heartbeatMs: integer(1_000, 600_000),
  leaseMs: integer(300, 3_600_000),
  connectTimeoutMs: integer(10, 600_000),
  confirmTimeoutMs: integer(100, 600_000),
  holdLimitMs: integer(60_000, 604_800_000),
  letterBytes: integer(1_048_576),
  attach: record,
};
const flag: Kind = (value) => (typeof value === "boolean" ? undefined : "must be true or false");
const nameAtServer: Kind = (value) =>
  text(value) ??
  (Buffer.byteLength(value as string) > 255 || (value as string) === "" ? "must have 1 to 255 bytes" : undefined);
const exchangeType: Kind = (value) =>
  ["topic", "direct", "fanout", "headers"].includes(value as string)
    ? undefined
    : 'must be "topic", "direct", "fanout" or "headers"';
const keys: Kind = (value) =>
  list(value) ?? (value as readonly unknown[]).map(text).find((problem) => problem !== undefined);
const attachShape: Shape = {
  exchange: nameAtServer,
  type: exchangeType,
  durable: flag,
  autoDelete: flag,
  keys,
  match: record,
  groups: record,
};
const queueShape: Shape = {
  queue: nameAtServer,
  keys,
  match: record,
  durable: flag,
  autoDelete: flag,
  arguments: record,
  prefetch: integer(1, 20_000),
};
const tlsShape: Shape = { caFile: text, certFile: text, keyFile: text };

export function resolveOptions(given: RabbitMqOptions): ResolvedOptions {
  const problem = optionProblem("rabbitmq", given, shape) ?? optionProblem('rabbitmq: "tls"', given.tls, tlsShape);
  if (problem !== undefined) throw invalid(problem);
  const { url = "amqp://127.0.0.1:5672", tls } = given;
  const servers = (typeof url === "string" ? url.split(",") : url).map((each) => parseUrl(each.trim()));
  const [first] = servers;
  for (const each of servers)
    if (
      each.tls !== first!.tls ||
      each.username !== first!.username ||
      each.password !== first!.password ||
      each.vhost !== first!.vhost
    )
      throw invalid("rabbitmq: the urls must have one scheme, one user, one password and one virtual host");
  for (const name of ["vhost", "username", "password"] as const)
    if (given[name] !== undefined && first![name] !== undefined)
      throw invalid(`rabbitmq: "${name}" stands in the url already; leave the option out`);
  if (tls !== undefined && (tls.certFile === undefined) !== (tls.keyFile === undefined))
    throw invalid('rabbitmq: "tls" needs "certFile" and "keyFile" together');
  if (tls !== undefined && !first!.tls) throw invalid('rabbitmq: "tls" needs a url that begins with amqps:');
  return {
    servers,
    vhost: given.vhost ?? first!.vhost ?? "/",
    username: given.username ?? first!.username ?? "guest",
    password: given.password ?? first!.password ?? "guest",
    tls: tls ?? (first!.tls ? {} : undefined),
    heartbeatMs: given.heartbeatMs ?? 5_000,
    leaseMs: given.leaseMs ?? 10_000,
    connectTimeoutMs: given.connectTimeoutMs ?? 5_000,
    confirmTimeoutMs: given.confirmTimeoutMs ?? 10_000,
    holdLimitMs: given.holdLimitMs ?? 1_800_000,
    letterBytes: given.letterBytes ?? 8_589_934_592,
    attach: attachments(given.attach ?? {}),
  };
}

function attachments(
  given: Readonly<Record<string, RabbitMqAttachment>>,
): Readonly<Record<string, RabbitMqAttachment>> {
  for (const [stream, attachment] of Object.entries(given)) {
    const where = `rabbitmq: "attach" of ${stream}`;
    const problem =
      optionProblem(where, attachment, attachShape) ??
      Object.entries(attachment.groups ?? {})
        .map(([group, queue]) => optionProblem(`${where}, group ${group}`, queue, queueShape))
        .find((each) => each !== undefined);
    if (problem !== undefined) throw invalid(problem);
    if (attachment.exchange === undefined) throw invalid(`${where} needs "exchange"`);
    if (
      attachment.type !== "headers" &&
      [attachment, ...Object.values(attachment.groups ?? {})].some((each) => each.match !== undefined)
    )
      throw invalid(`${where}: "match" is for an exchange of the type headers`);
  }
  return given;
}

const invalid = (message: string): DriverError => new DriverError("BUS_INVALID_OPTION", message);
