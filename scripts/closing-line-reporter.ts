import { writeFileSync, writeSync } from "node:fs";
import type { Reporter, TestModule } from "vitest/node";

/** A file that failed to load counts as one failed test, and so does an error that no test caught. */
export function closingLine(modules: readonly Pick<TestModule, "children" | "errors">[], unhandled: number): string {
  const states = modules.flatMap((module) => [...module.children.allTests()].map((test) => test.result().state));
  const count = (state: string): number => states.filter((each) => each === state).length;
  const failed =
    count("failed") + count("pending") + unhandled + modules.filter((each) => each.errors().length > 0).length;
  const skipped = count("skipped");
  return `${count("passed")} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/** Says at the very end, after the coverage, how many tests passed; into a file when OMNIBUS_CLOSING_LINE names one. */
export default class ClosingLineReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const line = `${closingLine(modules, unhandledErrors.length)}\n`;
    const file = process.env["OMNIBUS_CLOSING_LINE"];
    if (file) writeFileSync(file, line);
    else process.once("exit", () => writeSync(1, line));
  }
}
