import type { StreamOptions } from "./driver.ts";
import {
  abortSignal,
  any,
  boolean,
  callable,
  checkOptions,
  date,
  either,
  integer,
  invalidOption,
  list,
  milliseconds,
  number,
  oneOf,
  record,
  text,
  type Shape,
} from "./option-check.ts";
import type { BusOptions, ForeignOptions, Logger, RetryPolicy } from "./options.ts";
import type { BatchOptions, SubscribeOptions } from "./handler.ts";
import { SchemaRegistry } from "./registry.ts";
import { attributeProblem, validateAttribute, validateSource } from "./attribute.ts";
import { validateName, validatePattern } from "./topic.ts";

export interface ResolvedRetry {
  readonly maxAttempts: number;
  readonly backoff:
    | { readonly baseMs: number; readonly factor: number; readonly maxMs: number; readonly jitter: number }
    | ((attempt: number, error: unknown) => number);
  readonly exhausted: "dead-letter" | "halt-key" | "drop";
}
export interface ResolvedOptions {
  readonly name: string;
  readonly prefix: string;
  readonly group: string | undefined;
  readonly registry: SchemaRegistry;
  readonly unknownTypes: "pass" | "dead-letter";
  readonly validateOnPublish: boolean;
  readonly validateOnReceive: boolean;
  readonly streams: readonly StreamOptions[];
  readonly retry: ResolvedRetry;
  readonly publishing: {
    readonly retry: ResolvedRetry;
    readonly attemptTimeoutMs: number;
    readonly maxInFlight: number;
    readonly maxInFlightBytes: number;
  };
  readonly wire: {
    readonly mode: "structured" | "binary";
    readonly compression: { readonly encoding: "gzip" | "zstd" | "br"; readonly thresholdBytes: number } | undefined;
    readonly foreign: readonly ForeignOptions[];
  };
  readonly state: string | undefined;
  readonly correlateByItself: boolean;
  readonly logger: Logger | undefined;
  readonly connectTimeoutMs: number;
  readonly reconnect: { readonly maxAttempts: number; readonly minMs: number; readonly maxMs: number };
  readonly manage: "create" | "verify" | "off";
  readonly member: string | undefined;
  readonly maxMessageBytes: number;
  readonly signal: AbortSignal | undefined;
}

const retryDefaults: ResolvedRetry = {
  maxAttempts: 5,
  backoff: { baseMs: 500, factor: 2, maxMs: 60_000, jitter: 1 },
  exhausted: "dead-letter",
};
const publishRetryDefaults: ResolvedRetry = {
  maxAttempts: 4,
  backoff: { baseMs: 500, factor: 2, maxMs: 4_000, jitter: 1 },
  exhausted: "dead-letter",
};
const defaultStream: StreamOptions = { name: "events", topics: [">"] };

const backoffShape: Shape = { baseMs: milliseconds, factor: number(1, 100), maxMs: milliseconds, jitter: number(0, 1) };
const retryShape: Shape = {
  maxAttempts: integer(1),
  backoff: either(callable, record),
  exhausted: oneOf("dead-letter", "halt-key", "drop"),
};
const streamShape: Shape = {
  name: text,
  topics: list,
  maxAgeMs: number(1, 100 * 365 * 24 * 3_600_000),
  maxBytes: integer(1),
  maxMessages: integer(1),
  whenFull: oneOf("reject", "drop-oldest", "wait"),
  idleGroupMs: number(1, 100 * 365 * 24 * 3_600_000),
  partitions: integer(1, 1_024),
  replicas: integer(1, 7),
};
const busShape: Shape = {
  name: text,
  prefix: text,
  group: text,
  definitions: list,
  unknownTypes: oneOf("pass", "dead-letter"),
  validate: oneOf("both", "publish", "receive"),
  streams: list,
  retry: record,
  publishing: record,
  wire: record,
  state: text,
  correlate: oneOf("auto", "explicit"),
  logger: record,
  connectTimeoutMs: milliseconds,
  reconnect: record,
  manage: oneOf("create", "verify", "off"),
  member: text,
  maxMessageBytes: integer(1),
  signal: abortSignal,
};
const loggerMethods = ["debug", "info", "warn", "error"] as const;

function resolveRetry(
  where: string,
  policy: RetryPolicy | undefined,
  defaults: ResolvedRetry = retryDefaults,
): ResolvedRetry {
  if (policy === undefined) return defaults;
  checkOptions(where, policy, retryShape);
  const { backoff } = policy;
  if (typeof backoff === "object") checkOptions(`${where}.backoff`, backoff, backoffShape);
  const base = typeof defaults.backoff === "function" ? retryDefaults.backoff : defaults.backoff;
  return {
    maxAttempts: policy.maxAttempts ?? defaults.maxAttempts,
    backoff:
      typeof backoff === "function"
        ? backoff
        : backoff === undefined
          ? defaults.backoff
          : ({ ...(base as object), ...defined(backoff) } as ResolvedRetry["backoff"]),
    exhausted: policy.exhausted ?? defaults.exhausted,
  };
}

