export interface Row {
  readonly what: string;
  readonly node: string;
  /** That was tested. */
  readonly commit: string;
  readonly outcome: string;
  /** Undefined of what has not ended. */
  readonly seconds: number | undefined;
  readonly ok: boolean | undefined;
}

export interface Setting {
  readonly date: string;
  readonly machine: string;
  readonly lanes: number;
  /** What was not run, and why it is no full run. */
  readonly leftOut: readonly string[];
}

export function testReport(setting: Setting, rows: readonly Row[]): string {
  const line = ({ what, node, commit, outcome, seconds, ok }: Row): string =>
    `| ${what} | ${node} | ${commit} | ${outcome.replaceAll("|", "\\|")} | ${seconds === undefined ? "" : `${seconds} s`} | ${
      ok === undefined ? "**not run**" : ok ? "passed" : "**failed**"
    } |`;
  return [
    "# Test report",
    "",
    "Written by `npm run test:full`: all tests with their full parameters, the soak and the mutants.",
    "",
    `- date: ${setting.date}`,
    `- machine: ${setting.machine}`,
    `- side by side: ${setting.lanes}`,
    ...(setting.leftOut.length > 0 ? [`- left out: ${setting.leftOut.join("; ")}`] : []),
    "",
    "| run | Node | commit | outcome | took | |",
    "| --- | --- | --- | --- | --- | --- |",
    ...rows.map(line),
    "",
  ].join("\n");
}

/** The rows of a report that passed: what need not be run again. Pages that name one commit for all rows are read too. */
export function passedRows(page: string): readonly Row[] {
  const ofAll = /^- commit: (\S+)/m.exec(page)?.[1];
  return page.split("\n").flatMap((line) => {
    const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
    const [what, node, ...rest] = cells.slice(1, -1);
    const [commit, outcome, took, how] = rest.length === 4 ? rest : [ofAll, ...rest];
    const seconds = /^(\d+) s$/.exec(took ?? "")?.[1];
    if (how !== "passed" || what === undefined || node === undefined || seconds === undefined) return [];
    return [
      {
        what,
        node,
        commit: commit ?? "",
        outcome: (outcome ?? "").replaceAll("\\|", "|"),
        seconds: Number(seconds),
        ok: true,
      },
    ];
  });
}
