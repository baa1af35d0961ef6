/**
 * The full tier: every test with its full parameters and three seeds, once on the oldest Node, the soak, the mutants. It works in clones
 * of the last commit, two side by side, the mutants alone; writes a report, anew after each of these.
 *
 * npm run test:full -- [--lanes 2] [--seeds 1,2,3] [--skip-oldest] [--skip-soak] [--soak-minutes 10] [--skip-mutants]
 *   [--only test/package] [--report docs/test-report.md] [--again]
 *
 * What is left out stands in the report. `--again` keeps the rows that passed, of whatever commit, and runs the others. `--only` is for trying: the test files whose path has it.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, platform, release, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { inLanes, type Job, started } from "./lanes.ts";
import { type Ran, run } from "./run.ts";
import { passedRows, type Row, testReport } from "./test-report.ts";

const oldestNode = "22.22.0";
const allSeeds = "1,2,3";
const soakMinutes = "10";

interface Result {
  readonly ran: Ran;
  readonly outcome: string;
}

const { values } = parseArgs({
  options: {
    lanes: { type: "string", default: String(Math.min(2, availableParallelism())) },
    seeds: { type: "string", default: allSeeds },
    "skip-oldest": { type: "boolean", default: false },
    "skip-soak": { type: "boolean", default: false },
    "soak-minutes": { type: "string", default: soakMinutes },
    "skip-mutants": { type: "boolean", default: false },
    only: { type: "string" },
    report: { type: "string", default: "docs/test-report.md" },
    again: { type: "boolean", default: false },
  },
});

/** A number that an option gives. */
function positive(name: string, text: string): number {
  if (!(Number(text) > 0)) throw new Error(`--${name} is a number above 0, and not ${text}`);
  return Number(text);
}

/** One run of the whole suite, by the given Node. */
async function suite(folder: string, node: string, seed: number): Promise<Result> {
  const closing = join(folder, ".tmp", "closing-line-full.txt");
  writeFileSync(closing, "no tests ran\n");
  const env = { OMNIBUS_FULL: "1", OMNIBUS_SEED: String(seed), OMNIBUS_CLOSING_LINE: closing };
  const filter = values.only === undefined ? [] : [values.only];
  const ran = await started(node, ["node_modules/vitest/vitest.mjs", "run", ...filter], folder, env);
  return { ran, outcome: readFileSync(closing, "utf8").trim() };
}

/** What a command says at its end. */
async function told(command: string, args: readonly string[], folder: string): Promise<Result> {
  const ran = await started(command, args, folder);
  const lines = ran.output.split("\n");
  return { ran, outcome: lines.findLast((line) => /^(?:soak|mutants): /.test(line)) ?? lines.at(-1) ?? "" };
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

const head = run("git", ["rev-parse", "HEAD"]);
if (!head.ok) throw new Error(`git knows no commit to test: ${head.output}`);
const differing = run("git", ["status", "--porcelain"]).output.split("\n");
const changed = differing.some((line) => line !== "" && !line.endsWith(values.report));
if (changed) console.error("the tree has changes: the last commit is tested, without them");
const lanes = positive("lanes", values.lanes);
const minutes = positive("soak-minutes", values["soak-minutes"]);
const leftOut = [
  ...(values.only === undefined ? [] : [`all test files but ${values.only}`]),
  ...(values.seeds === allSeeds ? [] : [`seeds other than ${values.seeds}`]),
  ...(values["skip-oldest"] ? [`Node ${oldestNode}`] : []),
  ...(values["skip-soak"] ? ["the soak"] : minutes < Number(soakMinutes) ? [`a soak longer than ${minutes} min`] : []),
  ...(values["skip-mutants"] ? ["mutants"] : []),
];
const setting = {
  date: new Date().toISOString().slice(0, 10),
  machine: `${availableParallelism()} × ${cpus()[0]?.model.trim() ?? "unknown"}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${platform()} ${release()}`,
  lanes,
  leftOut,
};

const commit = `${head.output.slice(0, 12)}${changed ? ", without the changes in the tree" : ""}`;
const passed = values.again && existsSync(values.report) ? passedRows(readFileSync(values.report, "utf8")) : [];

const rows: Row[] = [];
const written = (): void => writeFileSync(values.report, testReport(setting, rows));

/** A row of the report, in the order of these calls, and what fills it: nothing where it stands already. */
function planned(what: string, node: string, weight: number, work: (folder: string) => Promise<Result>): Job[] {
  const known = passed.find((row) => row.what === what && row.node === node);
  const at = rows.push(known ?? { what, node, commit, outcome: "", seconds: undefined, ok: undefined }) - 1;
  if (known !== undefined) return [];
  const job: Job = {
    weight,
    work: async (folder) => {
      console.log(`${what} (Node ${node}) …`);
      const from = performance.now();
      const failed = (error: unknown): Result => ({
        ran: { ok: false, output: String(error) },
        outcome: String(error),
      });
      const { ran, outcome } = await work(folder).catch(failed);
      const seconds = Math.round((performance.now() - from) / 1_000);
      if (!ran.ok) console.error(ran.output);
      rows[at] = { what, node, commit, outcome: outcome.split("\n")[0] ?? "", seconds, ok: ran.ok };
      console.log(`  ${what} (Node ${node}): ${outcome}, ${seconds} s`);
      written();
    },
  };
  return [job];
}

mkdirSync(".tmp", { recursive: true });
const current = process.versions.node;
const side: Job[] = values.seeds
  .split(",")
  .map((seed) => positive("seeds", seed))
  .flatMap((seed) => planned(`tests, seed ${seed}`, current, 2, (folder) => suite(folder, process.execPath, seed)));
if (!values["skip-oldest"])
  side.push(...planned("tests, seed 1", oldestNode, 3, (folder) => suite(folder, installOldestNode(), 1)));
if (!values["skip-soak"]) {
  const args = ["test/soak/soak.ts", "--minutes", String(minutes)];
  side.push(...planned(`soak, ${minutes} min`, current, 1, (folder) => told(process.execPath, args, folder)));
}
const alone: Job[] = values["skip-mutants"]
  ? []
  : planned("mutants", current, 1, (folder) => told("npm", ["run", "--silent", "mutants"], folder));
written();
await inLanes(lanes, head.output, side);
await inLanes(1, head.output, alone);
console.log(`${resolve(values.report)} written`);
if (rows.some((row) => row.ok !== true)) process.exitCode = 1;
