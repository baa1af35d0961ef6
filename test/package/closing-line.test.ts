import { describe, expect, it } from "vitest";
import { closingLine } from "../../scripts/closing-line-reporter.ts";

type Modules = Parameters<typeof closingLine>[0];

function modules(...files: readonly { readonly states: readonly string[]; readonly errors?: number }[]): Modules {
  return files.map(({ states, errors = 0 }) => ({
    children: { allTests: () => states.map((state) => ({ result: () => ({ state }) })) },
    errors: () => Array.from({ length: errors }),
  })) as unknown as Modules;
}

describe("the closing line", () => {
  it("counts the tests of all files", () => {
    const two = modules({ states: ["passed", "failed"] }, { states: ["passed"] });
    expect(closingLine(two, 0)).toBe("2 passed, 1 failed");
  });

  it("names the skipped ones when there are any", () => {
    expect(closingLine(modules({ states: ["passed", "skipped", "skipped"] }), 0)).toBe("1 passed, 0 failed, 2 skipped");
  });

  it("counts a file that did not load, an uncaught error and a test that never ended as failed", () => {
    expect(closingLine(modules({ states: [], errors: 1 }, { states: ["passed", "pending"] }), 2)).toBe(
      "1 passed, 4 failed",
    );
  });
});
