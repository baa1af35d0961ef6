import type { Driver, StreamOptions } from "./driver.ts";
import type { KafkaOptions } from "./drivers/kafka/kafka-options.ts";
import type { MemoryOptions } from "./drivers/memory/options.ts";
import type { NatsOptions } from "./drivers/nats/options.ts";
import type { PostgresOptions } from "./drivers/postgres/options.ts";
import type { RabbitMqOptions } from "./drivers/rabbitmq/options.ts";
import type { RedisOptions } from "./drivers/redis/options.ts";
import type { SqliteOptions } from "./drivers/sqlite/options.ts";
import type { BusEvent, EventDefinition } from "./event.ts";

/** Any structural logger: pino and console fit. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/**
 * A driver's own options, beside a url that names it; they win over the url's query. The section of another driver than the
 * url's, or one beside `{ driver }`, is refused (BUS_INVALID_OPTION).
 */
export interface DriverSections {
  /** Of a url `memory:`. @default none */
  readonly memory: MemoryOptions;
  /** Of a url `sqlite:`, which gives the path. @default none */
  readonly sqlite: Partial<SqliteOptions>;
  /** Of a url `nats:` or `tls:`, which gives the servers and may give the login. @default none */
  readonly nats: NatsOptions;
  /** Of a url `amqp:` or `amqps:`, which gives the server and may give the login. @default none */
  readonly rabbitmq: RabbitMqOptions;
  /** Of a url `redis:` or `rediss:`, which gives the server and may give the login. @default none */
  readonly redis: RedisOptions;
  /** Of a url `kafka:` or `kafkas:`, which gives the brokers and may give the login. @default none */
  readonly kafka: KafkaOptions;
  /** Of a url `postgres:` or `postgresql:`, which gives the server and may give the login. @default none */
  readonly postgres: PostgresOptions;
}

/** What `connect` takes instead of a url: the options with the url, or with a driver that was made by hand. */
export type BusConfig = BusOptions & ({ readonly url: string } | { readonly driver: Driver });

export interface BusOptions extends Partial<Readonly<DriverSections>> {
  /** Names the publisher (`source`) and the connection at the broker. @default the name of the package that npm runs, else "omnibus" */
  readonly name?: string | undefined;
  /** Prefixes every name made at the broker; two buses with different prefixes never meet. @default "omnibus" */
  readonly prefix?: string | undefined;
  /** The default `group` of subscriptions. @default none */
  readonly group?: string | undefined;
  /** Registers types, so that pattern subscribers and foreign publishers are validated too. Two of one type and version: an error. @default none */
  readonly definitions?: readonly EventDefinition[] | undefined;
  /** What a type nobody registered meets. @default "pass" without `definitions`, "dead-letter" with */
  readonly unknownTypes?: "pass" | "dead-letter" | undefined;
  /** Where schemas run. @default "both" */
  readonly validate?: "both" | "publish" | "receive" | undefined;
  /** The most specific stream captures a topic; the table is kept at the broker, so all processes agree. @default one catch-all, `events` */
  readonly streams?: readonly StreamOptions[] | undefined;
  /** The default policy of subscriptions. @default 5 attempts, 500 ms doubling to 60 s, full jitter */
  readonly retry?: RetryPolicy | undefined;
  /** Retries, deadlines and bounds of publishing. @default those of `PublishPolicy` */
  readonly publishing?: PublishPolicy | undefined;
  /** How events travel: format, compression, foreign systems. @default those of `WireOptions` */
  readonly wire?: WireOptions | undefined;
  /**
   * A url of a store for what the broker can't hold (`Capabilities.state` "none": Kafka, RabbitMQ): key-value, and what is published for
   * later, which then can be listed and cancelled. A store and a prefix in it belong to one broker (and one RabbitMQ virtual host). A file
   * (`sqlite:`) serves the processes of one host; members on several are refused (BUS_INVALID_OPTION), and so is a driver with a store of
   * its own. @default none
   */
  readonly state?: string | undefined;
  /** Correlation of publishes inside handlers: by itself, or through `delivery.publish`. @default "auto" */
  readonly correlate?: "auto" | "explicit" | undefined;
  /** One structured line for each thing that an operator wants to know. @default silent */
  readonly logger?: Logger | undefined;
  /** The first connection: `connect()` rejects after it, saying what it tried. @default 10_000 */
  readonly connectTimeoutMs?: number | undefined;
  /** Between tries to connect, and to open a subscription again. @default those of `ReconnectPolicy` */
  readonly reconnect?: ReconnectPolicy | undefined;
  /** Makes what is missing at the broker; checks it and names what is missing; or assumes it. @default "create" */
  readonly manage?: "create" | "verify" | "off" | undefined;
  /** Shown in `groups.info`. @default name, host and pid */
  readonly member?: string | undefined;
  /** Of an encoded event, refused before it is sent. @default 1_048_576 (1 MiB) */
  readonly maxMessageBytes?: number | undefined;
  /** Closes the bus when it aborts. @default none */
  readonly signal?: AbortSignal | undefined;
}

