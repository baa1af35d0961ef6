import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { SlowestFirst } from "./scripts/slowest-first.ts";
import { skipsOnce } from "./scripts/brokers/skip-lines.ts";

const results = process.env["OMNIBUS_RESULTS"];

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    pool: "forks",
    // much of the time of those with brokers is waiting
    maxWorkers: Math.max(availableParallelism() - 1, 3),
    sequence: { sequencer: SlowestFirst },
    testTimeout: process.env["OMNIBUS_FULL"] === "1" ? 120_000 : 20_000,
    hookTimeout: 20_000,
    onConsoleLog: skipsOnce(),
    reporters: [
      "default",
      "./scripts/closing-line-reporter.ts",
      ...(results ? [["json", { outputFile: results }] as ["json", { outputFile: string }]] : []),
    ],
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      exclude: ["src/**/*.test.ts"],
      reporter: ["text-summary", "json-summary"],
      reportsDirectory: "coverage",
      thresholds: { lines: 85 },
    },
  },
});
