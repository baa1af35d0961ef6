/** The package as users get it: packed, linted, installed by npm and pnpm in empty folders, imported, bundled. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { budgetMs, type ImportTime, importTimes } from "./import-time.ts";
import { budgetBytes, packageSize } from "./package-size.ts";
import { apiProblems } from "./public-api.ts";
import { run } from "./run.ts";
import { report } from "./source.ts";

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const allowed = [/^dist\/.+\.js$/, /^dist\/.+\.d\.ts$/, /^(package\.json|README\.md|CHANGELOG\.md|LICENSE)$/];
const expected = ["package.json", "README.md", "CHANGELOG.md", "LICENSE"];

export function contentProblems(files: readonly string[]): string[] {
  const odd = files.filter((path) => !allowed.some((each) => each.test(path)) || /\.test\.|\/test\//.test(path));
  const missing = expected.filter((path) => !files.includes(path));
  return [...odd.map((path) => `${path} must not be packed`), ...missing.map((path) => `${path} is missing`)];
}

/** Every target of the exports map and of the bins must be packed. */
export function exportProblems(manifest: Pick<Manifest, "bin" | "exports">, files: readonly string[]): string[] {
  const targets = Object.entries(manifest.exports).flatMap(([subpath, target]) =>
    (typeof target === "string" ? [target] : Object.values(target)).map(
      (path) => [`exports "${subpath}"`, path] as const,
    ),
  );
  const bins = Object.entries(manifest.bin).map(([name, path]) => [`bin "${name}"`, path] as const);
  return [...targets, ...bins]
    .filter(([, path]) => !files.includes(path.replace(/^\.\//, "")))
    .map(([what, path]) => `${what} points to ${path}, which was not built`);
}

/** Of these we use what is beneath the documented calls, and that may change in any release: the version that we test with. */
const exactPeers: readonly string[] = ["@platformatic/kafka"];
/** Of these, parts that may change with the next minor release. */
const minorPeers: readonly string[] = ["amqplib"];

const markOf = (name: string): string => (exactPeers.includes(name) ? "" : minorPeers.includes(name) ? "~" : "^");

/** A peer that is one version alone could not be installed beside the next patch of it: from the version that we test with on. */
export function peerProblems({ peerDependencies = {} }: Pick<Manifest, "peerDependencies">): string[] {
  return Object.entries(peerDependencies)
    .filter(
      ([name, range]) => !/^\d+\.\d+\.\d+$/.test(range.slice(markOf(name).length)) || !range.startsWith(markOf(name)),
    )
    .map(
      ([name, range]) => `the peer ${name} is "${range}", and must be a range with a lower bound: ${markOf(name)}1.2.3`,
    );
}

function binProblems(manifest: Manifest): string[] {
  return Object.values(manifest.bin)
    .filter((path) => existsSync(path) && !readFileSync(path, "utf8").startsWith("#!/usr/bin/env node"))
    .map((path) => `${path} must begin with #!/usr/bin/env node`);
}

/** Entry points that hold types alone. */
const typesOnly = ["./driver"];

/** Imports every subpath in a folder that has nothing else installed. */
function importProblems(manifest: Manifest, folder: string): string[] {
  const subpaths = Object.keys(manifest.exports).filter((subpath) => subpath !== "./package.json");
  const imports = subpaths.map((subpath) => {
    const found = `Object.keys(await import("${manifest.name}${subpath.slice(1)}")).length`;
    return `if ((${found} === 0) !== ${typesOnly.includes(subpath)}) throw new Error("what ${subpath} exports");`;
  });
  const json = `await import("${manifest.name}/package.json", { with: { type: "json" } });`;
  writeFileSync(join(folder, "all.mjs"), [...imports, json].join("\n"));
  const ran = run("node", ["all.mjs"], folder);
  return ran.ok ? [] : [`an entry point is empty or does not load in ${folder}:\n${ran.output}`];
}

/** Our declarations must stand on their own: no peer, no @types, every file of them checked. */
function typeProblems(manifest: Manifest, folder: string): string[] {
  const names = Object.keys(manifest.exports).filter((subpath) => subpath !== "./package.json");
  const code = names.map((subpath, at) => `export * as all${at} from "${manifest.name}${subpath.slice(1)}";`);
  writeFileSync(join(folder, "all.ts"), code.join("\n"));
  const flags = ["--noEmit", "--strict", "--skipLibCheck", "false", "--module", "nodenext", "--target", "esnext"];
  const ran = run("tsc", [...flags, "--lib", "esnext,dom", "--types", "", "all.ts"], folder);
  return ran.ok ? [] : [`the types do not stand on their own:\n${ran.output}`];
}

function sayImportTime(name: string, folder: string): void {
  const { core, empty } = importTimes(name, folder);
  const times = ({ ms, cpuMs }: ImportTime): string => `${ms.toFixed(1)} ms (${cpuMs.toFixed(1)} of CPU)`;
  console.log(
    `importing the core: ${times(core)}, an empty module ${times(empty)}; medians of fresh processes (budget ${budgetMs} ms)`,
  );
}

function install(tool: "npm" | "pnpm", tarball: string, folder: string): string[] {
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "empty", private: true, type: "module" }));
  const args =
    tool === "npm"
      ? ["install", "--prefer-offline", "--no-audit", "--no-fund", "--no-update-notifier", tarball]
      : ["add", "--prefer-offline", "--ignore-workspace", tarball];
  const ran = run(tool, args, folder);
  return ran.ok ? [] : [`${tool} can't install the package: ${ran.output}`];
}

