import { DriverError } from "../../internal/driver-error.ts";
import { systemVerdict, type Verdict } from "../../internal/system-error.ts";

/** We did not even hand it to the client. */
export class NotSentError extends DriverError {
  static {
    Object.defineProperty(this.prototype, "name", { value: "NotSentError", configurable: true, writable: true });
  }
}

export const notConnected = (cause?: unknown): NotSentError =>
  new NotSentError("BUS_CONNECTION", "redis: not connected", { retryable: true, cause });
/** Of what was under way. */
export const connectionLost = (cause?: unknown): DriverError =>
  new DriverError("BUS_CONNECTION", "redis: the connection was lost", { retryable: true, cause });
export const closedError = (): NotSentError => new NotSentError("BUS_CLOSED", "redis: the connection is closed");

/** By the first word of an error reply, which is Redis's code for it, or that of one of our scripts. */
const replyVerdicts: Readonly<Record<string, Verdict>> = {
  NOAUTH: ["BUS_AUTHENTICATION", false],
  WRONGPASS: ["BUS_AUTHENTICATION", false],
  NOPERM: ["BUS_AUTHENTICATION", false],
  OOM: ["BUS_FULL", true],
  FULL: ["BUS_FULL", true],
  MISCONF: ["BUS_FULL", true],
  LOADING: ["BUS_CONNECTION", true],
  READONLY: ["BUS_CONNECTION", true],
  MASTERDOWN: ["BUS_CONNECTION", true],
  TRYAGAIN: ["BUS_CONNECTION", true],
  CLUSTERDOWN: ["BUS_CONNECTION", true],
  BUSY: ["BUS_CONNECTION", true],
  NOREPLICAS: ["BUS_CONNECTION", true],
  MOVED: ["BUS_CONNECTION", true],
  ASK: ["BUS_CONNECTION", true],
  STALE: ["BUS_LEASE_LOST", true],
  NOGROUP: ["BUS_NOT_FOUND", false],
  GONE: ["BUS_NOT_FOUND", false],
  NOSTREAM: ["BUS_NOT_FOUND", false],
  WRONGTYPE: ["BUS_CONFLICT", false],
  CONFLICT: ["BUS_CONFLICT", false],
};

/** By the class of the client's error, which comes from a package that may be there twice: so by name. */
const clientVerdicts: Readonly<Record<string, Verdict>> = {
  ClientOfflineError: ["BUS_CONNECTION", true],
  ClientClosedError: ["BUS_CONNECTION", true],
  DisconnectsClientError: ["BUS_CONNECTION", true],
  SocketClosedUnexpectedlyError: ["BUS_CONNECTION", true],
  RootNodesUnavailableError: ["BUS_CONNECTION", true],
  ReconnectStrategyError: ["BUS_CONNECTION", true],
  MaxCommandRedirectionsError: ["BUS_CONNECTION", true],
  ConnectionTimeoutError: ["BUS_TIMEOUT", true],
  SocketTimeoutError: ["BUS_TIMEOUT", true],
  TimeoutError: ["BUS_TIMEOUT", true],
};

/** With these nothing of the command, or of the script, ran. */
const nothingRan: ReadonlySet<string> = new Set(
  "OOM READONLY LOADING MISCONF NOREPLICAS BUSY MASTERDOWN CLUSTERDOWN TRYAGAIN NOAUTH NOPERM NOSCRIPT GONE NOSTREAM".split(
    " ",
  ),
);

/** "STALE", "GONE", "OOM"; undefined: not an error reply. */
export function replyWord(error: unknown): string | undefined {
  if (!(error instanceof Error) || !isReply(error)) return undefined;
  return /^[A-Z]+(?= |$)/.exec(error.message)?.[0];
}

function isReply(error: Error): boolean {
  for (let each: unknown = Object.getPrototypeOf(error); each !== null; each = Object.getPrototypeOf(each)) {
    if ((each as Error).constructor.name === "ErrorReply") return true;
  }
  return false;
}

/** Of a command that was handed to the client and failed: `no` when it is certain that nothing ran. */
export function outcomeOf(error: unknown): "no" | "unknown" {
  if (error instanceof NotSentError) return "no";
  const word = replyWord(error);
  if (word !== undefined) return nothingRan.has(word) ? "no" : "unknown";
  const name = nameOf(error);
  return name === "ClientOfflineError" || name === "ClientClosedError" ? "no" : "unknown";
}

/** Of one message, as the script that stores them says it: a code and words. */
export function refusal(text: string): DriverError {
  const word = /^[A-Z]+/.exec(text)?.[0] ?? "";
  const [code, retryable] = (Object.hasOwn(replyVerdicts, word) ? replyVerdicts[word] : undefined) ?? [
    "BUS_SERVER",
    false,
  ];
  return new DriverError(code, `redis: ${text}`, { retryable });
}

/** By code or class, never by text where one of them exists. What it doesn't know is BUS_SERVER. */
export function classify(error: unknown): { readonly code: string; readonly retryable: boolean } {
  const [code, retryable] = verdictOf(error, 0) ?? ["BUS_SERVER", false];
  return { code, retryable };
}

function verdictOf(error: unknown, depth: number): Verdict | undefined {
  if (typeof error !== "object" || error === null || depth > 4) return undefined;
  const { code, cause, retryable } = error as {
    readonly code?: unknown;
    readonly cause?: unknown;
    readonly retryable?: unknown;
  };
  if (typeof code === "string" && code.startsWith("BUS_")) return [code, retryable === true];
  const word = replyWord(error);
  // another database than a moment ago: nothing ran, and in a moment it is known
  if (word === "GONE" && (error as Error).message.startsWith("GONE database")) return ["BUS_CONNECTION", true];
  if (word !== undefined)
    return Object.hasOwn(replyVerdicts, word) ? replyVerdicts[word] : verdictOfText(error as Error);
  return systemVerdict(code) ?? clientVerdicts[nameOf(error) ?? ""] ?? verdictOf(cause, depth + 1);
}

/** What Redis has no code for. */
function verdictOfText({ message }: Error): Verdict | undefined {
  if (/DB index is out of range/.test(message)) return ["BUS_INVALID_OPTION", false];
  if (/non local key/.test(message)) return ["BUS_INVALID_OPTION", false]; // an attached key of another slot
  return /user executing the script can't/.test(message) ? ["BUS_AUTHENTICATION", false] : undefined;
}

function nameOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { name } = error.constructor;
  return Object.hasOwn(clientVerdicts, name) ? name : undefined;
}
