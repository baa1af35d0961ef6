import type { DriverReport } from "./driver-report.ts";
import { type InsertRates, readyBytes } from "./insert-rate.ts";
import { warmUps } from "./measure.ts";
import { cells, markdownTable, nearness, notes, omissions, served } from "./report.ts";

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
  const brokers = reports.flatMap(({ driver, broker }) =>
    broker === undefined ? [] : [`- ${driver}: ${served(broker)}.`],
  );
  const minutes = reports.reduce((sum, report) => sum + report.minutes, 0);
  const absent = reports.flatMap(({ driver, missing }) => (missing === undefined ? [] : [driver]));
  const paragraphs = [
    "# Benchmarks",
    `Written by \`${facts.command}\` on ${facts.day}, in ${minutes.toFixed(0)} minutes: ${facts.machine}. The machine was shared, so read the ratios and the CPU time
rather than the rates. Do not choose a broker by them.`,
    ...(brokers.length === 0
      ? []
      : [`The brokers ran beside the bench, on loopback and the same cores:\n\n${brokers.join("\n")}`]),
    ...(absent.length === 0 ? [] : [`Not measured, because the broker could not be had: ${absent.join(", ")}.`]),
    `*Ours* and *bare* are medians of interleaved rounds, each side in a process of its own. *Runs* says how many rounds of each side
count; ${warmUps} before them warm up, or one where there is one run. The ratio is that of each pair (median, and from the lowest to the
highest), and above 1 ours is better, latency included. *Bare* is the shortest program that does the same: as many bytes encoded
and parsed, the same durability and window, an awaited handler; none has 60 lines (\`bench/bare\`). An event's data has 250 bytes
of JSON. CPU is microseconds of a message, user and system, of all threads of the process, and none of the broker's.`,
    ...reports.map((report) => section(report, facts)),
  ];
  return `${paragraphs.join("\n\n")}\n`;
}

const list = (title: string, lines: readonly (string | undefined)[]): readonly string[] => {
  const told = lines.filter((line) => line !== undefined);
  return told.length === 0 ? [] : [`${title}:\n\n${told.map((line) => `- ${line}.`).join("\n")}`];
};

function section(report: DriverReport, facts: DocsFacts): string {
  const { driver, measured, missing } = report;
  const title = `## ${driver}`;
  if (missing !== undefined) return [title, ...list("Left out", omissions(report))].join("\n\n");
  const disk = `An fdatasync of 4 KiB takes ${facts.fdatasyncMs.toFixed(2)} ms here (p50), far from a user's disk.`;
  const slow = facts.slowDisk
    ? ""
    : " The rate with 2 ms more was not measured: strace, which delays the calls, could not be used.";
  return [
    title,
    ...(driver === "sqlite" ? [`${disk}${slow}`, baseline(facts.inserts)] : []),
    ...(measured.length === 0 ? [] : [markdownTable(measured.map(cells))]),
    ...list("Left out", omissions(report)),
    ...list(
      "What is measured",
      measured.map(({ scenario }) => `${scenario.name}: ${scenario.about}`),
    ),
    ...list(
      "Also",
      measured.map((each) => notes(each)),
    ),
    ...list(
      `The bare sides beside the same client measured by itself, with ${readyBytes} bytes that were ready and more in flight`,
      measured.map((each) => nearness(each)),
    ),
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
