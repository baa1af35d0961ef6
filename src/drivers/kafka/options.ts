import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { DriverError } from "../../internal/driver-error.ts";
import {
  callable,
  either,
  integer,
  list,
  oneOf,
  optionProblem,
  record,
  text,
  type Shape,
} from "../../internal/option-problem.ts";
import { type Attachment, attachments, groupIds } from "./attach-options.ts";
import type { KafkaOptions, KafkaTlsOptions } from "./kafka-options.ts";
import type { ProbeLogin } from "./probe.ts";
import type { ProduceSettings } from "./produce.ts";
import { parseServers, type ParsedServers } from "./server-url.ts";

/** What a batch, its headers and a letter add to a message. */
export const besideMessage = 4_096;
/** Of a broker as it comes. */
export const usualMessageBytes: number = 1_048_588 - besideMessage;

export interface ResolvedOptions {
  readonly servers: ParsedServers;
  readonly tls: KafkaTlsOptions | undefined;
  readonly mechanism: KafkaOptions["mechanism"];
  readonly username: string | undefined;
  readonly password: KafkaOptions["password"];
  readonly clientId: string | undefined;
  readonly acks: ProduceSettings["acks"];
  readonly compression: ProduceSettings["compression"];
  readonly batchSize: number;
  readonly batchBytes: number;
  readonly lingerMs: number;
  readonly deliveryTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly sessionTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly offsetReset: "oldest" | "newest";
  readonly fetchBytes: number;
  readonly maxWaitMs: number;
  readonly maxMessageBytes: number;
  readonly queuePartitions: number;
  readonly replicas: number | undefined;
  readonly attach: ReadonlyMap<string, Attachment>;
  /** Of groups that have a name of their own at Kafka. */
  readonly groupIds: ReadonlyMap<string, string>;
}

const shape: Shape = {
  brokers: either(text, list),
  mechanism: oneOf("plain", "scram-sha-256", "scram-sha-512"),
  username: text,
  password: either(text, callable),
  tls: record,
  clientId: text,
  acks: oneOf("all", 1, 0),
  compression: oneOf("none", "gzip", "snappy", "lz4", "zstd"),
  batchSize: integer(1, 100_000),
  batchBytes: integer(1_024, 100_000_000),
  lingerMs: integer(0, 60_000),
  deliveryTimeoutMs: integer(100, 3_600_000),
  requestTimeoutMs: integer(100, 600_000),
  connectTimeoutMs: integer(100, 600_000),
  sessionTimeoutMs: integer(300, 1_800_000),
  heartbeatMs: integer(50, 600_000),
  offsetReset: oneOf("oldest", "newest"),
  fetchBytes: integer(1_024, 1_000_000_000),
  maxWaitMs: integer(1, 60_000),
  maxMessageBytes: integer(1_024, 33_000_000),
  queuePartitions: integer(1, 1_024),
  replicas: integer(1, 32),
  attach: record,
};
const tlsShape: Shape = { caFile: text, certFile: text, keyFile: text, passphrase: text, serverName: text };

/** Refuses what is unknown, out of range or contradicts itself, naming it; fills in the defaults. */
export function resolveOptions(options: KafkaOptions): ResolvedOptions {
  const given = options ?? {};
  const problem = optionProblem("kafka", given, shape) ?? optionProblem('kafka: "tls"', given.tls, tlsShape);
  if (problem !== undefined) throw invalid(problem);
  const servers = parseServers(given.brokers ?? "127.0.0.1:9092");
  if (servers.hosts.length === 0) throw invalid('kafka: "brokers" names none');
  const { username = servers.username, password = servers.password, mechanism, tls, acks = "all" } = given;
  for (const name of ["username", "password"] as const)
    if (given[name] !== undefined && servers[name] !== undefined)
      throw invalid(`kafka: "${name}" stands in the url already; leave the option out`);
  if ((username === undefined) !== (password === undefined))
    throw invalid('kafka: "username" and "password" go together');
  if (mechanism !== undefined && username === undefined) throw invalid('kafka: "mechanism" needs a "username"');
  if ((tls?.certFile === undefined) !== (tls?.keyFile === undefined))
    throw invalid('kafka: "tls" needs "certFile" and "keyFile" together');
  const sessionTimeoutMs = given.sessionTimeoutMs ?? 10_000;
  const heartbeatMs = given.heartbeatMs ?? Math.min(3_000, Math.max(250, Math.floor(sessionTimeoutMs / 10)));
  if (heartbeatMs * 3 > sessionTimeoutMs)
    throw invalid('kafka: "heartbeatMs" must fit three times into "sessionTimeoutMs"');
  return {
    servers,
    tls: tls ?? (servers.tls ? {} : undefined),
    mechanism,
    username,
    password,
    clientId: given.clientId,
    acks: acks === "all" ? -1 : acks,
    compression: given.compression ?? "none",
    batchSize: given.batchSize ?? 256,
    batchBytes: given.batchBytes ?? 900_000,
    lingerMs: given.lingerMs ?? 0,
    deliveryTimeoutMs: given.deliveryTimeoutMs ?? 30_000,
    requestTimeoutMs: given.requestTimeoutMs ?? 5_000,
    connectTimeoutMs: given.connectTimeoutMs ?? 5_000,
    sessionTimeoutMs,
    heartbeatMs,
    offsetReset: given.offsetReset ?? "oldest",
    fetchBytes: given.fetchBytes ?? 4_194_304,
    maxWaitMs: given.maxWaitMs ?? 500,
    maxMessageBytes: given.maxMessageBytes ?? usualMessageBytes,
    queuePartitions: given.queuePartitions ?? 16,
    replicas: given.replicas,
    attach: attachments(given.attach),
    groupIds: groupIds(given.attach),
  };
}

/** As `node:tls` takes it; the files are read at each connect, so that renewed ones are used. */
export function tlsOf({ tls }: ResolvedOptions): object | undefined {
  if (tls === undefined) return undefined;
  const { caFile, certFile, keyFile, passphrase, serverName } = tls;
  const read = (name: string, file: string): Buffer => {
    try {
      return readFileSync(file);
    } catch (cause) {
      throw new DriverError("BUS_INVALID_OPTION", `kafka: "tls.${name}" can't be read`, { cause });
    }
  };
  const unlocked = (key: Buffer): Buffer => {
    try {
      createPrivateKey({ key, format: "pem", passphrase });
      return key;
    } catch (cause) {
      throw new DriverError("BUS_INVALID_OPTION", `kafka: "tls.keyFile" is no key that "tls.passphrase" opens`, {
        cause,
      });
    }
  };
  return {
    ...(caFile === undefined ? {} : { ca: [read("caFile", caFile)] }),
    ...(certFile === undefined ? {} : { cert: read("certFile", certFile) }),
    ...(keyFile === undefined ? {} : { key: unlocked(read("keyFile", keyFile)) }),
    ...(passphrase === undefined ? {} : { passphrase }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
}

export async function loginOf({ username, password, mechanism }: ResolvedOptions): Promise<ProbeLogin | undefined> {
  if (username === undefined || password === undefined) return undefined;
  return {
    username,
    password: typeof password === "function" ? await password() : password,
    mechanism: mechanism === undefined ? undefined : (mechanism.toUpperCase() as ProbeLogin["mechanism"]),
  };
}

const invalid = (message: string): DriverError => new DriverError("BUS_INVALID_OPTION", message);
