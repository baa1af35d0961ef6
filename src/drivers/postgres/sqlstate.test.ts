import { expect, it } from "vitest";
import { outcomeOf } from "./classify.ts";
import { ofStatement } from "./sqlstate.ts";

const failure = (code: string, severity: string): Error => Object.assign(new Error("x"), { code, severity });

it("knows an error of a statement, in whatever language the server tells it", () => {
  for (const severity of ["ERROR", "FEHLER", "ERREUR"])
    for (const code of ["23505", "40P01", "55P03", "22021", "OM001", "57014"]) {
      expect(ofStatement(failure(code, severity)), `${severity} ${code}`).toBe(true);
      expect(outcomeOf(failure(code, severity))).toBe("no");
    }
});

it("takes the end of a session for nothing else", () => {
  for (const [code, severity] of [
    ["57P01", "FATAL"],
    ["57P01", "FATALE"],
    ["08006", "ERREUR"],
    ["53300", "SCHWERWIEGEND"],
    ["XX000", "FEHLER"],
    ["23505", "FATAL"],
    ["23505", "PANIC"],
  ] as const) {
    expect(ofStatement(failure(code, severity)), `${severity} ${code}`).toBe(false);
    expect(outcomeOf(failure(code, severity))).toBe("unknown");
  }
  for (const error of [undefined, new Error("x"), failure("ECONNRESET", ""), failure("EPIPE", "")])
    expect([ofStatement(error), outcomeOf(error)]).toEqual([false, "unknown"]);
});

it("is in doubt where the server is, though the statement failed", () => {
  expect(outcomeOf(failure("40003", "ERROR"))).toBe("unknown");
});
