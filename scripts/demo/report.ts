import type { Findings } from "./check.ts";
import type { Screen } from "./screen.ts";

const number = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const shownProblems = 5;

export function whole(value: number): string {
  return number.format(value);
}

export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

export function perSecond(count: number, ms: number): string {
  return `${whole(count / Math.max(ms / 1_000, 0.001))}/s`;
}

export function step(screen: Screen, name: string, text: string): void {
  screen.line(`${screen.style("bold", name.padEnd(12))}${text}`);
}

/** One group: how many of the ids, in what order, and what went wrong on the way. */
export function groupLine(screen: Screen, group: string, total: number, findings: Findings): void {
  const { handled, repeated, failed, rejected, keys, problems } = findings;
  const told = [
    `${whole(handled)} of ${whole(total)} ids`,
    problems.some((problem) => problem.startsWith("order"))
      ? "out of order"
      : `in order in ${whole(keys)} repositories`,
    ...(failed > 0 ? [`${whole(failed)} failed and were retried`] : []),
    ...(rejected > 0 ? [`${whole(rejected)} rejected, then replayed`] : []),
    ...(repeated > 0 ? [`${whole(repeated)} repeated after the kill`] : []),
  ];
  const mark = problems.length === 0 ? screen.style("green", "ok") : screen.style("red", "NOT OK");
  step(screen, group, `${mark}  ${told.join(" · ")}`);
  for (const problem of problems.slice(0, shownProblems)) screen.line(`            ${problem}`);
  if (problems.length > shownProblems) screen.line(`            and ${whole(problems.length - shownProblems)} more`);
}
