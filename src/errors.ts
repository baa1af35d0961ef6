import type { PublishOutcome } from "./receipt.ts";

/** Every code that a `BusError` can carry. What each means, whom it hits and what to do stands in docs/errors.md. */
export const busErrorCodes = [
  "BUS_CLOSED",
  "BUS_CONNECTION",
  "BUS_AUTHENTICATION",
  "BUS_TIMEOUT",
  "BUS_ABORTED",
  "BUS_INVALID_OPTION",
  "BUS_INVALID_TOPIC",
  "BUS_INVALID_DATA",
  "BUS_TOO_LARGE",
  "BUS_UNSUPPORTED",
  "BUS_CLIENT_MISSING",
  "BUS_CONFLICT",
  "BUS_NOT_FOUND",
  "BUS_NO_RESPONDER",
  "BUS_REMOTE",
  "BUS_HANDLER",
  "BUS_NO_HANDLER",
  "BUS_LEASE_LOST",
  "BUS_FULL",
  "BUS_SERVER",
  "BUS_CORRUPT",
  "BUS_UNDECODABLE",
] as const;
export type BusErrorCode = (typeof busErrorCodes)[number];

const brand = Symbol.for("omnibus.error");

export interface BusErrorOptions {
  readonly cause?: unknown;
  readonly retryable?: boolean | undefined;
}

/**
 * What every rejection of the bus is. Act on `code`, never on the message. `retryable` says whether the same call may
 * succeed later; `cause` is the driver's own error, if there was one. `isBusError` recognises it across copies of the package.
 */
export class BusError extends Error {
  readonly code: BusErrorCode;
  readonly retryable: boolean;

  constructor(code: BusErrorCode, message: string, options: BusErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
  }

  static {
    Object.defineProperty(this.prototype, "name", { value: "BusError", configurable: true, writable: true });
    Object.defineProperty(this.prototype, brand, { value: true });
  }
}

/** How a publish ended badly. `rejected`: certainly not stored. `unknown`: it may be; the same id makes trying again harmless. */
export class PublishError extends BusError {
  readonly outcome: "rejected" | "unknown";
  readonly id: string;
  readonly topic: string;
  readonly attempts: number;

  constructor(
    code: BusErrorCode,
    message: string,
    details: {
      readonly outcome: "rejected" | "unknown";
      readonly id: string;
      readonly topic: string;
      readonly attempts: number;
    } & BusErrorOptions,
  ) {
    super(code, message, details);
    this.outcome = details.outcome;
    this.id = details.id;
    this.topic = details.topic;
    this.attempts = details.attempts;
  }

  static {
    Object.defineProperty(this.prototype, "name", { value: "PublishError", configurable: true, writable: true });
  }
}

/** The source given to `publishMany` threw, which is the `cause`. What it had given by then has been published, or not, as `outcomes` say. */
export class PublishManyError extends BusError {
  /** One for each item that the source gave, in order. */
  readonly outcomes: readonly PublishOutcome[];

  constructor(message: string, outcomes: readonly PublishOutcome[], options: BusErrorOptions = {}) {
    super("BUS_ABORTED", message, options);
    this.outcomes = outcomes;
  }

  static {
    Object.defineProperty(this.prototype, "name", { value: "PublishManyError", configurable: true, writable: true });
  }
}

/** What a schema said, with the path of each field; never the values. */
export interface ValidationIssue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** Data that its schema refused, on publishing or on receipt. */
export class ValidationError extends BusError {
  readonly issues: readonly ValidationIssue[];

  constructor(message: string, issues: readonly ValidationIssue[], options: BusErrorOptions = {}) {
    super("BUS_INVALID_DATA", message, options);
    this.issues = issues;
  }

  static {
    Object.defineProperty(this.prototype, "name", { value: "ValidationError", configurable: true, writable: true });
  }
}

/** A responder failed: `remote` is what it threw, without its stack. */
export class RemoteError extends BusError {
  readonly remote: { readonly code: string; readonly name: string; readonly message: string };

  constructor(
    message: string,
    remote: { readonly code: string; readonly name: string; readonly message: string },
    options: BusErrorOptions = {},
  ) {
    super("BUS_REMOTE", message, options);
    this.remote = remote;
  }

  static {
    Object.defineProperty(this.prototype, "name", { value: "RemoteError", configurable: true, writable: true });
  }
}

/** True of an error of any copy of the package. */
export function isBusError(error: unknown): error is BusError {
  return branded(error, brand);
}

/** Whatever was thrown may be a proxy that refuses to be asked. */
export function branded(thrown: unknown, mark: symbol): boolean {
  try {
    return (
      typeof thrown === "object" && thrown !== null && (thrown as Readonly<Record<symbol, unknown>>)[mark] === true
    );
  } catch {
    return false;
  }
}
