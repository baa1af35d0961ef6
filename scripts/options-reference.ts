/** docs/options.md below its mark, made from the types: `npm run options:update`. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { tableRows } from "./markdown.ts";
import { type PublicOption, publicOptions } from "./public-options.ts";

const page = "docs/options.md";
const mark = "<!-- made from the types by `npm run options:update`; write above this line -->";

function cell(text: string): string {
  return text.replaceAll("|", String.raw`\|`);
}

export function optionTables(options: readonly PublicOption[]): string {
  const owners = [...new Set(options.map((option) => option.owner))];
  return owners
    .map((owner) => {
      const rows = options
        .filter((option) => option.owner === owner)
        .map(({ name, type, required, byDefault, meaning }) => {
          const fallback = required ? "required" : byDefault;
          return `| \`${name}\` | \`${cell(type)}\` | ${cell(fallback)} | ${cell(meaning)} |`;
        });
      return [
        `## ${owner}`,
        "",
        "| option | type | default | meaning |",
        "| --- | --- | --- | --- |",
        ...rows,
        "",
      ].join("\n");
    })
    .join("\n");
}

/** `## Owner` and the first cell of each row under it, as `Owner.name`. */
export function documentedOptions(text: string): string[] {
  return text.split(/^## /m).flatMap((section, at) => {
    const owner = (section.split("\n")[0] ?? "").replaceAll("`", "").trim();
    const rows = at === 0 ? [] : tableRows(section);
    return rows
      .map((cells) => (cells[0] ?? "").replaceAll("`", ""))
      .flatMap((name) => (name === "option" ? [] : `${owner}.${name}`));
  });
}

export function optionPageProblems(options: readonly PublicOption[]): string[] {
  if (!existsSync(page)) return [`there is no ${page}: run \`npm run options:update\``];
  const text = readFileSync(page, "utf8");
  const real = options.map((option) => `${option.owner}.${option.name}`);
  const documented = documentedOptions(text);
  const problems = [
    ...real.filter((id) => !documented.includes(id)).map((id) => `${page} lacks ${id}`),
    ...documented.filter((id) => !real.includes(id)).map((id) => `${page} has ${id}, which is no option`),
  ];
  const made = text.split(mark)[1];
  if (problems.length === 0 && made !== undefined && made.trim() !== optionTables(options).trim()) {
    problems.push(`${page} is not what the types say`);
  }
  return problems.length === 0 ? [] : [...problems, `run \`npm run options:update\` to bring ${page} up to date`];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href && process.argv.includes("--update")) {
  const above = existsSync(page) ? (readFileSync(page, "utf8").split(mark)[0] ?? "") : "# Options\n\n";
  writeFileSync(page, `${above}${mark}\n\n${optionTables(publicOptions())}`);
  console.log(`${page} written`);
}
