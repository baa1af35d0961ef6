import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseSync } from "oxc-parser";

/** An ESTree node, read loosely: the scripts look at a few fields of a few kinds. */
export interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

export interface SourceFile {
  readonly path: string;
  readonly text: string;
  readonly body: readonly Node[];
  readonly comments: readonly { readonly value: string; readonly start: number; readonly end: number }[];
}

const parsed = new Map<string, SourceFile>();

export function readSource(path: string): SourceFile {
  let file = parsed.get(path);
  if (file === undefined) {
    const text = readFileSync(path, "utf8");
    const result = parseSync(path, text);
    const broken = result.errors[0];
    if (broken !== undefined) throw new Error(`${path}: ${broken.message}`);
    file = { path, text, body: result.program.body as unknown as readonly Node[], comments: result.comments };
    parsed.set(path, file);
  }
  return file;
}

export function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string";
}

/** Depth first; returning false from `visit` leaves out what is inside. */
export function walk(value: unknown, visit: (node: Node) => boolean | void): void {
  if (Array.isArray(value)) for (const each of value) walk(each, visit);
  else if (isNode(value) && visit(value) !== false) for (const field of Object.values(value)) walk(field, visit);
}

export function nameOf(node: unknown): string | undefined {
  if (!isNode(node)) return undefined;
  if (node.type === "Identifier") return node["name"] as string;
  return node.type === "Literal" && typeof node["value"] === "string" ? node["value"] : undefined;
}

export function lineOf(file: SourceFile, offset: number): number {
  return file.text.slice(0, offset).split("\n").length;
}

export interface Import {
  readonly specifier: string;
  readonly kind: "value" | "type" | "lazy";
  readonly start: number;
}

export function importsOf(file: SourceFile): readonly Import[] {
  const found: Import[] = [];
  walk(file.body, (node) => {
    const specifier = nameOf(node["source"]);
    if (specifier === undefined) return;
    const named = (node["specifiers"] ?? []) as readonly Node[];
    const typeOnly =
      node.type === "TSImportType" ||
      (node["importKind"] ?? node["exportKind"]) === "type" ||
      (named.length > 0 && named.every((each) => (each["importKind"] ?? each["exportKind"]) === "type"));
    const kind = node.type === "ImportExpression" ? "lazy" : typeOnly ? "type" : "value";
    found.push({ specifier, kind, start: node.start });
  });
  return found;
}

/** The file that a relative specifier means, as a path from the repository's root. */
export function resolveImport(from: string, specifier: string): string {
  return join(dirname(from), specifier);
}

export function sourceFiles(...patterns: string[]): string[] {
  return globSync(patterns).toSorted();
}

/** Prints what is wrong and sets the exit code, or says that all is well. */
export function report(what: string, problems: readonly string[], well = ""): void {
  for (const problem of problems) console.error(problem);
  if (problems.length === 0) console.log(`${what}: ok${well && ` (${well})`}`);
  else {
    console.error(`${what}: ${problems.length} ${problems.length === 1 ? "problem" : "problems"}`);
    process.exitCode = 1;
  }
}
