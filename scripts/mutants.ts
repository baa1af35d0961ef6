/**
 * Breaks the core and the drivers on purpose, one patch of test/mutants at a time in a copy of the tree, and runs the one
 * test that must notice. Fails when that test passes, can't be run, or the patch no longer applies.
 *
 * npm run mutants [-- name …]
 */
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { run } from "./run.ts";
import { report } from "./source.ts";

const folder = "test/mutants";
const atOnce = 2;
const copied = ["src", "test", "scripts", "compose.yaml", "package.json", "tsconfig.json", "vitest.config.ts"];
const timeoutMs = 300_000;

export interface Mutant {
  readonly name: string;
  readonly patch: string;
  /** The test file that must notice, and the end of its test's title. */
  readonly file: string;
  readonly test: string;
}

/** A patch begins with what it breaks, then the lines `file:` and `test:`. */
export function mutantOf(name: string, patch: string): Mutant {
  const field = (label: string): string => {
    const value = new RegExp(`^${label}: (.+)$`, "m").exec(patch.slice(0, patch.indexOf("\n--- ")))?.[1];
    if (value === undefined) throw new Error(`${name}: its header has no line "${label}: …"`);
    return value.trim();
  };
  return { name, patch, file: field("file"), test: field("test") };
}

interface Result {
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly title: string; readonly status: string }[];
  }[];
}

/** What is wrong with how the mutant was met; undefined when its test noticed. */
export function verdict({ name, test }: Mutant, json: string | undefined, output: string): string | undefined {
  if (json === undefined) return `${name}: its test could not be run\n${output.slice(-2_000)}`;
  const results = (JSON.parse(json) as Result).testResults.flatMap((file) => file.assertionResults);
  const own = results.filter(
    (result) => result.title === test && result.status !== "skipped" && result.status !== "pending",
  );
  if (own.length === 0) return `${name}: there is no test "${test}", or it does not load\n${output.slice(-2_000)}`;
  return own.every((result) => result.status === "passed") ? `${name} survived: "${test}" passes` : undefined;
}

async function tried(mutant: Mutant): Promise<string | undefined> {
  const tree = mkdtempSync(join(tmpdir(), "omnibus-mutant-"));
  try {
    for (const path of copied) if (existsSync(path)) cpSync(path, join(tree, path), { recursive: true });
    symlinkSync(resolve("node_modules"), join(tree, "node_modules"));
    const applied = run("git", ["apply", "--whitespace=nowarn", resolve(folder, `${mutant.name}.patch`)], tree);
    if (!applied.ok) return `${mutant.name}: the patch no longer applies\n${applied.output}`;
    const output = await vitest(tree, mutant);
    const json = join(tree, "results.json");
    return verdict(mutant, existsSync(json) ? readFileSync(json, "utf8") : undefined, output);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

/** Runs in a process of its own, so that two can run at once; what it says is for people. */
async function vitest(tree: string, { file, test }: Mutant): Promise<string> {
  const exact = `${test.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`;
  const args = ["run", file, "-t", exact, "--reporter=json", "--outputFile=results.json", "--reporter=default"];
  const child = spawn(process.execPath, ["node_modules/vitest/vitest.mjs", ...args], {
    cwd: tree,
    env: { ...process.env, OMNIBUS_FULL: "" }, // the short parameters are enough to notice
    stdio: ["ignore", "pipe", "pipe"],
    timeout: timeoutMs,
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  await new Promise((done) => child.once("close", done));
  return output;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const wanted = process.argv.slice(2);
  const all = readdirSync(folder)
    .filter((path) => path.endsWith(".patch"))
    .toSorted()
    .map((path) => mutantOf(basename(path, ".patch"), readFileSync(join(folder, path), "utf8")));
  const chosen = all.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
  const problems = wanted
    .filter((part) => !all.some(({ name }) => name.includes(part)))
    .map((part) => `no mutant ${part}`);
  if (all.length === 0) problems.push(`no mutants in ${folder}`);
  const queue = [...chosen];
  const worker = async (): Promise<void> => {
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      const from = performance.now();
      const problem = await tried(mutant);
      console.log(
        `${problem === undefined ? "caught  " : "MISSED  "} ${mutant.name} (${Math.round((performance.now() - from) / 100) / 10} s)`,
      );
      if (problem !== undefined) problems.push(problem);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  report("mutants", problems, `${chosen.length} of ${chosen.length} caught`);
}
