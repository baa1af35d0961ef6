import { describe, expect, it } from "vitest";
import { testReport } from "../../scripts/test-report.ts";

describe("the report of the full tier", () => {
  const setting = { date: "2026-01-02", commit: "abc", machine: "one", lanes: 2, leftOut: [] };
  const row = { what: "tests, seed 1", node: "24.0.0", outcome: "3 passed, 0 failed", seconds: 7, ok: true };

  it("has a row for each run, in their order, with how it ended", () => {
    const other = { ...row, what: "mutants" };
    const report = testReport(setting, [row, { ...other, ok: false }, { ...other, seconds: undefined, ok: undefined }]);
    expect(report.trim().split("\n").slice(-3)).toEqual([
      "| tests, seed 1 | 24.0.0 | 3 passed, 0 failed | 7 s | passed |",
      "| mutants | 24.0.0 | 3 passed, 0 failed | 7 s | **failed** |",
      "| mutants | 24.0.0 | 3 passed, 0 failed |  | **not run** |",
    ]);
  });

  it("says what was left out", () => {
    expect(testReport(setting, [row])).not.toContain("left out");
    expect(testReport({ ...setting, leftOut: ["mutants"] }, [row])).toContain("- left out: mutants\n");
  });
});
