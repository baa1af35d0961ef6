import { branded } from "./errors.ts";

const rejectBrand = Symbol.for("omnibus.reject");
const retryAfterBrand = Symbol.for("omnibus.retry-after");

/**
 * Thrown by a handler: no more attempts, the message becomes a dead letter with this reason. Recognised across copies of
 * the package.
 *
 * @example
 * if (order.total < 0) throw new Reject("negative total");
 */
export class Reject extends Error {
  constructor(reason: string, options: { readonly cause?: unknown } = {}) {
    super(reason, options.cause === undefined ? undefined : { cause: options.cause });
  }

  static {
    Object.defineProperty(this.prototype, "name", { value: "Reject", configurable: true, writable: true });
    Object.defineProperty(this.prototype, rejectBrand, { value: true });
  }
}

/** Thrown by a handler: the next attempt comes after `delayMs`, whatever the backoff says. It counts as an attempt. */
export class RetryAfter extends Error {
  readonly delayMs: number;

  constructor(delayMs: number, options: { readonly cause?: unknown } = {}) {
    super(`retry after ${delayMs} ms`, options.cause === undefined ? undefined : { cause: options.cause });
    this.delayMs = delayMs;
  }

  static {
    Object.defineProperty(this.prototype, "name", { value: "RetryAfter", configurable: true, writable: true });
    Object.defineProperty(this.prototype, retryAfterBrand, { value: true });
  }
}

export function isReject(error: unknown): error is Reject {
  return branded(error, rejectBrand);
}

export function isRetryAfter(error: unknown): error is RetryAfter {
  return branded(error, retryAfterBrand);
}
