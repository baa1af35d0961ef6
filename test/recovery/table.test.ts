import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { recoveryTopics } from "../../src/testing/outages/recovery-topics.ts";
import type { RecoverySpec } from "../../src/testing/outages/recovery-under-test.ts";
import type { Parameters } from "../../src/testing/suite.ts";

const path = new URL("../../docs/testing.md", import.meta.url);
const marks = ["<!-- recovery -->\n", "<!-- /recovery -->"] as const;

const listed = (parameters: Parameters): string =>
  Object.entries(parameters)
    .map(([name, value]) => `${value} ${name}`)
    .join(", ");

function specsOf(topic: keyof typeof recoveryTopics): readonly RecoverySpec<Parameters>[] {
  const specs: RecoverySpec<Parameters>[] = [];
  recoveryTopics[topic]?.({ test: (spec) => void specs.push(spec) });
  return specs;
}

function table(): string {
  const lines = ["| fault | short; full | needs |", "| --- | --- | --- |"];
  for (const topic of Object.keys(recoveryTopics)) {
    lines.push(`| **${topic}** | | |`);
    for (const { name, short = {}, full, needs } of specsOf(topic))
      lines.push(
        `| ${name} | ${[short, ...(full === undefined ? [] : [full])].map(listed).join("; ")} | ${needs.join(", ")} |`,
      );
  }
  return `${lines.join("\n")}\n`;
}

describe("docs/testing.md, the recovery suite", () => {
  it("lists every fault and no other, with its parameters and what it needs (OMNIBUS_UPDATE=1 writes it)", () => {
    const text = readFileSync(path, "utf8");
    const [from, to] = [text.indexOf(marks[0]) + marks[0].length, text.indexOf(marks[1])];
    const wanted = `${text.slice(0, from)}${table()}${text.slice(to)}`;
    if (process.env["OMNIBUS_UPDATE"] === "1") writeFileSync(path, wanted);
    expect(readFileSync(path, "utf8")).toBe(wanted);
  });

  it("is about tests whose names are unique", () => {
    const names = Object.keys(recoveryTopics).flatMap((topic) => specsOf(topic).map(({ name }) => name));
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });
});
