import { describe, expect, it } from "vitest";
import { DriverError } from "../../internal/driver-error.ts";
import { apiIdOf, classify, NoAnswer } from "./errors.ts";

const made = (fields: object, cause?: unknown): Error => Object.assign(new Error("as told", { cause }), fields);
const protocol = (apiId: string): Error => made({ code: "PLT_KFK_PROTOCOL", apiId });
const response = (apiId: string): Error => made({ code: "PLT_KFK_RESPONSE", errors: [protocol(apiId)] });
const network = (cause?: unknown): Error => made({ code: "PLT_KFK_NETWORK", canRetry: true }, cause);

describe("classify", () => {
  it("finds what Kafka said however deep it is, in errors and in cause", () => {
    const login = made({ code: "PLT_KFK_AUTHENTICATION" }, response("SASL_AUTHENTICATION_FAILED"));
    expect(classify(network(login))).toEqual({ code: "BUS_AUTHENTICATION", retryable: false });
    expect(classify(made({ code: "PLT_KFK_MULTIPLE", errors: [network(), network(login)] }))).toEqual({
      code: "BUS_AUTHENTICATION",
      retryable: false,
    });
    expect(apiIdOf(network(login))).toBe("SASL_AUTHENTICATION_FAILED");
  });

  it("does not take the client's word that a login failed when the broker never answered one", () => {
    const notALogin = network(made({ code: "PLT_KFK_AUTHENTICATION" }, network()));
    expect(classify(notALogin)).toEqual({ code: "BUS_CONNECTION", retryable: true });
    expect(classify(notALogin.cause)).toEqual({ code: "BUS_CONNECTION", retryable: true });
  });

  it.each([
    [network(made({ code: "ECONNREFUSED" })), "BUS_CONNECTION", true],
    [network(made({ code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" })), "BUS_AUTHENTICATION", false],
    [network(made({ code: "ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE" })), "BUS_AUTHENTICATION", false],
    [made({ code: "PLT_KFK_TIMEOUT" }), "BUS_TIMEOUT", true],
    [response("MESSAGE_TOO_LARGE"), "BUS_TOO_LARGE", false],
    [response("UNKNOWN_MEMBER_ID"), "BUS_LEASE_LOST", true],
    [response("NOT_COORDINATOR"), "BUS_CONNECTION", true],
    [response("SOMETHING_NEW"), "BUS_SERVER", false],
    [response("toString"), "BUS_SERVER", false],
    [new NoAnswer("gone", true, { cause: network() }), "BUS_CONNECTION", true],
    [new NoAnswer("late", true, { timedOut: true }), "BUS_TIMEOUT", true],
    [new DriverError("BUS_FULL", "full"), "BUS_FULL", false],
    ["text", "BUS_SERVER", false],
    [undefined, "BUS_SERVER", false],
  ])("%s: %s", (error, code, retryable) => {
    expect(classify(error)).toEqual({ code, retryable });
  });

  it("comes to an end with an error that is its own cause", () => {
    const error = made({ code: "PLT_KFK_NETWORK" });
    Object.assign(error, { cause: error });
    expect(classify(error)).toEqual({ code: "BUS_CONNECTION", retryable: true });
  });
});
