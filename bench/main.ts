/** `npm run bench`: what the bus costs beside a program that does the same without it. Never a test: a missed budget is no failure. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fdatasyncMs } from "./disk.ts";
import { benchmarksPage } from "./docs.ts";
import { type DriverReport, driverReport } from "./driver-report.ts";
import { insertRates } from "./insert-rate.ts";
import { machine } from "./machine.ts";
import { type BenchOptions, benchOptions, usage } from "./options.ts";
import { cells, notes, omissions, served, textTable } from "./report.ts";
import { slowDisk } from "./slow-disk.ts";

/** On a terminal a line that is written over, elsewhere a line each. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[2K${text}`);
  else if (text !== "") process.stderr.write(`${text}\n`);
}

function print(report: DriverReport): void {
  const { driver, broker, measured } = report;
  progress("");
  console.log([driver, ...(broker === undefined ? [] : [served(broker)])].join(": "));
  if (measured.length > 0) console.log(`\n${textTable(measured.map(cells))}\n`);
  for (const line of [...measured.map((each) => notes(each)), ...omissions(report)])
    if (line !== undefined) console.log(line);
  console.log(`${driver} took ${report.minutes.toFixed(1)} min\n`);
}

function jsonOf(reports: readonly DriverReport[], disk: number): string {
  const rows = reports.flatMap(({ driver, broker, measured }) =>
    measured.map(({ row }) => ({
      ...row,
      settings: {
        ...row.settings,
        ...(driver === "memory" ? {} : { fdatasyncMs: disk }),
        ...(broker === undefined ? {} : { broker }),
      },
    })),
  );
  return `${JSON.stringify(rows, undefined, 2)}\n`;
}

async function main(options: BenchOptions): Promise<void> {
  const disk = fdatasyncMs(options.directory);
  console.log(`${machine()}; fdatasync p50 ${disk.toFixed(2)} ms\n`);
  const reports: DriverReport[] = [];
  for (const driver of options.drivers) {
    const report = await driverReport(driver, options, (name) => progress(`${driver}: ${name} …`));
    print(report);
    reports.push(report);
    if (report.failed.length > 0) process.exitCode = 1;
    if (options.json !== undefined) writeFileSync(options.json, jsonOf(reports, disk)); // what there is, should a later one fail
  }
  if (options.writeDocs) {
    const page = benchmarksPage(reports, {
      command: ["npm run bench --", ...process.argv.slice(2)].join(" "),
      machine: machine(),
      day: new Date().toISOString().slice(0, 10),
      fdatasyncMs: disk,
      slowDisk: slowDisk !== undefined,
      inserts: insertRates(options.directory, options.bytes),
    });
    writeFileSync(join("docs", "benchmarks.md"), page);
  }
}

try {
  const options = benchOptions(process.argv.slice(2));
  if (options === undefined) console.log(usage);
  else await main(options);
} catch (error) {
  console.error(error instanceof TypeError ? `${error.message}\n\n${usage}` : error);
  process.exitCode = error instanceof TypeError ? 2 : 1;
}
