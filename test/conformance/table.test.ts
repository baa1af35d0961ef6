import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Parameters, TestSpec } from "../../src/testing/suite.ts";
import { topics } from "../../src/testing/topics.ts";

const path = new URL("../../docs/testing.md", import.meta.url);
const marks = ["<!-- suite -->\n", "<!-- /suite -->"] as const;

function specs(): [topic: string, tests: TestSpec<Parameters>[]][] {
  return Object.entries(topics).map(([topic, declare]) => {
    const tests: TestSpec<Parameters>[] = [];
    declare({ test: (spec) => void tests.push(spec) });
    return [topic, tests];
  });
}

const listed = (parameters: Parameters): string =>
  Object.entries(parameters)
    .map(([name, value]) => `${value} ${name}`)
    .join(", ");

function table(): string {
  const lines = ["| test | short; full | needs |", "| --- | --- | --- |"];
  for (const [topic, tests] of specs()) {
    lines.push(`| **${topic}** | | |`);
    for (const { name, short = {}, full, needs = [], lacks } of tests) {
      const parameters = full === undefined ? listed(short) : `${listed(short)}; ${listed(full)}`;
      const conditions = [...(lacks === undefined ? [] : [`not ${lacks}`]), ...needs];
      lines.push(`| ${name.replaceAll("|", "\\|")} | ${parameters} | ${conditions.join(", ")} |`);
    }
  }
  return `${lines.join("\n")}\n`;
}

describe("docs/testing.md", () => {
  it("lists every test of the suite with its parameters and what it needs (OMNIBUS_UPDATE=1 writes it)", () => {
    const text = readFileSync(path, "utf8");
    const [from, to] = [text.indexOf(marks[0]) + marks[0].length, text.indexOf(marks[1])];
    const wanted = `${text.slice(0, from)}${table()}${text.slice(to)}`;
    if (process.env["OMNIBUS_UPDATE"] === "1") writeFileSync(path, wanted);
    expect(readFileSync(path, "utf8")).toBe(wanted);
  });

  it("is about tests whose names are unique", () => {
    const names = specs().flatMap(([, tests]) => tests.map(({ name }) => name));
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });
});