function required(where: string, value: unknown): void {
  if (typeof value !== "object" || value === null) throw invalidOption(`${where} must be an object`);
}

const defined = (value: object): object =>
  Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined));

/** Checks a stream's declaration; the topics are patterns, the partition count is the broker's to fix. */
export function checkStream(stream: StreamOptions): StreamOptions {
  required("the stream", stream);
  checkOptions("the stream", stream, streamShape);
  if (!Array.isArray(stream.topics)) throw invalidOption('the stream: "topics" must be a list');
  validateName("stream", stream.name);
  if (stream.topics.length === 0) throw invalidOption(`stream "${stream.name}" needs at least one topic pattern`);
  for (const pattern of stream.topics) validatePattern(pattern);
  return stream;
}

/** Of the package that npm runs, where it runs one. */
function packageName(): string {
  const name = process.env["npm_package_name"];
  return name !== undefined && attributeProblem(name) === undefined ? name : "omnibus";
}

/** Everything of the options filled in and checked; `sections` are the names of the drivers that may have one. */
export function resolveOptions(options: BusOptions, sections: readonly string[]): ResolvedOptions {
  checkOptions("the bus", options, { ...busShape, ...Object.fromEntries(sections.map((name) => [name, record])) });
  const { publishing = {}, wire = {}, reconnect = {}, logger } = options;
  checkOptions("publishing", publishing, {
    retry: record,
    attemptTimeoutMs: number(1, 2 ** 31 - 1),
    maxInFlight: integer(1),
    maxInFlightBytes: integer(1),
  });
  checkOptions("wire", wire, { mode: oneOf("structured", "binary"), compression: record, foreign: list });
  checkOptions("wire.compression", wire.compression, {
    encoding: oneOf("gzip", "zstd", "br"),
    thresholdBytes: integer(0),
  });
  if (wire.compression !== undefined && wire.compression.encoding === undefined)
    throw invalidOption('wire.compression needs an "encoding"');
  for (const foreign of wire.foreign ?? []) {
    required("wire.foreign", foreign);
    checkOptions("wire.foreign", foreign, { topics: text, format: record, write: boolean });
    validatePattern(foreign.topics);
    if (typeof foreign.format?.decode !== "function")
      throw invalidOption('wire.foreign: "format" must have a decode function');
    if (foreign.write === true && foreign.format.encode === undefined)
      throw invalidOption(`wire.foreign: the format "${foreign.format.name}" can't write, it has no encode`);
  }
  checkOptions("reconnect", reconnect, {
    maxAttempts: integer(1),
    minMs: number(1, 2 ** 31 - 1),
    maxMs: number(1, 2 ** 31 - 1),
  });
  if (logger !== undefined)
    for (const method of loggerMethods)
      if (typeof logger[method] !== "function") throw invalidOption(`the logger has no method "${method}"`);
  for (const definition of options.definitions ?? [])
    if (typeof definition?.type !== "string" || typeof definition.topicOf !== "function")
      throw invalidOption('"definitions" takes event definitions, as defineEvent makes them');
  const streams = (options.streams ?? [defaultStream]).map(checkStream);
  const minMs = reconnect.minMs ?? 100;
  return {
    name: options.name === undefined ? packageName() : validateSource("the bus's name", options.name),
    prefix: validateName("prefix", options.prefix ?? "omnibus"),
    group: options.group === undefined ? undefined : validateName("group", options.group),
    registry: new SchemaRegistry(options.definitions ?? []),
    unknownTypes: options.unknownTypes ?? (options.definitions === undefined ? "pass" : "dead-letter"),
    validateOnPublish: options.validate !== "receive",
    validateOnReceive: options.validate !== "publish",
    streams,
    retry: resolveRetry("retry", options.retry),
    publishing: {
      retry: resolveRetry("publishing.retry", publishing.retry, publishRetryDefaults),
      attemptTimeoutMs: publishing.attemptTimeoutMs ?? 5_000,
      maxInFlight: publishing.maxInFlight ?? 10_000,
      maxInFlightBytes: publishing.maxInFlightBytes ?? 64 * 1_048_576,
    },
    wire: {
      mode: wire.mode ?? "structured",
      compression:
        wire.compression === undefined
          ? undefined
          : { encoding: wire.compression.encoding, thresholdBytes: wire.compression.thresholdBytes ?? 1_024 },
      foreign: wire.foreign ?? [],
    },
    state: options.state,
    correlateByItself: options.correlate !== "explicit",
    logger,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    reconnect: {
      maxAttempts: reconnect.maxAttempts ?? Number.POSITIVE_INFINITY,
      minMs,
      maxMs: Math.max(reconnect.maxMs ?? 2_000, minMs),
    },
    manage: options.manage ?? "create",
    member: options.member === undefined ? undefined : validateAttribute("the member's name", options.member),
    maxMessageBytes: options.maxMessageBytes ?? 1_048_576,
    signal: options.signal,
  };
}

