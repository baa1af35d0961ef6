import type { Driver } from "./driver.ts";
import { BusError, busErrorCodes, isBusError, type BusErrorCode } from "./errors.ts";

/**
 * The driver's own error as the bus's: once, here. The driver says the code; its message is quoted (drivers keep secrets and
 * payloads out of theirs, urls are redacted), the error itself is the cause.
 */
export function wrapError(driver: Driver, what: string, error: unknown): BusError {
  if (isBusError(error)) return error;
  const { code, retryable } = driver.classify(error);
  const reason = redact(reasonOf(error));
  const own = `${driver.name}: `; // drivers begin with their name, which is said here
  const why = reason.startsWith(own) ? reason.slice(own.length) : reason;
  return new BusError(knownCode(code), `${what} (${driver.name}): ${why}`, {
    cause: error,
    retryable,
  });
}

const knownCode = (code: string): BusErrorCode =>
  (busErrorCodes as readonly string[]).includes(code) ? (code as BusErrorCode) : "BUS_SERVER";

/** The words of anything that was thrown, undefined included. */
export function reasonOf(error: unknown): string {
  if (typeof error === "string") return error === "" ? "an empty string was thrown" : error;
  if (error === undefined || error === null) return `${error} was thrown`;
  if (typeof error !== "object") return `a value of type ${typeof error} was thrown`;
  return textOf(error, "message") ?? textOf(error, "name") ?? "a value of type object was thrown";
}

/** A property that is a text with something in it; whatever was thrown may be a proxy, or have getters that throw. */
export function textOf(thrown: unknown, property: "message" | "name" | "code" | "stack"): string | undefined {
  try {
    const value: unknown = (Object(thrown) as Readonly<Record<string, unknown>>)[property];
    return typeof value === "string" && value !== "" ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Takes user names and passwords out of urls, and what is called a secret out of their queries and of settings. */
export const redact = (text: string): string =>
  text
    .replaceAll(/\b([a-z][a-z0-9+.-]*:\/\/)[^\s]*@/gi, "$1***@")
    .replaceAll(
      /\b((?:password|passwd|pwd|passphrase|secret|token|api[-_]?key|credentials?)["']?\s*[=:]\s*["']?)[^\s&"',;]+/gi,
      "$1***",
    );
