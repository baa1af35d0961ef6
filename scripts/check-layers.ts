/** The direction of imports in src/, and what oxlint has no rule for. docs/design.md, Layers: internal ← core ← features. */
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { type Import, importsOf, lineOf, readSource, report, resolveImport, sourceFiles, walk } from "./source.ts";

const contract = ["src/driver.ts", "src/errors.ts"];
const core = /^src\/[^/]+\.ts$/;
const realTime = /^src\/(clock\.ts|cli\/|testing\/)/;

/** Why `from` may not import `to`, both from the repository's root; undefined when it may. */
export function refusal(from: string, to: string, kind: Import["kind"]): string | undefined {
  if (!to.startsWith("src/")) return "only what is in src/ is built";
  if (to.endsWith(".test.ts")) return "tests are imported by nobody";
  const driver = /^src\/drivers\/[^/]+\//.exec(from)?.[0];
  if (from.startsWith("src/internal/")) {
    return to.startsWith("src/internal/") ? undefined : "internal/ imports nothing outside internal/";
  }
  if (driver !== undefined) {
    if (to.startsWith(driver) || to.startsWith("src/internal/") || contract.includes(to)) return undefined;
    if (to === "src/clock.ts") return kind === "type" ? undefined : "a driver is given its clock; import its type only";
    return to.startsWith("src/drivers/")
      ? "no driver imports another"
      : "a driver imports driver.ts, errors.ts, clock.ts (types), internal/ and its own folder";
  }
  if (from.startsWith("src/cli/")) {
    const open = ["src/index.ts", "src/driver.ts", "src/wire.ts"];
    return to.startsWith("src/cli/") || open.includes(to) ? undefined : "the command line is built on the public bus";
  }
  if (to.startsWith("src/cli/")) return "nothing imports the command line";
  if (core.test(from)) {
    if (to.startsWith("src/testing/")) return "the core does not import the suite";
    if (!to.startsWith("src/drivers/")) return undefined;
    return (from === "src/load-driver.ts" && kind === "lazy") || (from === "src/options.ts" && kind === "type")
      ? undefined
      : "drivers are loaded by load-driver.ts, lazily";
  }
  return undefined;
}

function problemsOf(path: string, packages: ReadonlySet<string>): string[] {
  const file = readSource(path);
  const problems: string[] = [];
  const say = (start: number, what: string): unknown => problems.push(`${path}:${lineOf(file, start)} ${what}`);
  for (const { specifier, kind, start } of importsOf(file)) {
    if (specifier.startsWith(".")) {
      const why = refusal(path, resolveImport(path, specifier), kind);
      if (why !== undefined) say(start, `${specifier}: ${why}`);
    } else if (!specifier.startsWith("node:") && kind !== "lazy" && !packages.has(specifier)) {
      say(start, `${specifier}: no dependency; load an optional client with import()`);
    } else if (specifier === "commander" && !path.startsWith("src/cli/")) {
      say(start, "commander is the command line's alone");
    }
  }
  if (!realTime.test(path)) {
    walk(file.body, (node) => {
      const callee = node["callee"] as { readonly name?: unknown } | undefined;
      const bare =
        (node["arguments"] as readonly unknown[] | undefined)?.length === 0 || node.type === "CallExpression";
      if (callee?.name === "Date" && bare) say(node.start, "the time of day comes from Clock.now");
    });
  }
  return problems;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const manifest = JSON.parse(readFileSync("package.json", "utf8")) as { readonly dependencies: object };
  const packages = new Set(Object.keys(manifest.dependencies));
  const all = sourceFiles("src/**/*.ts");
  const lengths = all.map((path) => readSource(path).text.split("\n").length - 1).toSorted((a, b) => a - b);
  const own = all.filter((path) => !path.endsWith(".test.ts"));
  report(
    "layers",
    own.flatMap((path) => problemsOf(path, packages)),
    `${all.length} files, median ${lengths[lengths.length >> 1]} lines, longest ${lengths.at(-1)}`,
  );
}
