/** After the tests: what docs/parity.md calls done was tested, and every option has a test. Reads the run's JSON report. */
import { existsSync, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { tableRows } from "./markdown.ts";
import { publicOptions } from "./public-options.ts";
import { report } from "./source.ts";

export interface TestResult {
  readonly name: string;
  readonly passed: boolean;
}

const groups = { A: 12, B: 11, C: 10, D: 17, E: 19 };
export const requirementIds = Object.entries(groups).flatMap(([letter, count]) =>
  Array.from({ length: count }, (_, at) => `${letter}${at + 1}`),
);

/** Rows are `| A1 | API | test | done, partly or later |`; the test is a title, or a part of one; several with `<br>`. */
export function parityProblems(text: string | undefined, tests: readonly TestResult[]): string[] {
  const page = "docs/parity.md";
  if (text === undefined) return [`there is no ${page}`];
  const rows = tableRows(text).filter(([id = ""]) => /^[A-E]\d+$/.test(id));
  const problems: string[] = [];
  for (const id of requirementIds) {
    const count = rows.filter(([first]) => first === id).length;
    if (count !== 1) problems.push(`${page}: ${count === 0 ? "no row" : `${count} rows`} for ${id}`);
  }
  for (const [id = "", , named = "", state = ""] of rows) {
    if (!requirementIds.includes(id)) problems.push(`${page}: ${id} is no requirement`);
    if (!["done", "partly", "later"].includes(state))
      problems.push(`${page}: ${id} is "${state}", not done, partly or later`);
    const titles = named.split("<br>").map((title) => title.replaceAll("`", "").trim());
    for (const title of state === "done" ? titles : []) {
      const found = title === "" ? [] : tests.filter((test) => test.name.includes(title));
      if (found.length === 0) problems.push(`${page}: ${id} is done, but no test is called "${title}"`);
      else if (!found.some((test) => test.passed)) problems.push(`${page}: ${id} is done, but "${title}" did not pass`);
    }
  }
  return problems;
}

/** A test of an option has `option: Owner.name` in its title (several, with commas between). */
export function optionTestProblems(options: readonly string[], tests: readonly TestResult[]): string[] {
  const marked = tests.flatMap((test) => {
    const ids = /\boption: (\w+(?:\.\w+)+(?:, \w+(?:\.\w+)+)*)/.exec(test.name)?.[1]?.split(", ") ?? [];
    return ids.map((id) => ({ id, passed: test.passed, name: test.name }));
  });
  const tested = new Set(marked.filter((each) => each.passed).map((each) => each.id));
  return [
    ...options.filter((id) => !tested.has(id)).map((id) => `no passed test has "option: ${id}" in its title`),
    ...marked.filter((each) => !options.includes(each.id)).map((each) => `"${each.name}": ${each.id} is no option`),
  ];
}

interface JsonReport {
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

function readResults(path: string): TestResult[] {
  const { testResults } = JSON.parse(readFileSync(path, "utf8")) as JsonReport;
  return testResults.flatMap((file) =>
    file.assertionResults.map((test) => ({ name: test.fullName.trim(), passed: test.status === "passed" })),
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const path = process.env["OMNIBUS_RESULTS"] ?? ".tmp/test-results.json";
  if (!existsSync(path)) {
    report("results", [`there is no ${path}: run \`OMNIBUS_RESULTS=${path} npm test\` first`]);
  } else {
    const tests = readResults(path);
    const parity = existsSync("docs/parity.md") ? readFileSync("docs/parity.md", "utf8") : undefined;
    const options = publicOptions().map((option) => `${option.owner}.${option.name}`);
    const problems = [...parityProblems(parity, tests), ...optionTestProblems(options, tests)];
    report(
      "results",
      problems,
      `${requirementIds.length} requirements, ${options.length} options, ${tests.length} tests`,
    );
  }
}
