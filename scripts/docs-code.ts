/** The code in the docs: every `ts` block is compiled; one that begins with `// runs`, maybe in the comment above it, is run, against the built package. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { CodeBlock } from "./markdown.ts";
import { run } from "./run.ts";

const folder = ".tmp/docs-code";

function source({ before, code }: CodeBlock): string {
  return `${before === "" ? "" : `${before}\n`}${code}`;
}

function fileName(block: CodeBlock): string {
  return `${block.page.replaceAll(/[^\w]+/g, "-")}-${block.line}.ts`;
}

/** Files of the reader's own that the blocks import, as `./mine.ts`: what they export is any. */
function readersFiles(blocks: readonly CodeBlock[]): Map<string, Set<string>> {
  const files = new Map<string, Set<string>>();
  for (const { code } of blocks)
    for (const [, names = "", file = ""] of code.matchAll(/^import \{([^}]*)\} from "\.\/([\w-]+\.ts)";/gm)) {
      const known = files.get(file) ?? new Set();
      for (const name of names.split(",")) known.add(name.trim());
      files.set(file, known);
    }
  return files;
}

/** Where in the page the line of a compiler's message stands. */
export function inPage(message: string, blocks: readonly CodeBlock[]): string {
  return message.replaceAll(/^\S*?([\w-]+\.ts)[(:](\d+)(?:,\d+\))?/gm, (all, file: string, line: string) => {
    const block = blocks.find((each) => fileName(each) === file);
    if (block === undefined) return all;
    return `${block.page}:${block.codeLine + Number(line) - (block.before === "" ? 0 : block.before.split("\n").length)}`;
  });
}

export function codeProblems(all: readonly CodeBlock[], examples: readonly string[]): string[] {
  const blocks = all.filter((block) => /^(ts|typescript)\b/.test(block.info) && !block.info.includes("no-check"));
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const block of blocks) writeFileSync(join(folder, fileName(block)), source(block));
  for (const [file, names] of readersFiles(blocks))
    writeFileSync(join(folder, file), [...names].map((name) => `export declare const ${name}: any;\n`).join(""));
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ extends: "../../tsconfig.json", include: ["./*.ts"] }));
  const compiled = blocks.length === 0 ? { ok: true, output: "" } : run("tsc", ["-p", folder, "--pretty", "false"]);
  if (!compiled.ok) return [inPage(compiled.output, blocks)];
  if (!existsSync("dist/index.js")) return ["there is no dist to run the docs' code with: `npm run build` first"];
  const runnable = blocks.filter((block) => source(block).startsWith("// runs"));
  return [
    ...runnable.flatMap((block) => runProblems(join(folder, fileName(block)), `${block.page}:${block.line}`)),
    ...examples.flatMap((path) => runProblems(path, path)),
  ];
}

/** In an empty folder, so that a file it makes stays nowhere. */
function runProblems(path: string, what: string): string[] {
  const empty = mkdtempSync(join(tmpdir(), "omnibus-docs-"));
  try {
    const ran = run("node", [resolve(path)], empty, {}, 60_000);
    return ran.ok ? [] : [`${what} fails when it is run:\n${ran.output}`];
  } finally {
    rmSync(empty, { recursive: true, force: true });
  }
}