export interface ResolvedSubscribe {
  readonly group: string | undefined;
  readonly name: string | undefined;
  readonly live: boolean;
  readonly from: SubscribeOptions["from"];
  readonly concurrency: number;
  readonly order: SubscribeOptions["order"];
  readonly retry: ResolvedRetry;
  readonly timeoutMs: number;
  readonly runAhead: number;
  readonly handOnMs: number;
  readonly bufferSize: number;
  readonly signal: AbortSignal | undefined;
}

function positions(value: unknown): string | undefined {
  const given = Object(value) as { readonly positions?: unknown };
  const places = given.positions;
  if (
    typeof places === "object" &&
    places !== null &&
    Object.keys(given).length === 1 &&
    Object.values(places).every((place) => typeof place === "string")
  )
    return undefined;
  return "must be { positions } as streams.positions gives them";
}

const subscribeShape: Shape = {
  group: either(oneOf(false), text),
  name: text,
  live: boolean,
  from: either(oneOf("oldest", "newest"), date, positions),
  concurrency: integer(1, 100_000),
  order: oneOf("group", "process", "none"),
  retry: record,
  timeoutMs: number(1, 2 ** 31 - 1),
  runAhead: integer(1),
  handOnMs: milliseconds,
  bufferSize: integer(1),
  signal: abortSignal,
};
export const batchShape: Shape = { maxSize: integer(1, 100_000), maxAgeMs: number(1, 2 ** 31 - 1) };
const longestAgeMs = 100 * 365 * 24 * 3_600_000;
export const keyValueShape: Shape = { maxAgeMs: number(1, longestAgeMs), encoding: oneOf("json", "bytes") };
export const publishShape: Shape = {
  id: text,
  key: any, // checked where it is used, beside the definition's
  type: text,
  delivery: oneOf("at-most-once", "at-least-once"),
  priority: oneOf("low", "normal", "high", "critical"),
  delayMs: milliseconds,
  at: date,
  source: text,
  time: date,
  correlationId: text,
  causationId: text,
  metadata: record,
  maxAttempts: integer(1),
  timeoutMs: number(1, 2 ** 31 - 1),
  signal: abortSignal,
};

export function resolveSubscribe(
  options: (SubscribeOptions & Partial<BatchOptions>) | undefined,
  bus: ResolvedOptions,
  concurrency = 16,
  batch = false,
): ResolvedSubscribe {
  checkOptions("the subscription", options, batch ? { ...subscribeShape, ...batchShape } : subscribeShape);
  const given = options ?? {};
  const group = given.group === false ? undefined : (given.group ?? bus.group);
  if (group === undefined && given.live === true) throw invalidOption('the subscription: "live" needs a group');
  if (group === undefined && given.from !== undefined && given.from !== "newest")
    throw invalidOption('the subscription: "from" needs a group; without one a subscriber starts now');
  if (group !== undefined && given.bufferSize !== undefined)
    throw invalidOption(
      'the subscription: "bufferSize" is of a subscriber without a group; a group waits at the broker',
    );
  for (const name of ["runAhead", "handOnMs"] as const)
    if (group === undefined && given[name] !== undefined)
      throw invalidOption(`the subscription: "${name}" needs a group`);
  if (group === undefined && given.order === "group")
    throw invalidOption('the subscription: order "group" needs a group');
  const retry = resolveRetry("the subscription's retry", given.retry, bus.retry);
  const halts = retry.exhausted === "halt-key";
  if (halts) checkHalts(group, given);
  return {
    group: group === undefined ? undefined : validateName("group", group),
    name: given.name === undefined ? undefined : validateAttribute("the handler's name", given.name),
    live: given.live ?? false,
    from: given.from,
    concurrency: given.concurrency ?? concurrency,
    order: halts ? "group" : given.order,
    retry,
    timeoutMs: given.timeoutMs ?? 30_000,
    runAhead: given.runAhead ?? 10_000,
    handOnMs: given.handOnMs ?? 900_000,
    bufferSize: given.bufferSize ?? 10_000,
    signal: given.signal,
  };
}

/** Where no other member waits for a key, nothing that one of them halted would hold it. */
function checkHalts(group: string | undefined, { order, live }: SubscribeOptions): void {
  const refuse = (why: string): Error => invalidOption(`the subscription: "retry.exhausted": "halt-key" ${why}`);
  if (group === undefined) throw refuse("needs a group: without one nothing is kept");
  if (live === true) throw refuse('needs a group that is stored, and "live" is not');
  if (order !== undefined && order !== "group") throw refuse(`needs order "group", and not "${order}"`);
}
