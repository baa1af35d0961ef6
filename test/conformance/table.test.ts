import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Need, Parameters, TestSpec } from "../../src/testing/suite.ts";
import { topics } from "../../src/testing/topics.ts";

const path = new URL("../../docs/testing.md", import.meta.url);
const marks = ["<!-- suite -->\n", "<!-- /suite -->"] as const;

const specs: TestSpec<Parameters>[] = [];
for (const declare of Object.values(topics)) declare({ test: (spec) => void specs.push(spec) });

interface Behaviour {
  readonly title: string;
  readonly tests: TestSpec<Parameters>[];
}

const cell = (text: string): string => text.replaceAll("|", "\\|");

/**
 * The behaviours are the page's, the tests the suite's: a test stands where the page has it, a new one beside the one before
 * it, and one that is no more is gone.
 */
function behaviours(page: string): Behaviour[] {
  const found: Behaviour[] = [];
  const places = new Map<string, Behaviour>();
  for (const line of page.split("\n")) {
    const title = /^\| \*\*\d+\. (.+?)\*\* \|/.exec(line)?.[1];
    const name = /^\| (.+?)(?<!\\) \|/.exec(line)?.[1];
    if (title !== undefined) found.push({ title, tests: [] });
    else if (name !== undefined && found.length > 0) places.set(name, found.at(-1)!);
  }
  let place = found[0]!;
  for (const spec of specs) (place = places.get(cell(spec.name)) ?? place).tests.push(spec);
  return found.filter(({ tests }) => tests.length > 0);
}

const listed = (parameters: Parameters): string =>
  Object.entries(parameters)
    .map(([name, value]) => `${value} ${name}`)
    .join(", ");

/** What all tests of a behaviour need, its counter-tests aside. */
function shared(tests: Behaviour["tests"]): readonly Need[] {
  const needs = tests.filter(({ lacks }) => lacks === undefined).map((spec) => spec.needs ?? []);
  return [...new Set(needs[0] ?? [])].filter((need) => needs.every((each) => each.includes(need)));
}

function table(page: string): string {
  const lines = ["| behaviour, and its tests | short; full | needs |", "| --- | --- | --- |"];
  for (const [index, { title, tests }] of behaviours(page).entries()) {
    lines.push(`| **${index + 1}. ${title}** | | ${shared(tests).join(", ")} |`);
    for (const { name, short = {}, full, needs = [], lacks } of tests) {
      const parameters = full === undefined ? listed(short) : `${listed(short)}; ${listed(full)}`;
      const conditions = [...(lacks === undefined ? [] : [`not ${lacks}`]), ...needs];
      lines.push(`| ${cell(name)} | ${parameters} | ${conditions.join(", ")} |`);
    }
  }
  return `${lines.join("\n")}\n`;
}

describe("docs/testing.md", () => {
  const text = readFileSync(path, "utf8");
  const [from, to] = [text.indexOf(marks[0]) + marks[0].length, text.indexOf(marks[1])];
  const page = text.slice(from, to);

  it("lists every test of the suite and no other, with its parameters and what it needs (OMNIBUS_UPDATE=1 writes it)", () => {
    const wanted = `${text.slice(0, from)}${table(page)}${text.slice(to)}`;
    if (process.env["OMNIBUS_UPDATE"] === "1") writeFileSync(path, wanted);
    expect(readFileSync(path, "utf8")).toBe(wanted);
  });

  it("groups them into about 45 behaviours, none of them large", () => {
    const sizes = behaviours(page).map(({ tests }) => tests.length);
    expect(sizes.length).toBeGreaterThanOrEqual(40);
    expect(sizes.length).toBeLessThanOrEqual(55);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(15);
  });

  it("is about tests whose names are unique", () => {
    const names = specs.map(({ name }) => name);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });
});
