import { DriverError } from "../../internal/driver-error.ts";
import { systemVerdict, type Verdict } from "../../internal/system-error.ts";
import { inequivalent } from "./inequivalent.ts";

export const closedError = (): DriverError => new DriverError("BUS_CLOSED", "rabbitmq: the connection is closed");
export const noAnswer = (): DriverError =>
  new DriverError("BUS_TIMEOUT", "rabbitmq: the server does not answer", { retryable: true });
export const notConnected = (cause?: unknown): DriverError =>
  new DriverError("BUS_CONNECTION", "rabbitmq: not connected", { retryable: true, cause });
/** Of what was under way. */
export const connectionLost = (cause?: unknown): DriverError =>
  new DriverError("BUS_CONNECTION", "rabbitmq: the connection was lost", { retryable: true, cause });

/** AMQP's reply codes, which the client keeps in `code`, or in its text alone. */
const replyVerdicts: Readonly<Record<string, Verdict>> = {
  311: ["BUS_TOO_LARGE", false],
  320: ["BUS_CONNECTION", true],
  402: ["BUS_NOT_FOUND", false],
  403: ["BUS_AUTHENTICATION", false],
  404: ["BUS_NOT_FOUND", false],
  405: ["BUS_CONFLICT", true],
  406: ["BUS_CONFLICT", false],
  501: ["BUS_CONNECTION", true],
  504: ["BUS_CONNECTION", true],
  506: ["BUS_CONNECTION", true], // a stream that is just being made
  530: ["BUS_AUTHENTICATION", false],
  540: ["BUS_UNSUPPORTED", false],
  541: ["BUS_SERVER", true],
};

/** 404 of a queue that is not there; undefined: no reply of the server. */
export function replyCode(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
  if (typeof code === "number") return code;
  const found = typeof message === "string" ? /\b([345]\d\d) \([A-Z-]+\)/.exec(message)?.[1] : undefined;
  return found === undefined ? undefined : Number(found);
}

export const isMissing = (error: unknown): boolean => replyCode(error) === 404;

/** Of what is missing: it is there, and its server does not know yet where, or that is away. */
export const isOut = (error: unknown): boolean =>
  error instanceof Error && /is down or inaccessible/.test(error.message);

/** Of a stream queue that another process is just making: it is there in a moment. */
export const isComing = (error: unknown): boolean =>
  replyCode(error) === 406 &&
  error instanceof Error &&
  /does not have a (?:running )?replica on the local node/.test(error.message);

/** A declaration that disagrees with what is there names the argument; anything else stays as it is. */
export function explained(error: unknown): unknown {
  const found = error instanceof Error ? inequivalent(error.message) : undefined;
  if (found === undefined) return error;
  const { kind, name, argument, wanted, found: current } = found;
  return new DriverError(
    "BUS_CONFLICT",
    `rabbitmq: the ${kind} "${name}" is there with another "${argument}": ${current}, and not ${wanted}`,
    { cause: error },
  );
}

/** By code or class, never by text where one of them exists. What it doesn't know is BUS_SERVER. */
export function classify(error: unknown): { readonly code: string; readonly retryable: boolean } {
  const [code, retryable] = verdictOf(error, 0) ?? ["BUS_SERVER", false];
  return { code, retryable };
}

function verdictOf(error: unknown, depth: number): Verdict | undefined {
  if (typeof error !== "object" || error === null || depth > 4) return undefined;
  const { code, cause, retryable, name } = error as {
    readonly code?: unknown;
    readonly cause?: unknown;
    readonly retryable?: unknown;
    readonly name?: unknown;
  };
  if (typeof code === "string" && code.startsWith("BUS_")) return [code, retryable === true];
  const reply = replyCode(error);
  if (reply !== undefined && Object.hasOwn(replyVerdicts, reply)) return replyVerdicts[reply];
  if (name === "IllegalOperationError") return ["BUS_CONNECTION", true]; // the client's: the channel is closed
  return systemVerdict(code) ?? verdictOfText(error) ?? verdictOf(cause, depth + 1);
}

/** What the client has no code for. */
function verdictOfText(error: object): Verdict | undefined {
  const { message } = error as { readonly message?: unknown };
  if (typeof message !== "string") return undefined;
  if (/Expected ConnectionOpenOk/.test(message)) return ["BUS_AUTHENTICATION", false];
  return /Heartbeat timeout|Channel (?:ended|closed)|Connection clos|Socket closed|Unexpected close|connect ETIMEDOUT/i.test(
    message,
  )
    ? ["BUS_CONNECTION", true]
    : undefined;
}
