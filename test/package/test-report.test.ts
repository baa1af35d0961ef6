import { describe, expect, it } from "vitest";
import { passedRows, testReport } from "../../scripts/test-report.ts";

describe("the report of the full tier", () => {
  const setting = { date: "2026-01-02", machine: "one", lanes: 2, leftOut: [] };
  const row = {
    what: "tests, seed 1",
    node: "24.0.0",
    commit: "abc",
    outcome: "3 passed, 0 failed",
    seconds: 7,
    ok: true,
  };

  it("has a row for each run, in their order, with how it ended", () => {
    const other = { ...row, what: "mutants" };
    const report = testReport(setting, [row, { ...other, ok: false }, { ...other, seconds: undefined, ok: undefined }]);
    expect(report.trim().split("\n").slice(-3)).toEqual([
      "| tests, seed 1 | 24.0.0 | abc | 3 passed, 0 failed | 7 s | passed |",
      "| mutants | 24.0.0 | abc | 3 passed, 0 failed | 7 s | **failed** |",
      "| mutants | 24.0.0 | abc | 3 passed, 0 failed |  | **not run** |",
    ]);
  });

  it("says what was left out", () => {
    expect(testReport(setting, [row])).not.toContain("left out");
    expect(testReport({ ...setting, leftOut: ["mutants"] }, [row])).toContain("- left out: mutants\n");
  });

  it("gives back the rows that passed, each with its commit", () => {
    const report = testReport(setting, [row, { ...row, what: "mutants", outcome: "a | b" }, { ...row, ok: false }]);
    expect(passedRows(report)).toMatchObject([row, { what: "mutants", commit: "abc", ok: true }]);
    expect(testReport(setting, [row])).toContain(testReport(setting, passedRows(testReport(setting, [row]))));
    const older =
      "- commit: def\n| tests, seed 1 | 24.0.0 | 3 passed, 0 failed | 7 s | passed |\n| x | 24.0.0 | | | **not run** |\n";
    expect(passedRows(older)).toEqual([{ ...row, commit: "def" }]);
  });
});
