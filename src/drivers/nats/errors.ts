import { DriverError } from "../../internal/driver-error.ts";
import { systemVerdict, type Verdict } from "../../internal/system-error.ts";

/** What `$JS.API` and publish answers carry as `error`. */
export class ApiError extends Error {
  readonly errCode: number;
  /** As HTTP has them: 400, 404, 503. */
  readonly status: number;

  constructor(errCode: number, status: number, description: string) {
    super(`${description} (${errCode})`);
    this.errCode = errCode;
    this.status = status;
  }

  static {
    Object.defineProperty(this.prototype, "name", { value: "ApiError", configurable: true, writable: true });
  }
}

/** Nothing came back: the connection went, or the time. */
export class NoAnswer extends Error {
  /** False: it was certainly never sent. */
  readonly written: boolean;
  readonly timedOut: boolean;

  constructor(
    message: string,
    written: boolean,
    options: { readonly timedOut?: boolean; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.written = written;
    this.timedOut = options.timedOut ?? false;
  }

  static {
    Object.defineProperty(this.prototype, "name", { value: "NoAnswer", configurable: true, writable: true });
  }
}

/** The codes that the driver acts on. */
export const apiCode = {
  noPeers: 10005,
  badRequest: 10003,
  consumerNotFound: 10014,
  insufficientResources: 10023,
  noMessage: 10037,
  notEnabledForAccount: 10039,
  messageGone: 10043,
  messageNotFound: 10057,
  maximumStorage: 10047,
  folderInUse: 10051,
  streamUpdate: 10052,
  messageTooLarge: 10054,
  streamNotFound: 10059,
  streamNameInUse: 10058,
  wrongStream: 10060,
  subjectsOverlap: 10065,
  wrongLastSequence: 10071,
  writeUnderWay: 10164,
  replicasWithoutCluster: 10074,
  notEnabled: 10076,
  storeFailed: 10077,
  noLeader: 10008,
  queueNotUnique: 10100,
  queueFromOldest: 10101,
  filtersOverlap: 10138,
  consumerExists: 10148,
  consumerGone: 10149,
  headersTooLarge: 10097,
  streamOffline: 10118,
  consumerOffline: 10119,
  duplicateUnderWay: 10158,
} as const;

export function isApiError(error: unknown, ...codes: readonly number[]): error is ApiError {
  return error instanceof ApiError && (codes.length === 0 || codes.includes(error.errCode));
}

const apiVerdicts: Readonly<Record<number, Verdict>> = {
  [apiCode.insufficientResources]: ["BUS_FULL", true],
  [apiCode.consumerNotFound]: ["BUS_NOT_FOUND", false],
  [apiCode.noMessage]: ["BUS_NOT_FOUND", false],
  [apiCode.streamNotFound]: ["BUS_NOT_FOUND", false],
  [apiCode.maximumStorage]: ["BUS_FULL", false],
  [apiCode.messageTooLarge]: ["BUS_TOO_LARGE", false],
  [apiCode.headersTooLarge]: ["BUS_TOO_LARGE", false],
  [apiCode.streamNameInUse]: ["BUS_CONFLICT", false],
  [apiCode.subjectsOverlap]: ["BUS_CONFLICT", false],
  [apiCode.streamUpdate]: ["BUS_INVALID_OPTION", false],
  [apiCode.replicasWithoutCluster]: ["BUS_INVALID_OPTION", false],
  [apiCode.wrongLastSequence]: ["BUS_CONFLICT", false],
  [apiCode.consumerExists]: ["BUS_CONFLICT", false],
  [apiCode.notEnabled]: ["BUS_UNSUPPORTED", false],
  [apiCode.notEnabledForAccount]: ["BUS_UNSUPPORTED", false],
  [apiCode.noLeader]: ["BUS_CONNECTION", true],
  [apiCode.writeUnderWay]: ["BUS_CONNECTION", true],
  // a majority or a server of the cluster is away: these have other statuses than 503
  [apiCode.duplicateUnderWay]: ["BUS_CONNECTION", true],
  [apiCode.streamOffline]: ["BUS_CONNECTION", true],
  [apiCode.consumerOffline]: ["BUS_CONNECTION", true],
};

/** By the class of the client's error, which comes from a package that may be there twice: so by name. */
const clientVerdicts: Readonly<Record<string, Verdict>> = {
  AuthorizationError: ["BUS_AUTHENTICATION", false],
  UserAuthenticationExpiredError: ["BUS_AUTHENTICATION", false],
  PermissionViolationError: ["BUS_AUTHENTICATION", false],
  TimeoutError: ["BUS_TIMEOUT", true],
  NoRespondersError: ["BUS_NO_RESPONDER", true],
  ConnectionError: ["BUS_CONNECTION", true],
  RequestError: ["BUS_CONNECTION", true],
  ProtocolError: ["BUS_SERVER", true],
  ClosedConnectionError: ["BUS_CLOSED", false],
  DrainingConnectionError: ["BUS_CLOSED", false],
  InvalidArgumentError: ["BUS_INVALID_OPTION", false],
  InvalidSubjectError: ["BUS_INVALID_TOPIC", false],
};

/** By code or class, never by text where one of them exists. What it doesn't know is BUS_SERVER. */
export function classify(error: unknown): { readonly code: string; readonly retryable: boolean } {
  const [code, retryable] = verdictOf(error, 0) ?? ["BUS_SERVER", false];
  return { code, retryable };
}

function verdictOf(error: unknown, depth: number): Verdict | undefined {
  if (typeof error !== "object" || error === null || depth > 4) return undefined;
  if (error instanceof DriverError) return [error.code, error.retryable];
  if (error instanceof NoAnswer)
    return verdictOf(error.cause, depth + 1) ?? [error.timedOut ? "BUS_TIMEOUT" : "BUS_CONNECTION", true];
  // for want of space, of servers at all, or of one that is away
  if (isApiError(error, apiCode.noPeers) && error.message.includes("offline")) return ["BUS_CONNECTION", true];
  if (error instanceof ApiError)
    return apiVerdicts[error.errCode] ?? (error.status === 503 ? ["BUS_CONNECTION", true] : ["BUS_SERVER", false]);
  const { name, code, cause } = error as { readonly name?: unknown; readonly code?: unknown; readonly cause?: unknown };
  const system = systemVerdict(code) ?? verdictOf(cause, depth + 1);
  const client = typeof name === "string" && Object.hasOwn(clientVerdicts, name) ? clientVerdicts[name] : undefined;
  // a refused certificate stands in the cause of a lost connection
  return client?.[1] === false ? client : (system ?? client);
}
