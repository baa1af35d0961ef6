/** The public signatures, read from the built declarations: what the entry points export and all that it mentions. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";
import { entryPoints, exportsOf, reachable } from "./declarations.ts";
import type { Node, SourceFile } from "./source.ts";

export const snapshotPath = "api/public-api.d.txt";

/** The code without comments, private members, `declare` and blank lines. */
function normalised(file: SourceFile, node: Node): string {
  let text = "";
  let at = node.start;
  for (const comment of file.comments.filter((each) => each.start >= node.start && each.end <= node.end)) {
    text += file.text.slice(at, comment.start);
    at = comment.end;
  }
  return `${text}${file.text.slice(at, node.end)}`
    .replace(/^declare /, "")
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line !== "" && !/^ +(#private|private )/.test(line))
    .join("\n");
}

/** `entries`: subpath → its declaration file. */
export function publicApi(entries: Readonly<Record<string, string>>): string {
  const exported = Object.entries(entries).map(
    ([subpath, path]) => `${subpath}: ${[...exportsOf(path).keys()].toSorted().join(", ")}`,
  );
  const declared = reachable(Object.values(entries)).flatMap(({ file, nodes }) =>
    nodes.map((node) => normalised(file, node)),
  );
  return `${[exported.join("\n"), ...[...new Set(declared)].toSorted()].join("\n\n")}\n`;
}

/** What differs from the committed snapshot: the declarations, with the lines that went and came. */
export function differences(committed: string, now: string): string[] {
  const blocks = (text: string): string[] => text.trim().split("\n\n");
  const head = (block: string): string => block.split("\n")[0] ?? "";
  const before = blocks(committed);
  const after = blocks(now);
  const sign = (mark: string, block = "", other = ""): string[] => {
    const others = other.split("\n");
    const own = block === "" ? [] : block.split("\n");
    return own.filter((line) => !others.includes(line)).map((line) => `${mark} ${line}`);
  };
  const gone = before.filter((block) => !after.includes(block));
  const come = after.filter((block) => !before.includes(block));
  return [...new Set([...gone, ...come].map(head))].map((name) => {
    const old = gone.find((block) => head(block) === name);
    const fresh = come.find((block) => head(block) === name);
    return [name, ...sign("  -", old, fresh), ...sign("  +", fresh, old)].join("\n");
  });
}

export function apiProblems(): string[] {
  if (!existsSync(snapshotPath)) return [`there is no ${snapshotPath}: run \`npm run api:update\``];
  const found = differences(readFileSync(snapshotPath, "utf8"), publicApi(entryPoints()));
  if (found.length === 0) return [];
  const advice = `run \`npm run api:update\` and add a line to CHANGELOG.md`;
  return [`${found.join("\n")}\nthe public signatures differ from ${snapshotPath}: ${advice}`];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href && process.argv.includes("--update")) {
  mkdirSync(dirname(snapshotPath), { recursive: true });
  writeFileSync(snapshotPath, publicApi(entryPoints()));
  console.log(`${snapshotPath} written`);
}
