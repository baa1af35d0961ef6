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
import type { RedisClient, RedisCluster } from "./client.ts";
import { parseUrl, type ServerAddress } from "./server-url.ts";

export interface RedisOptions {
  /** `redis://user:password@host:port/database`, `rediss:` with TLS. @default "redis://127.0.0.1:6379" */
  readonly url?: string | undefined;
  /** The number of the database; a cluster has 0 only. @default what the url has, or 0 */
  readonly database?: number | undefined;
  /** @default what the url has */
  readonly username?: string | undefined;
  /** A function is asked before each connection, for those that expire. @default what the url has */
  readonly password?: string | (() => string | Promise<string>) | undefined;
  /** TLS, with these files; `{}` asks for it with the system's authorities. @default by the urls: `rediss:` */
  readonly tls?: RedisTlsOptions | undefined;
  /** A client of `redis` that is yours, of `createClient` or `createCluster`: never closed by the bus, several buses may share it. @default none */
  readonly client?: RedisClient | RedisCluster | undefined;
  /** Urls of some nodes of a cluster; the others are found through them. @default none */
  readonly cluster?: readonly string[] | undefined;
  /** Sentinels that know which server is the primary. @default none */
  readonly sentinel?: RedisSentinelOptions | undefined;
  /** What begins the names of this process's consumers in the consumer groups. @default the member's name */
  readonly consumer?: string | undefined;
  /** How long a member may be silent before what it holds goes to others; renewed every third. In milliseconds. @default 10_000 */
  readonly leaseMs?: number | undefined;
  /** Most that one call fetches. @default 256 */
  readonly batchSize?: number | undefined;
  /** How long a blocked read of tails waits at the server. In milliseconds. @default 5_000 */
  readonly blockMs?: number | undefined;
  /** How often an idle member looks without having been woken: the net under a lost wake-up. In milliseconds. @default 1_000 */
  readonly pollMs?: number | undefined;
  /** In milliseconds. @default 5_000 */
  readonly connectTimeoutMs?: number | undefined;
  /** An answer that takes longer means that the connection is lost. In milliseconds. @default 5_000 */
  readonly socketTimeoutMs?: number | undefined;
  /** How long a second send of an event is recognised; costs about 96 bytes an event at the server. 0: not at all. In milliseconds. @default 120_000 */
  readonly dedupeWindowMs?: number | undefined;
  /** Streams that somebody else's keys hold: the stream's name → its key and fields. @default none */
  readonly attach?: Readonly<Record<string, RedisAttachment>> | undefined;
}

export interface RedisTlsOptions {
  /** The file of the authorities that are trusted. @default the system's */
  readonly caFile?: string | undefined;
  /** The file of the client's certificate. @default none */
  readonly certFile?: string | undefined;
  /** The file of its key. @default none */
  readonly keyFile?: string | undefined;
}

export interface RedisSentinelOptions {
  /** Of the primary, as the sentinels call it. */
  readonly name: string;
  /** `host:port` of each sentinel, or `rediss://host:port` for TLS. Without a scheme: by TLS if `tls` is given. */
  readonly nodes: readonly string[];
  /** The sentinels' own, which is not the server's. @default none */
  readonly username?: string | undefined;
  /** The sentinels' own, which is not the server's. @default none */
  readonly password?: string | undefined;
}

export interface RedisAttachment {
  /** The key as it is; in a cluster it must lie in the prefix's slot. */
  readonly key: string;
  /** The field that holds the body. @default the only field, else all of them as JSON */
  readonly body?: string | undefined;
  /** The field that holds the topic. @default the stream's first topic that has no wildcard, else its name */
  readonly topic?: string | undefined;
  /** Groups whose consumer group is there under another name: our name → theirs, for good. @default ours */
  readonly groups?: Readonly<Record<string, string>> | undefined;
}

export interface ResolvedOptions {
  readonly address: ServerAddress;
  readonly database: number;
  readonly username: string | undefined;
  readonly password: string | (() => string | Promise<string>) | undefined;
  readonly tls: RedisTlsOptions | undefined;
  readonly client: RedisClient | RedisCluster | undefined;
  readonly cluster: readonly ServerAddress[] | undefined;
  readonly sentinel: { readonly options: RedisSentinelOptions; readonly nodes: readonly ServerAddress[] } | undefined;
  readonly consumer: string | undefined;
  readonly leaseMs: number;
  readonly batchSize: number;
  readonly blockMs: number;
  readonly pollMs: number;
  readonly connectTimeoutMs: number;
  readonly socketTimeoutMs: number;
  readonly dedupeWindowMs: number;
  readonly attach: Readonly<Record<string, RedisAttachment>>;
  /** Our name of a group → what the server is to call it. */
  readonly groupNames: ReadonlyMap<string, string>;
}

const client: Kind = (value) =>
  typeof (value as RedisClient | null)?.sendCommand === "function" &&
  typeof (value as RedisClient).duplicate === "function"
    ? undefined
    : "must be a client of redis, made by createClient or createCluster";
const texts: Kind = (value) =>
  list(value) ??
  ((value as readonly unknown[]).length === 0 ? "must not be empty" : undefined) ??
  (value as readonly unknown[]).map(text).find((problem) => problem !== undefined);

const named: Kind = (value) => record(value) ?? texts(Object.values(value as object));

