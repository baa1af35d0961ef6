/**
 * The full tier: every test with its full parameters and three seeds, once on the oldest Node, the mutants; writes a report,
 * anew after each of these. `--seeds 1` and `--skip-oldest` do less, which the report then shows.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, platform, release, totalmem } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { type Ran, run } from "./run.ts";

const page = "docs/test-report.md";
const oldestNode = "22.22.0";

export interface Row {
  readonly what: string;
  readonly node: string;
  readonly outcome: string;
  readonly seconds: number;
  readonly ok: boolean;
}

export interface Setting {
  readonly date: string;
  readonly commit: string;
  readonly machine: string;
}

export function testReport(setting: Setting, rows: readonly Row[]): string {
  const line = ({ what, node, outcome, seconds, ok }: Row): string =>
    `| ${what} | ${node} | ${outcome} | ${seconds} s | ${ok ? "passed" : "**failed**"} |`;
  return [
    "# Test report",
    "",
    "Written by `npm run test:full`: all tests with their full parameters, and the mutants.",
    "",
    `- date: ${setting.date}`,
    `- commit: ${setting.commit}`,
    `- machine: ${setting.machine}`,
    "",
    "| run | Node | outcome | took | |",
    "| --- | --- | --- | --- | --- |",
    ...rows.map(line),
    "",
  ].join("\n");
}

function timed(what: string, node: string, work: () => { ran: Ran; outcome: string }): Row {
  console.log(`${what} (Node ${node}) …`);
  const from = performance.now();
  const { ran, outcome } = work();
  if (!ran.ok) console.error(ran.output);
  const row = { what, node, outcome, seconds: Math.round((performance.now() - from) / 1000), ok: ran.ok };
  console.log(`  ${outcome}, ${row.seconds} s`);
  return row;
}

/** One run of the whole suite, by the given Node. */
function suite(node: string, seed: number): { ran: Ran; outcome: string } {
  const closing = `.tmp/closing-line-full.txt`;
  writeFileSync(closing, "no tests ran\n");
  const env = { OMNIBUS_FULL: "1", OMNIBUS_SEED: String(seed), OMNIBUS_CLOSING_LINE: closing };
  const ran = run(node, ["node_modules/vitest/vitest.mjs", "run"], ".", env);
  return { ran, outcome: readFileSync(closing, "utf8").trim() };
}

/** The oldest Node that we promise to run on, put into a folder that git ignores. */
function installOldestNode(): string {
  const folder = `.tmp/node-${oldestNode}`;
  const binary = join(process.cwd(), folder, "node_modules", "node", "bin", "node");
  if (existsSync(binary)) return binary;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, allowScripts: { node: true } }));
  const installed = run("npm", ["install", "--no-audit", "--no-fund", "--no-save", `node@${oldestNode}`], folder);
  if (!installed.ok) throw new Error(`Node ${oldestNode} can't be installed: ${installed.output}`);
  return binary;
}

function setting(): Setting {
  const commit = run("git", ["rev-parse", "--short=12", "HEAD"]);
  const changed = run("git", ["status", "--porcelain", "--untracked-files=no"]);
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: `${commit.ok ? commit.output : "none yet"}${changed.output === "" ? "" : ", with changes"}`,
    machine: `${availableParallelism()} × ${cpus()[0]?.model.trim() ?? "unknown"}, ${memory}, ${platform()} ${release()}`,
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  mkdirSync(".tmp", { recursive: true });
  const { values } = parseArgs({
    options: { seeds: { type: "string", default: "1,2,3" }, "skip-oldest": { type: "boolean" } },
  });
  const current = process.versions.node;
  const at = setting();
  const rows: Row[] = [];
  const done = (row: Row): void => {
    rows.push(row);
    writeFileSync(page, testReport(at, rows));
  };
  for (const seed of values.seeds.split(",").map(Number))
    done(timed(`tests, seed ${seed}`, current, () => suite(process.execPath, seed)));
  if (values["skip-oldest"] !== true) done(timed("tests, seed 1", oldestNode, () => suite(installOldestNode(), 1)));
  done(
    timed("mutants", current, () => {
      const ran = run("npm", ["run", "--silent", "mutants"]);
      return { ran, outcome: ran.output.split("\n").at(-1) ?? "" };
    }),
  );
  console.log(`${page} written`);
  if (rows.some((row) => !row.ok)) process.exitCode = 1;
}
