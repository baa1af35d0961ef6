/** The table between the marks in docs/guarantees.md, made from the drivers; `--check` only compares. */
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import type { Capabilities } from "../src/driver.ts";
import { kafka } from "../src/drivers/kafka/index.ts";
import { memory } from "../src/drivers/memory/index.ts";
import { nats } from "../src/drivers/nats/index.ts";
import { postgres } from "../src/drivers/postgres/index.ts";
import { rabbitmq } from "../src/drivers/rabbitmq/index.ts";
import { redis } from "../src/drivers/redis/index.ts";
import { sqlite } from "../src/drivers/sqlite/index.ts";
import { readSource, report, walk, nameOf } from "./source.ts";

const page = "docs/guarantees.md";
const open = "<!-- capabilities -->";
const close = "<!-- /capabilities -->";

interface Column {
  readonly name: string;
  readonly capabilities: Capabilities;
}

/** What they promise before they are connected; nothing is opened. */
const drivers: readonly Column[] = [
  memory(),
  sqlite({ path: "bus.db" }),
  postgres(),
  nats(),
  redis(),
  rabbitmq(),
  kafka(),
];

/** Each capability's doc comment, in the order of the contract. */
export function capabilityMeanings(path = "src/driver.ts"): Map<keyof Capabilities, string> {
  const file = readSource(path);
  const meanings = new Map<keyof Capabilities, string>();
  walk(file.body, (node) => {
    if (node.type !== "TSInterfaceDeclaration" || nameOf(node["id"]) !== "Capabilities") return;
    walk(node["body"], (member) => {
      if (member.type !== "TSPropertySignature") return;
      const comment = file.comments.findLast((each) => each.end <= member.start);
      const own = comment !== undefined && file.text.slice(comment.end, member.start).trim() === "";
      const meaning = own
        ? comment.value
            .replaceAll(/^\s*\*+ ?/gm, "")
            .replaceAll(/\s+/g, " ")
            .trim()
        : "";
      meanings.set(nameOf(member["key"]) as keyof Capabilities, meaning);
    });
  });
  return meanings;
}

function shown(value: Capabilities[keyof Capabilities]): string {
  if (value === true) return "yes";
  if (value === false) return "no";
  if (value === undefined) return "none";
  return typeof value === "number" ? value.toLocaleString("en-US") : value;
}

export function capabilityTable(columns: readonly Column[], meanings: ReadonlyMap<keyof Capabilities, string>): string {
  const names = columns.map((column) => column.name);
  const rows = [...meanings].map(([key, meaning]) => {
    const values = columns.map((column) => shown(column.capabilities[key]));
    return `| \`${key}\` | ${values.join(" | ")} | ${meaning.replaceAll("|", String.raw`\|`)} |`;
  });
  const head = `| capability | ${names.join(" | ")} | meaning |`;
  return [head, `| --- |${" --- |".repeat(names.length + 1)}`, ...rows].join("\n");
}

export function withTable(text: string, table: string): string {
  const from = text.indexOf(open);
  const to = text.indexOf(close);
  if (from === -1 || to < from) throw new Error(`${page} lacks ${open} and ${close}`);
  return `${text.slice(0, from + open.length)}\n${table}\n${text.slice(to)}`;
}

export function capabilityProblems(): string[] {
  const text = readFileSync(page, "utf8");
  const stale = withTable(text, capabilityTable(drivers, capabilityMeanings())) !== text;
  return stale ? [`${page}: the capability table is stale: run \`npm run options:update\``] : [];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  if (process.argv.includes("--check")) report("capabilities", capabilityProblems());
  else {
    const text = readFileSync(page, "utf8");
    writeFileSync(page, withTable(text, capabilityTable(drivers, capabilityMeanings())));
    console.log(`${page} written`);
  }
}
