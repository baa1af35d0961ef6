import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { anchor, headings, readPage, withoutCode } from "./markdown.ts";

const link = /!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)|^\[[^\]]+\]:\s*(\S+)/gm;

/** Links to files and headings of this repository that lead nowhere. */
export function linkProblems(page: string, text: string): string[] {
  const problems: string[] = [];
  for (const match of withoutCode(text).matchAll(link)) {
    const target = match[1] ?? match[2] ?? "";
    if (/^[a-z][a-z+.-]*:/i.test(target)) continue;
    const [path = "", fragment] = target.split("#");
    const file = path === "" ? page : join(dirname(page), decodeURIComponent(path));
    if (path !== "" && !existsSync(file)) problems.push(`${page}: ${target} leads to no file`);
    else if (fragment !== undefined && (path === "" || statSync(file).isFile())) {
      const anchors = headings(path === "" ? text : (readPage(file) ?? "")).map(anchor);
      if (!anchors.includes(fragment)) problems.push(`${page}: ${target} leads to no heading`);
    }
  }
  return problems;
}
