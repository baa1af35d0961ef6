import { describe, expect, it } from "vitest";
import { DriverError } from "../../internal/driver-error.ts";
import { ApiError, classify, NoAnswer } from "./errors.ts";

class Named extends Error {
  constructor(name: string, options: { readonly code?: string; readonly cause?: unknown } = {}) {
    super("words decide nothing", options.cause === undefined ? undefined : { cause: options.cause });
    this.name = name;
    if (options.code !== undefined) Object.assign(this, { code: options.code });
  }
}

describe("what an error means", () => {
  const verdict = (error: unknown): readonly unknown[] => {
    const { code, retryable } = classify(error);
    return [code, retryable];
  };

  it("is told by the class of the client's, wherever its package comes from", () => {
    expect(verdict(new Named("AuthorizationError"))).toEqual(["BUS_AUTHENTICATION", false]);
    expect(verdict(new Named("PermissionViolationError"))).toEqual(["BUS_AUTHENTICATION", false]);
    expect(verdict(new Named("TimeoutError"))).toEqual(["BUS_TIMEOUT", true]);
    expect(verdict(new Named("ConnectionError"))).toEqual(["BUS_CONNECTION", true]);
    expect(verdict(new Named("ClosedConnectionError"))).toEqual(["BUS_CLOSED", false]);
    expect(verdict(new Named("RequestError", { cause: new Named("PermissionViolationError") }))).toEqual([
      "BUS_AUTHENTICATION",
      false,
    ]);
  });

  it("is told by the system's code, also behind the client's", () => {
    const refused = new Named("Error", { code: "ECONNREFUSED" });
    expect(verdict(new Named("ConnectionError", { cause: refused }))).toEqual(["BUS_CONNECTION", true]);
    for (const code of [
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      "CERT_HAS_EXPIRED",
      "ERR_TLS_CERT_ALTNAME_INVALID",
      "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED",
    ]) {
      expect(verdict(new Named("Error", { code }))).toEqual(["BUS_AUTHENTICATION", false]);
      expect(verdict(new Named("ConnectionError", { cause: new Named("Error", { code }) }))).toEqual([
        "BUS_AUTHENTICATION",
        false,
      ]);
    }
    expect(verdict(new Named("Error", { code: "ENOTFOUND" }))).toEqual(["BUS_CONNECTION", true]);
  });

  it("is told by JetStream's code, or by its status where there is none", () => {
    expect(verdict(new ApiError(10_059, 404, "x"))).toEqual(["BUS_NOT_FOUND", false]);
    expect(verdict(new ApiError(10_065, 400, "x"))).toEqual(["BUS_CONFLICT", false]);
    expect(verdict(new ApiError(10_039, 503, "x"))).toEqual(["BUS_UNSUPPORTED", false]);
    expect(verdict(new ApiError(0, 503, "x"))).toEqual(["BUS_CONNECTION", true]);
    expect(verdict(new ApiError(19_999, 500, "x"))).toEqual(["BUS_SERVER", false]);
    for (const [code, status] of [
      [10_118, 500], // stream is offline
      [10_119, 500], // consumer is offline
      [10_158, 409], // duplicate message id is in process
    ] as const)
      expect(verdict(new ApiError(code, status, "x"))).toEqual(["BUS_CONNECTION", true]);
  });

  it("of too few servers passes by waiting only when one of them is away", () => {
    const placed = (why: string): readonly unknown[] =>
      verdict(new ApiError(10_005, 400, `no suitable peers for placement${why}`));
    expect(placed(", peer offline")).toEqual(["BUS_CONNECTION", true]);
    expect(placed("")).toEqual(["BUS_SERVER", false]);
  });

  it("of no answer is a time-out or a lost connection, unless its cause says more", () => {
    expect(verdict(new NoAnswer("x", true, { timedOut: true }))).toEqual(["BUS_TIMEOUT", true]);
    expect(verdict(new NoAnswer("x", false))).toEqual(["BUS_CONNECTION", true]);
    expect(verdict(new NoAnswer("x", true, { cause: new Named("AuthorizationError") }))).toEqual([
      "BUS_AUTHENTICATION",
      false,
    ]);
  });

  it("of our own is what we said; of anything else the server's", () => {
    expect(verdict(new DriverError("BUS_FULL", "x", { retryable: true }))).toEqual(["BUS_FULL", true]);
    for (const thrown of [undefined, null, "x", 1, {}, new Error("x"), new Named("Error", { code: "EWHATEVER" })])
      expect(verdict(thrown)).toEqual(["BUS_SERVER", false]);
    const circular = new Error("x");
    circular.cause = circular;
    expect(verdict(circular)).toEqual(["BUS_SERVER", false]);
  });
});
