/** The docs against the source: error codes, options, capabilities, code, links; and what must stand in no file. */
import { pathToFileURL } from "node:url";
import { capabilityProblems } from "./capability-table.ts";
import { codeProblems } from "./docs-code.ts";
import { linkProblems } from "./docs-links.ts";
import { codeBlocks, headings, readPage } from "./markdown.ts";
import { optionPageProblems } from "./options-reference.ts";
import { publicOptions } from "./public-options.ts";
import { nameOf, type Node, readSource, report, sourceFiles, walk } from "./source.ts";
import { trackedProblems } from "./tracked-files.ts";

/** The strings of `export const busErrorCodes = [ … ]`. */
function errorCodes(): string[] {
  const codes: string[] = [];
  walk(readSource("src/errors.ts").body, (node) => {
    if (node.type !== "VariableDeclarator" || nameOf(node["id"]) !== "busErrorCodes") return;
    walk(node["init"], (inner: Node) => void (inner.type === "Literal" && codes.push(String(inner["value"]))));
  });
  return codes;
}

/** Every code has a heading that names it, and no heading names another. */
export function errorPageProblems(codes: readonly string[], text: string | undefined): string[] {
  const page = "docs/errors.md";
  if (text === undefined) return [`there is no ${page}`];
  const documented = headings(text).flatMap((heading) => heading.match(/\bBUS_[A-Z_]+\b/g) ?? []);
  return [
    ...codes.filter((code) => !documented.includes(code)).map((code) => `${page} has no heading for ${code}`),
    ...documented.filter((code) => !codes.includes(code)).map((code) => `${page}: ${code} is no error code`),
  ];
}

/** What a part of the check can't do is a problem, and hides none of the others. */
function attempt(part: () => string[]): string[] {
  try {
    return part();
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

function check(): string[] {
  const pages = sourceFiles("*.md", "docs/**/*.md");
  const texts = pages.map((page) => [page, readPage(page) ?? ""] as const);
  const withCode = texts.filter(([page]) => page === "README.md" || page.startsWith("docs/"));
  const blocks = withCode.flatMap(([page, text]) => codeBlocks(page, text));
  const parts = [
    () => (pages.includes("README.md") ? [] : ["there is no README.md"]),
    () => errorPageProblems(errorCodes(), readPage("docs/errors.md")),
    () => optionPageProblems(publicOptions()),
    () => capabilityProblems(),
    () => texts.flatMap(([page, text]) => linkProblems(page, text)),
    () => codeProblems(blocks, sourceFiles("examples/[0-9]*.ts")),
    () => trackedProblems(),
  ];
  return parts.flatMap(attempt);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) report("docs", check());
