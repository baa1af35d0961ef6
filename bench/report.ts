import type { BrokerFacts } from "./broker.ts";
import type { DriverReport } from "./driver-report.ts";
import type { Measured } from "./measure.ts";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

function figure(value: number): string {
  return value >= 100 ? whole.format(value) : value.toPrecision(3);
}

export const titles = ["what", "ours", "bare", "ratio", "CPU µs ours / bare", "runs", "budget"] as const;

/** One row for people: medians, and after them each budget with its figure. */
export function cells({ scenario, row, pairs }: Measured): string[] {
  const verdicts = scenario.budgets.map(({ what, judge }) => {
    const { figure: found, met } = judge({ scenario, row, pairs });
    return `${what}: ${found} ${met ? "met" : "MISSED"}`;
  });
  const rows: [string, string] = [figure(row.ours.median), figure(row.bare.median)];
  const [ours, bare] = rows.map(
    (value) =>
      `${value}${row.unit.startsWith("messages") || row.unit.startsWith("requests") ? "/s" : ` ${row.unit.split(" ")[0]}`}`,
  );
  const { ratio, cpuMicros } = row;
  return [
    row.name,
    ours!,
    bare!,
    `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`,
    `${cpuMicros.ours.toFixed(2)} / ${cpuMicros.bare.toFixed(2)}`,
    String(row.runs),
    verdicts.join("; ") || "-",
  ];
}

export function textTable(lines: readonly (readonly string[])[]): string {
  const widths = titles.map((title, at) => Math.max(title.length, ...lines.map((line) => line[at]!.length)));
  return [titles, ...lines]
    .map((line) =>
      line
        .map((text, at) => text.padEnd(widths[at]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

export function markdownTable(lines: readonly (readonly string[])[]): string {
  const bar = (texts: readonly string[]): string => `| ${texts.join(" | ")} |`;
  return [bar(titles), bar(titles.map(() => "---")), ...lines.map((line) => bar(line))].join("\n");
}

/** Further figures of a row, such as the p99 of a latency. */
export function notes({ row }: Measured): string | undefined {
  const { ours, bare } = row.settings["notes"] as {
    readonly ours: Record<string, number>;
    readonly bare: Record<string, number>;
  };
  const names = [...new Set([...Object.keys(ours), ...Object.keys(bare)])];
  if (names.length === 0) return undefined;
  const told = names.map((name) => `${name} ${figure(ours[name] ?? Number.NaN)} / ${figure(bare[name] ?? Number.NaN)}`);
  return `${row.name}: ${told.join(", ")} (ours / bare)`.replaceAll("NaN", "-");
}

/** What a driver's rows depend on besides the machine. */
export function served({ server, client, durability }: BrokerFacts): string {
  return `${server}, client ${client}; ${durability}`;
}

/** What should have a row and has none. */
export function omissions({ driver, missing, failed }: DriverReport): readonly string[] {
  if (missing !== undefined) return [`not measured, no row of ${driver}: ${missing}`];
  return failed.map(({ name, why }) => `not measured, it failed: ${name}: ${why}`);
}

/** How near the bare sides come to what was measured by itself. */
export function nearness({ scenario: { reference }, row }: Measured): string | undefined {
  if (reference === undefined) return undefined;
  const { median } = row.bare;
  return `${row.name}: bare ${figure(median)}/s, ${((median / reference) * 100).toFixed(0)} % of ${figure(reference)}/s`;
}
