/** The graph of built declaration files: which names an entry point exports, and everything that those mention. */
import { readFileSync } from "node:fs";
import { isNode, nameOf, type Node, readSource, resolveImport, type SourceFile, walk } from "./source.ts";

interface Module {
  readonly file: SourceFile;
  readonly declared: Map<string, Node[]>;
  /** Local name → where it comes from. */
  readonly imported: Map<string, { readonly path: string; readonly name: string }>;
  /** Exported name → local name, or the other module's. */
  readonly exported: Map<string, { readonly path: string; readonly name: string }>;
  readonly stars: string[];
}

const modules = new Map<string, Module>();

function declarationPath(from: string, specifier: string): string {
  return resolveImport(from, specifier).replace(/\.[jt]s$/, ".d.ts");
}

function declaredNames(node: Node): string[] {
  const declarators = node["declarations"] as readonly Node[] | undefined;
  return (declarators?.map((each) => nameOf(each["id"])) ?? [nameOf(node["id"])]).filter((name) => name !== undefined);
}

function readModule(path: string): Module {
  const known = modules.get(path);
  if (known !== undefined) return known;
  const file = readSource(path);
  const module: Module = { file, declared: new Map(), imported: new Map(), exported: new Map(), stars: [] };
  modules.set(path, module);
  const declare = (node: Node, exported: boolean): void => {
    for (const name of declaredNames(node)) {
      module.declared.set(name, [...(module.declared.get(name) ?? []), node]);
      if (exported) module.exported.set(name, { path, name });
    }
  };
  for (const node of file.body) {
    const specifier = nameOf(node["source"]);
    const other = specifier?.startsWith(".") ? declarationPath(path, specifier) : undefined;
    const named = (node["specifiers"] ?? []) as readonly Node[];
    if (node.type === "ImportDeclaration") {
      if (other === undefined) continue;
      for (const each of named) {
        const local = nameOf(each["local"]) ?? "";
        module.imported.set(local, { path: other, name: nameOf(each["imported"]) ?? "*" });
      }
    } else if (node.type === "ExportAllDeclaration") {
      if (other !== undefined) module.stars.push(other);
    } else if (node.type === "ExportNamedDeclaration" && isNode(node["declaration"])) {
      declare(node["declaration"], true);
    } else if (node.type === "ExportNamedDeclaration") {
      for (const each of named) {
        const target = { path: other ?? path, name: nameOf(each["local"]) ?? "" };
        if (specifier === undefined || other !== undefined) module.exported.set(nameOf(each["exported"]) ?? "", target);
      }
    } else declare(node, false);
  }
  return module;
}

/** Exported name → the module that declares it, and its name there. */
export function exportsOf(path: string): Map<string, { path: string; name: string }> {
  const module = readModule(path);
  const found = new Map<string, { path: string; name: string }>();
  for (const star of module.stars) for (const [name, target] of exportsOf(star)) found.set(name, target);
  for (const [name, target] of module.exported) found.set(name, target);
  return found;
}

/** Follows exports and imports to the module that declares a name. */
function origin(path: string, name: string): { path: string; name: string } | undefined {
  const module = readModule(path);
  if (module.declared.has(name)) return { path, name };
  const imported = module.imported.get(name);
  if (imported !== undefined) {
    const target = exportsOf(imported.path).get(imported.name);
    return target && origin(target.path, target.name);
  }
  const target = exportsOf(path).get(name);
  return target === undefined || (target.path === path && target.name === name)
    ? undefined
    : origin(target.path, target.name);
}

export interface Declaration {
  readonly name: string;
  readonly file: SourceFile;
  /** Several for overloads and merged interfaces. */
  readonly nodes: readonly Node[];
}

/** What the entry points export, and what that mentions, each once. */
export function reachable(entries: readonly string[]): Declaration[] {
  const found = new Map<string, Declaration>();
  const queue = entries.flatMap((path) => [...exportsOf(path).values()]);
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const target = origin(next.path, next.name);
    if (target === undefined || found.has(`${target.path} ${target.name}`)) continue;
    const module = readModule(target.path);
    const nodes = module.declared.get(target.name) ?? [];
    found.set(`${target.path} ${target.name}`, { name: target.name, file: module.file, nodes });
    walk(nodes, (inner) => {
      const name = nameOf(inner);
      if (name !== undefined && (module.declared.has(name) || module.imported.has(name))) {
        queue.push({ path: target.path, name });
      }
    });
  }
  return [...found.values()];
}

/** Subpath → declaration file, from the manifest's exports; `folder` stands for dist. */
export function entryPoints(folder = "dist"): Record<string, string> {
  const manifest = JSON.parse(readFileSync("package.json", "utf8")) as {
    readonly name: string;
    readonly exports: Readonly<Record<string, string | { readonly types: string }>>;
  };
  const entries: Record<string, string> = {};
  for (const [subpath, target] of Object.entries(manifest.exports)) {
    if (typeof target !== "string")
      entries[`${manifest.name}${subpath.slice(1)}`] = target.types.replace(/^\.\/dist/, folder);
  }
  return entries;
}