const shape: Shape = {
  url: text,
  database: integer(0, 65_535),
  username: text,
  password: either(text, callable),
  tls: record,
  client,
  cluster: texts,
  sentinel: record,
  consumer: text,
  leaseMs: integer(300, 3_600_000),
  batchSize: integer(1, 1_024),
  blockMs: integer(10, 600_000),
  pollMs: integer(10, 600_000),
  connectTimeoutMs: integer(10, 600_000),
  socketTimeoutMs: integer(100, 600_000),
  dedupeWindowMs: integer(0, 86_400_000),
  attach: record,
};
const tlsShape: Shape = { caFile: text, certFile: text, keyFile: text };
const sentinelShape: Shape = { name: text, nodes: texts, username: text, password: text };
const attachShape: Shape = { key: text, body: text, topic: text, groups: named };

/** What a client that is given has of its own. */
const ofClient = ["url", "database", "username", "password", "tls", "cluster", "sentinel", "connectTimeoutMs"] as const;

export function resolveOptions(given: RedisOptions): ResolvedOptions {
  const problem =
    optionProblem("redis", given, shape) ??
    optionProblem('redis: "tls"', given.tls, tlsShape) ??
    optionProblem('redis: "sentinel"', given.sentinel, sentinelShape) ??
    Object.entries(given.attach ?? {})
      .map(([name, attachment]) => optionProblem(`redis: "attach" of ${name}`, attachment, attachShape))
      .find((each) => each !== undefined);
  if (problem !== undefined) throw invalid(problem);
  checkTogether(given);
  const { cluster, tls } = given;
  const address = parseUrl(given.url ?? "redis://127.0.0.1:6379");
  const nodes = cluster?.map(parseUrl);
  if (nodes !== undefined) checkCluster(nodes);
  const sentinel = given.sentinel === undefined ? undefined : sentinelOf(given.sentinel, tls !== undefined);
  const secure = (nodes?.[0] ?? sentinel?.nodes[0] ?? address).tls;
  return {
    address,
    database: given.database ?? address.database ?? 0,
    username: given.username ?? (nodes?.[0] ?? address).username,
    password: given.password ?? (nodes?.[0] ?? address).password,
    tls: tls ?? (secure ? {} : undefined),
    client: given.client,
    cluster: nodes,
    sentinel,
    consumer: given.consumer,
    leaseMs: given.leaseMs ?? 10_000,
    batchSize: given.batchSize ?? 256,
    blockMs: given.blockMs ?? 5_000,
    pollMs: given.pollMs ?? 1_000,
    connectTimeoutMs: given.connectTimeoutMs ?? 5_000,
    socketTimeoutMs: given.socketTimeoutMs ?? 5_000,
    dedupeWindowMs: given.dedupeWindowMs ?? 120_000,
    attach: Object.fromEntries(
      Object.entries(given.attach ?? {}).map(([name, { key, body, topic }]) => [name, { key, body, topic }]),
    ),
    groupNames: groupNames(given.attach ?? {}),
  };
}

function checkTogether(given: RedisOptions): void {
  const { client: own, cluster, sentinel, tls } = given;
  if (own !== undefined) {
    const both = ofClient.find((name) => given[name] !== undefined);
    if (both !== undefined) throw invalid(`redis: "${both}" is the client's own; leave it out beside "client"`);
  }
  const places = (["url", "cluster", "sentinel"] as const).filter((name) => given[name] !== undefined);
  if (places.length > 1)
    throw invalid(`redis: "${places.join('" and "')}" both say where the server is; one is enough`);
  if (cluster !== undefined && (given.database ?? 0) !== 0) throw invalid('redis: a cluster has "database" 0 only');
  if (sentinel !== undefined && (sentinel.name === undefined || sentinel.nodes === undefined))
    throw invalid('redis: "sentinel" needs "name" and "nodes"');
  if (tls !== undefined && (tls.certFile === undefined) !== (tls.keyFile === undefined))
    throw invalid('redis: "tls" needs "certFile" and "keyFile" together');
  for (const [name, { key }] of Object.entries(given.attach ?? {}))
    if (key === undefined) throw invalid(`redis: "attach" of ${name} needs "key"`);
}

/** Of nodes that differ the others would be reached as the first one is: in the clear, or as somebody else. */
function checkCluster(nodes: readonly ServerAddress[]): void {
  const [first] = nodes;
  for (const { tls, username, password, database } of nodes) {
    if (tls !== first?.tls) throw invalid('redis: the urls of "cluster" must be all redis: or all rediss:');
    if (username !== first.username || password !== first.password)
      throw invalid('redis: the urls of "cluster" must have one user and password');
    if ((database ?? 0) !== 0) throw invalid("redis: a cluster has database 0 only");
  }
}

function sentinelOf(options: RedisSentinelOptions, secure: boolean): NonNullable<ResolvedOptions["sentinel"]> {
  const plain = secure ? "rediss://" : "redis://";
  const nodes = options.nodes.map((node) => parseUrl(node.includes("://") ? node : plain + node));
  for (const { tls, username, password, database } of nodes) {
    if (tls !== nodes[0]?.tls) throw invalid('redis: the "nodes" of "sentinel" must be all by TLS or none');
    if (username !== undefined || password !== undefined)
      throw invalid('redis: the sentinels\' user and password stand beside "nodes", the server\'s beside "sentinel"');
    if (database !== undefined) throw invalid('redis: a sentinel has no database; "database" is the server\'s');
  }
  return { options, nodes };
}

const invalid = (message: string): DriverError => new DriverError("BUS_INVALID_OPTION", message);

function groupNames(attach: Readonly<Record<string, RedisAttachment>>): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const [group, name] of Object.values(attach).flatMap(({ groups = {} }) => Object.entries(groups))) {
    if (names.has(group) && names.get(group) !== name)
      throw invalid(`redis: "attach": the group ${group} can't have two names`);
    names.set(group, name);
  }
  return names;
}
