import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

export const budgetBytes = 40 * 1024;

export interface Size {
  readonly files: number;
  /** Each file by itself, as published. */
  readonly gzipBytes: number;
  /** Minified, the chunks that load with the entry together. */
  readonly bundleGzipBytes: number;
}

/** All files that importing the package's main entry loads: static imports, so no driver. Throws what esbuild says. */
export async function packageSize(name: string, folder: string): Promise<Size> {
  const result = await build({
    stdin: { contents: `export * from ${JSON.stringify(name)};`, resolveDir: folder },
    absWorkingDir: folder,
    bundle: true,
    format: "esm",
    logLevel: "silent",
    metafile: true,
    minify: true,
    outdir: "bundle",
    platform: "node",
    splitting: true,
    target: "node22.22",
    write: false,
  });
  const reached = new Set<string>();
  const queue = ["<stdin>"];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    for (const each of result.metafile.inputs[path]?.imports ?? []) {
      if (each.external || each.kind !== "import-statement" || reached.has(each.path)) continue;
      reached.add(each.path);
      queue.push(each.path);
    }
  }
  const outputs = new Map(result.outputFiles.map((each) => [relative(folder, each.path), each.contents]));
  const entry =
    Object.entries(result.metafile.outputs).find(([, output]) => output.entryPoint === "<stdin>")?.[0] ?? "";
  const loaded = new Set([entry]);
  for (const path of loaded) {
    for (const each of result.metafile.outputs[path]?.imports ?? []) {
      if (each.kind === "import-statement" && !each.external) loaded.add(each.path);
    }
  }
  const gzipped = (content: Uint8Array): number => gzipSync(content).byteLength;
  const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0);
  return {
    files: reached.size,
    gzipBytes: sum([...reached].map((path) => gzipped(readFileSync(`${folder}/${path}`)))),
    bundleGzipBytes: gzipped(Buffer.concat([...loaded].map((path) => outputs.get(path) ?? new Uint8Array()))),
  };
}
