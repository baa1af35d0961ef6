import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { contentProblems, exportProblems, peerProblems } from "../../scripts/check-package.ts";
import { differences } from "../../scripts/public-api.ts";

const always = ["package.json", "README.md", "CHANGELOG.md", "LICENSE"];

describe("what is packed", () => {
  it("is code, declarations and the four pages", () => {
    expect(contentProblems([...always, "dist/index.js", "dist/drivers/memory/index.d.ts"])).toEqual([]);
  });

  it.each([".env", "dist/index.js.map", "dist/bus.test.js", "src/index.ts", "dist/.npmrc"])("is never %s", (path) => {
    expect(contentProblems([...always, path])).toEqual([`${path} must not be packed`]);
  });

  it("has its licence", () => {
    expect(contentProblems(always.filter((path) => path !== "LICENSE"))).toEqual(["LICENSE is missing"]);
  });

  it("holds every target of the exports and the bins", () => {
    const manifest = { bin: { omnibus: "dist/cli/main.js" }, exports: { ".": { default: "./dist/index.js" } } };
    expect(exportProblems(manifest, ["dist/index.js", "dist/cli/main.js"])).toEqual([]);
    expect(exportProblems(manifest, ["dist/cli/main.js"])).toEqual([
      `exports "." points to ./dist/index.js, which was not built`,
    ]);
    expect(exportProblems(manifest, ["dist/index.js"])).toHaveLength(1);
  });
});

describe("peers", () => {
  it("are ranges with a lower bound, as ours are", () => {
    const { peerDependencies, devDependencies } = JSON.parse(readFileSync("package.json", "utf8")) as Readonly<
      Record<"devDependencies" | "peerDependencies", Readonly<Record<string, string>>>
    >;
    expect(peerProblems({ peerDependencies })).toEqual([]);
    const marks: Readonly<Record<string, string>> = { "@platformatic/kafka": "", amqplib: "~" };
    for (const [name, range] of Object.entries(peerDependencies))
      expect(range).toBe(`${marks[name] ?? "^"}${devDependencies[name]}`);
  });

  it("is exact where what is beneath the calls of a client is used", () => {
    expect(peerProblems({ peerDependencies: { "@platformatic/kafka": "^2.12.1" } })).toHaveLength(1);
    expect(peerProblems({ peerDependencies: { "@platformatic/kafka": "2.12.1" } })).toEqual([]);
    expect(peerProblems({ peerDependencies: { amqplib: "^2.3.1" } })).toHaveLength(1);
    expect(peerProblems({ peerDependencies: { amqplib: "~2.3.1" } })).toEqual([]);
  });

  it.each(["6.3.1", "*", "6", "<7.0.0", ""])("are never %j", (redis) => {
    expect(peerProblems({ peerDependencies: { redis } })).toHaveLength(1);
  });
});

describe("the snapshot of the public signatures", () => {
  const before = "omnibus: a, b\n\ninterface A {\n    readonly x: string;\n    readonly y: string;\n}\n";

  it("is equal to itself", () => {
    expect(differences(before, before)).toEqual([]);
  });

  it("shows the lines that changed, under the declaration's name", () => {
    const after = before.replace("readonly y: string", "readonly y: number");
    expect(differences(before, after)).toEqual([
      "interface A {\n  -     readonly y: string;\n  +     readonly y: number;",
    ]);
  });
});