export interface ReconnectPolicy {
  /** Tries in a row before it is given up; a line that comes and goes uses them up sooner. @default for ever */
  readonly maxAttempts?: number | undefined;
  /** The first wait; doubled from try to try, and again the first when the driver says that the line is back. @default 100 */
  readonly minMs?: number | undefined;
  /** The longest wait. @default 2_000 */
  readonly maxMs?: number | undefined;
}

export interface WireOptions {
  /** CloudEvents content mode. @default "structured" */
  readonly mode?: "structured" | "binary" | undefined;
  /** Of bodies, when it is worth it. @default off */
  readonly compression?: CompressionOptions | undefined;
  /** Reads (and, if asked, writes) formats of other systems on these topics. @default none */
  readonly foreign?: readonly ForeignOptions[] | undefined;
}

export interface CompressionOptions {
  /** How bodies are compressed; all three are read in any case. */
  readonly encoding: "gzip" | "zstd" | "br";
  /** Smaller bodies stay plain. @default 1_024 */
  readonly thresholdBytes?: number | undefined;
}

export interface ForeignOptions {
  /** A pattern. */
  readonly topics: string;
  /** `plainJson`, or a mapping of your own. */
  readonly format: ForeignFormat;
  /** Whether what this bus publishes on these topics is written in the format too. @default false */
  readonly write?: boolean | undefined;
}

/** A declared mapping of another system's messages. `decode` throws at what it does not understand. */
export interface ForeignFormat {
  readonly name: string;
  decode(body: Uint8Array, header: (name: string) => string | undefined): ForeignEvent;
  encode?(event: BusEvent): {
    readonly body: Uint8Array;
    readonly headers?: Readonly<Record<string, string>> | undefined;
  };
}

/** What a foreign message says; what is missing is made up: the id from the message's place, the type from the topic. */
export interface ForeignEvent {
  readonly data: unknown;
  readonly type?: string | undefined;
  readonly id?: string | undefined;
  readonly key?: string | undefined;
  readonly source?: string | undefined;
  readonly time?: Date | undefined;
  readonly correlationId?: string | undefined;
  readonly session?: string | undefined;
  readonly priority?: BusEvent["priority"] | undefined;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}

export interface PublishPolicy {
  /** Retries of one publish, same id, only while nothing says it was stored. @default { maxAttempts: 4, backoff: { baseMs: 500, factor: 2, maxMs: 4_000, jitter: 1 } } */
  readonly retry?: Pick<RetryPolicy, "maxAttempts" | "backoff"> | undefined;
  /** One attempt. @default 5_000 */
  readonly attemptTimeoutMs?: number | undefined;
  /** Messages under way; above it `publish` waits. @default 10_000 */
  readonly maxInFlight?: number | undefined;
  /** Bytes under way; above it `publish` waits. @default 67_108_864 (64 MiB) */
  readonly maxInFlightBytes?: number | undefined;
}

/** One policy, evaluated by the core on every driver. */
export interface RetryPolicy {
  /** Deliveries whose handler ran, the first included. @default 5 */
  readonly maxAttempts?: number | undefined;
  /** The wait before the next attempt, or a function of the attempt that failed (from 1) and its error. @default 500 ms doubling to 60 s, full jitter */
  readonly backoff?: BackoffOptions | ((attempt: number, error: unknown) => number) | undefined;
  /**
   * What follows the last attempt: a dead letter; one that the key's later events wait for, until it is replayed or discarded
   * (`halt-key`: of a group with order "group" and a state store, alike for all its handlers and members); or nothing. What is given
   * up otherwise becomes a letter in any case, which `halt-key` waits for too: by a `Reject`, because its handler ended the process,
   * because it is undecodable or invalid. @default "dead-letter"
   */
  readonly exhausted?: "dead-letter" | "halt-key" | "drop" | undefined;
}

export interface BackoffOptions {
  /** The wait after the first attempt. @default 500 */
  readonly baseMs?: number | undefined;
  /** By which each wait is longer than the one before. @default 2 */
  readonly factor?: number | undefined;
  /** The longest wait. @default 60_000 */
  readonly maxMs?: number | undefined;
  /** 0 to 1; 1 is full: anything between nothing and the whole. @default 1 */
  readonly jitter?: number | undefined;
}
