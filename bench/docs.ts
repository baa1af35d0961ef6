import type { BenchDriver } from "./options.ts";
import { type InsertRates, readyBytes } from "./insert-rate.ts";
import { type Measured, warmUps } from "./measure.ts";
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
  readonly inserts: InsertRates;
}

/** docs/benchmarks.md, whole: written from a run, never by hand. */
export function benchmarksPage(reports: readonly DriverReport[], facts: DocsFacts): string {
  return `# Benchmarks

Written by \`${facts.command}\` on ${facts.day}: ${facts.machine}. The machine was shared, so read the ratios and the CPU time
rather than the rates. Do not choose a broker by them.

*Ours* and *bare* are medians of interleaved rounds, each side in a process of its own. *Runs* says how many rounds of each side
count; ${warmUps} before them warm up, or one where there is one run. The ratio is that of each pair (median, and from the lowest to the
highest), and above 1 ours is better, latency included. *Bare* is the shortest program that does the same: as many bytes encoded
and parsed, the same durability and window, an awaited handler; none has 60 lines (\`bench/bare\`). An event's data has 250 bytes
of JSON. CPU is microseconds of a message, user and system, of all threads of the process.

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
    ...(driver === "memory" ? [] : [disk, baseline(facts.inserts)]),
    markdownTable(measured.map(cells)),
    `What is measured:\n\n${measured.map(({ scenario }) => `- ${scenario.name}: ${scenario.about}.`).join("\n")}`,
    ...(further.length === 0 ? [] : [`Also:\n\n${further.map((line) => `- ${line}.`).join("\n")}`]),
  ].join("\n\n");
}

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const closeEnough = 0.8;

/** Why the bare side of SQLite is slower than inserts that were measured by themselves. */
function baseline({ rates, envelopeBytes, envelopeMicros }: InsertRates): string {
  const all = (text: (rate: InsertRates["rates"][number]) => string): string => rates.map(text).join(" and ");
  const far = rates.some(({ ready, reference }) => ready < reference * closeEnough);
  const reached = `Bare inserts of ${readyBytes} bytes that are ready reach, at best of five, ${all(({ batch, ready }) => `${whole.format(ready)}/s in batches of ${batch}`)}`;
  const share = `${all(({ ready, reference }) => `${((ready / reference) * 100).toFixed(0)} %`)} of the ${all(({ reference }) => `${whole.format(reference)}/s`)}`;
  const rest = far ? " (the rest is this disk's, and that of the load beside it)" : "";
  const times = (envelopeBytes / readyBytes).toFixed(1);
  return `${reached}, ${share} that were measured alone where an fdatasync takes 0.06 ms${rest}; the bare *publish* below is slower, because it makes and encodes an envelope of ${envelopeBytes} bytes for each message (${envelopeMicros.toFixed(1)} µs alone) and writes ${times} times as many bytes, as ours must.`;
}
