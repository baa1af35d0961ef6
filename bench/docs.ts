import type { BenchDriver } from "./options.ts";
import type { Measured } from "./measure.ts";
import { cells, markdownTable, notes } from "./report.ts";

export interface DriverReport {
  readonly driver: BenchDriver;
  readonly measured: readonly Measured[];
}

export interface DocsFacts {
  readonly command: string;
  readonly machine: string;
  readonly day: string;
  readonly fdatasyncMs: number;
  readonly slowDisk: boolean;
}

/** docs/benchmarks.md, whole: written from a run, never by hand. */
export function benchmarksPage(reports: readonly DriverReport[], facts: DocsFacts): string {
  return `# Benchmarks

Written by \`${facts.command}\` on ${facts.day}: ${facts.machine}. The machine was shared, so read the ratios and the CPU time
rather than the rates. Do not choose a broker by them.

*Ours* and *bare* are medians of interleaved rounds, each side in a process of its own after three rounds to warm up; the ratio is
that of each pair (median, and from the lowest to the highest), and above 1 ours is better, latency included. *Bare* is the
shortest program that does the same: as many bytes encoded and parsed, the same durability and window, an awaited handler; none
has 60 lines (\`bench/bare\`). An event's data has 250 bytes of JSON. CPU is microseconds of a message, user and system, of all
threads of the process.

${reports.map((report) => section(report, facts)).join("\n\n")}
`;
}

function section({ driver, measured }: DriverReport, facts: DocsFacts): string {
  const further = measured.map((each) => notes(each)).filter((line) => line !== undefined);
  const slow = facts.slowDisk
    ? ""
    : " The rate with 2 ms more was not measured: strace, which delays the calls, could not be used.";
  const disk = `An fdatasync of 4 KiB takes ${facts.fdatasyncMs.toFixed(2)} ms here (p50), far from a user's disk.${slow}`;
  return [
    `## ${driver}`,
    ...(driver === "memory" ? [] : [disk]),
    markdownTable(measured.map(cells)),
    `What is measured:\n\n${measured.map(({ scenario }) => `- ${scenario.name}: ${scenario.about}.`).join("\n")}`,
    ...(further.length === 0 ? [] : [`Also:\n\n${further.map((line) => `- ${line}.`).join("\n")}`]),
  ].join("\n\n");
}
