import { DriverError } from "../../internal/driver-error.ts";
import { systemVerdict } from "../../internal/system-error.ts";
import { NotSent } from "./link.ts";
import { isState, ofStatement, stateOf } from "./sqlstate.ts";

interface Classified {
  readonly code: string;
  readonly retryable: boolean;
}

const connection: Classified = { code: "BUS_CONNECTION", retryable: true };
const authentication: Classified = { code: "BUS_AUTHENTICATION", retryable: false };
const notFound: Classified = { code: "BUS_NOT_FOUND", retryable: false };
const full: Classified = { code: "BUS_FULL", retryable: true };
const waited: Classified = { code: "BUS_TIMEOUT", retryable: true };
const corrupt: Classified = { code: "BUS_CORRUPT", retryable: false };

/** By SQLSTATE; those of our own functions begin with OM. */
const states: Readonly<Record<string, Classified>> = {
  "42501": authentication,
  "3D000": notFound, // no such database
  "3F000": notFound, // no such schema
  "42P01": notFound, // no such table
  "42883": notFound, // no such function
  "57P01": connection, // ended by an administrator, or by a shutdown
  "57P02": connection,
  "57P03": connection, // it starts, or stops
  "25006": connection, // a standby: the primary is elsewhere by now
  "53300": connection, // too many connections
  "53100": full,
  "53200": full,
  "40001": waited,
  "40P01": waited,
  "55P03": waited,
  "57014": waited,
  XX001: corrupt,
  XX002: corrupt,
  OM001: full,
  OM002: notFound,
  OM003: notFound,
  OM004: { code: "BUS_CONFLICT", retryable: false },
};

const classes: Readonly<Record<string, Classified>> = {
  "08": connection,
  "28": authentication,
  "54": { code: "BUS_TOO_LARGE", retryable: false },
};

/** By code, never by text. What pg says without a code is wrapped where it is known what was being done. */
export function classify(error: unknown): Classified {
  if (error instanceof DriverError) return { code: error.code, retryable: error.retryable };
  const { code } = (error ?? {}) as { readonly code?: unknown };
  if (typeof code !== "string") return { code: "BUS_SERVER", retryable: false };
  if (code.startsWith("BUS_"))
    return { code, retryable: (error as { readonly retryable?: unknown }).retryable === true };
  const verdict = systemVerdict(code); // before the server's: EPIPE looks like one of those
  if (verdict !== undefined) return { code: verdict[0], retryable: verdict[1] };
  if (!isState(code)) return { code: "BUS_SERVER", retryable: false };
  if (Object.hasOwn(states, code)) return states[code]!;
  const group = code.slice(0, 2);
  return Object.hasOwn(classes, group) ? classes[group]! : { code: "BUS_SERVER", retryable: false };
}

/** These say of themselves that nobody knows whether it was committed. */
const doubtful: ReadonlySet<string> = new Set(["08007", "40003"]);

/** Of a statement with its own commit that failed so. An error of the statement undoes it; the end of a session tells nothing. */
export function outcomeOf(error: unknown): "no" | "unknown" {
  if (error instanceof NotSent) return "no";
  const state = stateOf(error);
  return ofStatement(error) && state !== undefined && !doubtful.has(state) ? "no" : "unknown";
}

/** A table, function or schema of ours. */
export const isMissing = (error: unknown): boolean => ["42P01", "42883", "3F000"].includes(stateOf(error) ?? "");

/** Of the connection, which is made again: whoever waits is woken then. */
export const isLost = (error: unknown): boolean => ["BUS_CONNECTION", "BUS_CLOSED"].includes(classify(error).code);
