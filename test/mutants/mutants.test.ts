import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { mutantOf, verdict } from "../../scripts/mutants.ts";
import { topics } from "../../src/testing/topics.ts";

const header = "Forgets it.\n\nfile: test/a.test.ts\ntest: keeps it\n";
const patch = `${header}\n--- a/src/a.ts\n+++ b/src/a.ts\n@@ -1 +1 @@\n-keep();\n+forget();\n`;
const mutant = mutantOf("forgetful", patch);
const results = (status: string, title = "keeps it"): string =>
  JSON.stringify({ testResults: [{ assertionResults: [{ title, status }] }] });

describe("a mutant", () => {
  it("names the test that must notice it", () => {
    expect(mutant).toMatchObject({ name: "forgetful", file: "test/a.test.ts", test: "keeps it" });
  });
  it("is refused without that", () => {
    expect(() => mutantOf("nameless", patch.replace(header, ""))).toThrow('nameless: its header has no line "file: …"');
  });
  it("is caught when that test fails", () => {
    expect(verdict(mutant, results("failed"), "")).toBeUndefined();
  });
  it("survives when it passes", () => {
    expect(verdict(mutant, results("passed"), "")).toContain("survived");
  });
  it("proves nothing when another test fails, or none could run", () => {
    expect(verdict(mutant, results("failed", "drops it"), "")).toContain('there is no test "keeps it"');
    expect(verdict(mutant, results("skipped"), "")).toContain('there is no test "keeps it"');
    expect(verdict(mutant, undefined, "SyntaxError")).toContain("could not be run\nSyntaxError");
  });
});

/** Titles of `it.each` have places for their parameters. */
function hasTitle(source: string, title: string): boolean {
  return [...source.matchAll(/"((?:[^"\\\n]|\\.)*)"/g)].some(([, text = ""]) => {
    const parts = text.split(/%[a-z]/).map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    return new RegExp(`^${parts.join(".+")}$`).test(title) && (parts.length === 1 || text.length > 10);
  });
}

describe("the mutants of this project", () => {
  const folder = import.meta.dirname;
  const all = readdirSync(folder).filter((path) => path.endsWith(".patch"));
  const suite = new Set<string>();
  for (const declare of Object.values(topics)) declare({ test: ({ name }) => void suite.add(name) });

  it("apply to the code as it is", () => {
    const stale = all.filter((path) => spawnSync("git", ["apply", "--check", join(folder, path)]).status !== 0);
    expect(stale).toEqual([]);
  });

  it("are twenty or more", () => {
    expect(all.length).toBeGreaterThanOrEqual(20);
  });
  it.each(all)("%s names a test that exists", (path) => {
    const { file, test } = mutantOf(basename(path, ".patch"), readFileSync(join(folder, path), "utf8"));
    expect(existsSync(file)).toBe(true);
    const isConformance = file.startsWith("test/conformance/");
    expect(isConformance ? suite.has(test) : hasTitle(readFileSync(file, "utf8"), test)).toBe(true);
  });
});
