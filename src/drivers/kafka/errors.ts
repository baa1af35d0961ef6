import { DriverError } from "../../internal/driver-error.ts";
import { systemVerdict, type Verdict } from "../../internal/system-error.ts";

/** Nothing came back: the connection went, or the time. */
export class NoAnswer extends DriverError {
  /** False: it was certainly never sent. */
  readonly written: boolean;

  constructor(
    message: string,
    written: boolean,
    options: { readonly timedOut?: boolean; readonly cause?: unknown } = {},
  ) {
    const { code, retryable } = lossOf(options);
    super(code, `kafka: ${message}`, { retryable, cause: options.cause });
    this.written = written;
  }

  static {
    Object.defineProperty(this.prototype, "name", { value: "NoAnswer", configurable: true, writable: true });
  }
}

/** A refusal by TLS is a loss that does not pass; all else that ends a connection does. */
function lossOf({
  timedOut,
  cause,
}: {
  readonly timedOut?: boolean;
  readonly cause?: unknown;
}): ReturnType<typeof classify> {
  if (timedOut === true) return { code: "BUS_TIMEOUT", retryable: true };
  const { code, retryable } = classify(cause);
  return retryable || code === "BUS_SERVER" ? { code: "BUS_CONNECTION", retryable: true } : { code, retryable };
}

/** By Kafka's name of the error, which the client has as `apiId`. */
const verdicts: Readonly<Record<string, Verdict>> = {
  SASL_AUTHENTICATION_FAILED: ["BUS_AUTHENTICATION", false],
  UNSUPPORTED_SASL_MECHANISM: ["BUS_AUTHENTICATION", false],
  ILLEGAL_SASL_STATE: ["BUS_AUTHENTICATION", false],
  TOPIC_AUTHORIZATION_FAILED: ["BUS_AUTHENTICATION", false],
  GROUP_AUTHORIZATION_FAILED: ["BUS_AUTHENTICATION", false],
  CLUSTER_AUTHORIZATION_FAILED: ["BUS_AUTHENTICATION", false],
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: ["BUS_AUTHENTICATION", false],
  SECURITY_DISABLED: ["BUS_AUTHENTICATION", false],
  MESSAGE_TOO_LARGE: ["BUS_TOO_LARGE", false],
  RECORD_LIST_TOO_LARGE: ["BUS_TOO_LARGE", false],
  OFFSET_METADATA_TOO_LARGE: ["BUS_TOO_LARGE", false],
  UNKNOWN_TOPIC_OR_PARTITION: ["BUS_NOT_FOUND", true],
  UNKNOWN_TOPIC_ID: ["BUS_NOT_FOUND", true],
  GROUP_ID_NOT_FOUND: ["BUS_NOT_FOUND", false],
  TOPIC_ALREADY_EXISTS: ["BUS_CONFLICT", false],
  NON_EMPTY_GROUP: ["BUS_CONFLICT", false],
  INCONSISTENT_GROUP_PROTOCOL: ["BUS_CONFLICT", false],
  ILLEGAL_GENERATION: ["BUS_LEASE_LOST", true],
  UNKNOWN_MEMBER_ID: ["BUS_LEASE_LOST", true],
  REBALANCE_IN_PROGRESS: ["BUS_LEASE_LOST", true],
  FENCED_INSTANCE_ID: ["BUS_LEASE_LOST", true],
  UNSUPPORTED_VERSION: ["BUS_UNSUPPORTED", false],
  UNSUPPORTED_FOR_MESSAGE_FORMAT: ["BUS_UNSUPPORTED", false],
  UNSUPPORTED_COMPRESSION_TYPE: ["BUS_UNSUPPORTED", false],
  INVALID_TOPIC_EXCEPTION: ["BUS_INVALID_OPTION", false],
  INVALID_PARTITIONS: ["BUS_INVALID_OPTION", false],
  INVALID_REPLICATION_FACTOR: ["BUS_INVALID_OPTION", false],
  INVALID_CONFIG: ["BUS_INVALID_OPTION", false],
  INVALID_SESSION_TIMEOUT: ["BUS_INVALID_OPTION", false],
  POLICY_VIOLATION: ["BUS_CONFLICT", false],
  REQUEST_TIMED_OUT: ["BUS_TIMEOUT", true],
  NOT_LEADER_OR_FOLLOWER: ["BUS_CONNECTION", true],
  LEADER_NOT_AVAILABLE: ["BUS_CONNECTION", true],
  FENCED_LEADER_EPOCH: ["BUS_CONNECTION", true],
  UNKNOWN_LEADER_EPOCH: ["BUS_CONNECTION", true],
  REPLICA_NOT_AVAILABLE: ["BUS_CONNECTION", true],
  NOT_ENOUGH_REPLICAS: ["BUS_CONNECTION", true],
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: ["BUS_CONNECTION", true],
  COORDINATOR_NOT_AVAILABLE: ["BUS_CONNECTION", true],
  COORDINATOR_LOAD_IN_PROGRESS: ["BUS_CONNECTION", true],
  NOT_COORDINATOR: ["BUS_CONNECTION", true],
  NOT_CONTROLLER: ["BUS_CONNECTION", true],
  BROKER_NOT_AVAILABLE: ["BUS_CONNECTION", true],
  KAFKA_STORAGE_ERROR: ["BUS_SERVER", true],
  THROTTLING_QUOTA_EXCEEDED: ["BUS_SERVER", true],
};

