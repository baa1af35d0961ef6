export interface Row {
  readonly what: string;
  readonly node: string;
  readonly outcome: string;
  /** Undefined of what has not ended. */
  readonly seconds: number | undefined;
  readonly ok: boolean | undefined;
}

export interface Setting {
  readonly date: string;
  readonly commit: string;
  readonly machine: string;
  readonly lanes: number;
  /** What was not run, and why it is no full run. */
  readonly leftOut: readonly string[];
}

export function testReport(setting: Setting, rows: readonly Row[]): string {
  const line = ({ what, node, outcome, seconds, ok }: Row): string =>
    `| ${what} | ${node} | ${outcome.replaceAll("|", "\\|")} | ${seconds === undefined ? "" : `${seconds} s`} | ${
      ok === undefined ? "**not run**" : ok ? "passed" : "**failed**"
    } |`;
  return [
    "# Test report",
    "",
    "Written by `npm run test:full`: all tests with their full parameters, the soak and the mutants.",
    "",
    `- date: ${setting.date}`,
    `- commit: ${setting.commit}`,
    `- machine: ${setting.machine}`,
    `- side by side: ${setting.lanes}`,
    ...(setting.leftOut.length > 0 ? [`- left out: ${setting.leftOut.join("; ")}`] : []),
    "",
    "| run | Node | outcome | took | |",
    "| --- | --- | --- | --- | --- |",
    ...rows.map(line),
    "",
  ].join("\n");
}
