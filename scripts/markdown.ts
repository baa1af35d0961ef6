import { existsSync, readFileSync } from "node:fs";

export interface CodeBlock {
  readonly page: string;
  readonly line: number;
  /** That of the backticks; `line` is that of the comment above them, if there is one. */
  readonly codeLine: number;
  /** What follows the backticks: `ts`, `ts no-check`. */
  readonly info: string;
  readonly code: string;
  /** From `<!-- before: … -->` right above the block: declarations that the reader needs no sight of. */
  readonly before: string;
}

export function readPage(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

const fence = /^(?:<!-- before:(?<before>(?:(?!-->).)*)-->\n+)?```(?<info>[^\n`]*)\n(?<code>.*?)^```$/gms;

export function codeBlocks(page: string, text: string): CodeBlock[] {
  return [...text.matchAll(fence)].map((match) => {
    const { before = "", info = "", code = "" } = match.groups ?? {};
    const lineAt = (offset: number): number => text.slice(0, offset).split("\n").length;
    const codeLine = lineAt(match.index + match[0].length - 3 - code.length) - 1;
    return { page, line: lineAt(match.index), codeLine, info: info.trim(), code, before: before.trim() };
  });
}

export function withoutCode(text: string): string {
  return text.replaceAll(fence, "").replaceAll(/`[^`\n]*`/g, "``");
}

export function headings(text: string): string[] {
  return [...text.replaceAll(fence, "").matchAll(/^#{1,6} +(.+?) *#*$/gm)].map((match) => match[1] ?? "");
}

/** The anchor that a heading gets on the usual hosts. */
export function anchor(heading: string): string {
  return heading
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replaceAll(/\s/g, "-");
}

/** The cells of each row of each table, without the heading and the line under it. */
export function tableRows(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => /^\|.*\|\s*$/.test(line) && !/^\|[\s:|-]+\|\s*$/.test(line))
    .map((line) =>
      line
        .trim()
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.replaceAll(String.raw`\|`, "|").trim()),
    );
}