/** What the client says where Kafka said nothing. `PLT_KFK_AUTHENTICATION` is not among them: a port that speaks TLS is one, too. */
const clientVerdicts: Readonly<Record<string, Verdict>> = {
  PLT_KFK_TIMEOUT: ["BUS_TIMEOUT", true],
  PLT_KFK_NETWORK: ["BUS_CONNECTION", true],
  PLT_KFK_UNSUPPORTED_API: ["BUS_UNSUPPORTED", false],
  PLT_KFK_UNSUPPORTED_COMPRESSION: ["BUS_UNSUPPORTED", false],
};

interface ClientError {
  readonly code?: unknown;
  readonly apiId?: unknown;
  readonly retryable?: unknown;
  readonly cause?: unknown;
  readonly errors?: unknown;
}

const deepest = 8;

/** An error and whatever it was made of, from the outside in: the client's own `findBy` doesn't look into `cause`. */
function* within(error: unknown, depth = 0): Generator<ClientError> {
  if (typeof error !== "object" || error === null || depth > deepest) return;
  yield error as ClientError;
  const { cause, errors } = error as ClientError;
  if (Array.isArray(errors)) for (const each of errors) yield* within(each, depth + 1);
  yield* within(cause, depth + 1);
}

/** TOPIC_AUTHORIZATION_FAILED. */
export const unauthorized = 29;

export const mayNotRead = (topic: string): DriverError =>
  new DriverError("BUS_AUTHENTICATION", `kafka: this user may not read the topic ${topic}`);

/** Kafka's name of an error that it answered; undefined: it answered none. */
export function apiIdOf(error: unknown): string | undefined {
  for (const { apiId } of within(error)) if (typeof apiId === "string") return apiId;
  return undefined;
}

/** By code, never by text. Kafka's own word counts before Node's, and that before the client's. What it doesn't know is BUS_SERVER. */
export function classify(error: unknown): { readonly code: string; readonly retryable: boolean } {
  const chain = [...within(error)];
  for (const { code, retryable } of chain)
    if (typeof code === "string" && code.startsWith("BUS_")) return { code, retryable: retryable === true };
  const [code, retryable] =
    kafkaVerdict(chain) ?? firstOf(chain, systemVerdict) ?? firstOf(chain, clientVerdict) ?? other;
  return { code, retryable };
}

const other: Verdict = ["BUS_SERVER", false];

function kafkaVerdict(chain: readonly ClientError[]): Verdict | undefined {
  for (const { apiId } of chain) if (typeof apiId === "string") return own(verdicts, apiId) ?? other;
  return undefined;
}

const clientVerdict = (code: unknown): Verdict | undefined =>
  typeof code === "string" ? own(clientVerdicts, code) : undefined;

const own = (from: Readonly<Record<string, Verdict>>, name: string): Verdict | undefined =>
  Object.hasOwn(from, name) ? from[name] : undefined;

function firstOf(chain: readonly ClientError[], verdict: (code: unknown) => Verdict | undefined): Verdict | undefined {
  for (const { code } of chain) {
    const found = verdict(code);
    if (found !== undefined) return found;
  }
  return undefined;
}
