import { expect, it } from "vitest";
import { DriverError } from "../../internal/driver-error.ts";
import { classify, outcomeOf } from "./classify.ts";
import { NotSent } from "./link.ts";

const error = (code: string | undefined, severity?: string): Error =>
  Object.assign(new Error("text"), { code, severity });

it.each([
  ["28P01", "BUS_AUTHENTICATION", false],
  ["28000", "BUS_AUTHENTICATION", false],
  ["42501", "BUS_AUTHENTICATION", false],
  ["3D000", "BUS_NOT_FOUND", false],
  ["42883", "BUS_NOT_FOUND", false],
  ["57P01", "BUS_CONNECTION", true],
  ["57P03", "BUS_CONNECTION", true],
  ["25006", "BUS_CONNECTION", true],
  ["53300", "BUS_CONNECTION", true],
  ["08006", "BUS_CONNECTION", true],
  ["ECONNREFUSED", "BUS_CONNECTION", true],
  ["ECONNRESET", "BUS_CONNECTION", true],
  ["53100", "BUS_FULL", true],
  ["OM001", "BUS_FULL", true],
  ["OM002", "BUS_NOT_FOUND", false],
  ["54000", "BUS_TOO_LARGE", false],
  ["40P01", "BUS_TIMEOUT", true],
  ["XX001", "BUS_CORRUPT", false],
  ["22021", "BUS_SERVER", false],
  ["toString", "BUS_SERVER", false],
] as const)("%s is %s, retryable: %s", (code, is, retryable) => {
  expect(classify(error(code))).toEqual({ code: is, retryable });
});

it("takes its own at their word, and knows nothing of others", () => {
  expect(classify(new DriverError("BUS_FULL", "", { retryable: true }))).toEqual({ code: "BUS_FULL", retryable: true });
  for (const each of [undefined, "text", error(undefined), error("__proto__")])
    expect(classify(each)).toEqual({ code: "BUS_SERVER", retryable: false });
});

it("knows for certain that nothing was stored only of an error of the statement, or of what was not sent", () => {
  expect([error("23505", "ERROR"), error("53100", "ERROR"), new NotSent()].map(outcomeOf)).toEqual(["no", "no", "no"]);
  const doubtful = [error("57P01", "FATAL"), error("40003", "ERROR"), error("08007", "ERROR"), error("ECONNRESET")];
  expect([...doubtful, error(undefined), undefined].map(outcomeOf)).toEqual(Array(6).fill("unknown"));
});