async function sizeProblems(name: string, folder: string): Promise<string[]> {
  const kib = (bytes: number): string => `${(bytes / 1024).toFixed(1)} KiB`;
  try {
    const size = await packageSize(name, folder);
    const bundle = `${kib(size.bundleGzipBytes)} as one minified bundle`;
    console.log(
      `core: ${bundle} (budget ${kib(budgetBytes)}); its ${size.files} files, as published, ${kib(size.gzipBytes)}`,
    );
    return size.bundleGzipBytes > budgetBytes
      ? [`the core is ${kib(size.bundleGzipBytes)} gzipped, over its ${kib(budgetBytes)}`]
      : [];
  } catch (error) {
    return [`esbuild can't bundle the main entry: ${error instanceof Error ? error.message : String(error)}`];
  }
}

function tool(name: string, command: string, args: readonly string[]): string[] {
  const ran = run(command, args);
  return ran.ok ? [] : [`${name}:\n${ran.output}`];
}

async function check(): Promise<string[]> {
  const manifest = JSON.parse(readFileSync("package.json", "utf8")) as Manifest;
  if (!existsSync("dist")) return ["there is no dist: run `npm run build` first"];
  const temporary = realpathSync(mkdtempSync(join(tmpdir(), "omnibus-package-")));
  try {
    const packed = run("npm", [
      "pack",
      "--json",
      "--ignore-scripts",
      "--loglevel=error",
      "--pack-destination",
      temporary,
    ]);
    if (!packed.ok) return [`npm pack: ${packed.output}`];
    const [contents] = JSON.parse(packed.output.slice(packed.output.indexOf("["))) as [
      { filename: string; files: { path: string }[] },
    ];
    const files = contents.files.map((each) => each.path);
    const tarball = join(temporary, contents.filename);
    const agree = [
      ...contentProblems(files),
      ...exportProblems(manifest, files),
      ...binProblems(manifest),
      ...peerProblems(manifest),
    ];
    if (agree.length > 0) return agree;
    const folders = { npm: join(temporary, "npm"), pnpm: join(temporary, "pnpm") };
    const problems = [
      ...apiProblems(),
      ...tool("publint", "publint", ["run", tarball, "--strict"]),
      ...tool("attw", "attw", [tarball, "--profile", "esm-only", "--no-emoji"]),
      ...tool("knip", "knip", ["--no-progress"]),
    ];
    for (const each of ["npm", "pnpm"] as const) {
      const failed = install(each, tarball, folders[each]);
      problems.push(...failed, ...(failed.length === 0 ? importProblems(manifest, folders[each]) : []));
    }
    if (!existsSync(join(folders.npm, "node_modules", manifest.name))) return problems;
    problems.push(...typeProblems(manifest, folders.npm), ...(await sizeProblems(manifest.name, folders.npm)));
    sayImportTime(manifest.name, folders.npm);
    return problems;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) report("package", await check());
