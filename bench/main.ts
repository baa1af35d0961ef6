/** `npm run bench`: what the bus costs beside a program that does the same without it. Never a test; it exits with 0. */
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fdatasyncMs } from "./disk.ts";
import { benchmarksPage, type DriverReport } from "./docs.ts";
import { insertRates } from "./insert-rate.ts";
import { machine } from "./machine.ts";
import { type Measured, measure } from "./measure.ts";
import { type BenchDriver, type BenchOptions, benchOptions, usage } from "./options.ts";
import { cells, notes, textTable } from "./report.ts";
import type { Scenario } from "./scenario.ts";
import { slowDisk } from "./slow-disk.ts";

async function scenariosOf(driver: BenchDriver): Promise<readonly Scenario[]> {
  const module = (await import(new URL(`scenarios-${driver}.ts`, import.meta.url).href)) as {
    readonly scenarios: readonly Scenario[];
  };
  return module.scenarios;
}

async function bench(driver: BenchDriver, options: BenchOptions): Promise<readonly Measured[]> {
  const { rounds, shorter, bytes, only = "" } = options;
  const directory = resolve(options.directory, driver);
  const measured: Measured[] = [];
  for (const scenario of (await scenariosOf(driver)).filter(({ name }) => name.includes(only))) {
    if (process.stderr.isTTY) process.stderr.write(`\r\u001b[2K${driver}: ${scenario.name} …`);
    measured.push(await measure(scenario, { driver, directory, bytes, rounds, shorter }));
  }
  if (process.stderr.isTTY) process.stderr.write("\r\u001b[2K");
  console.log(`${driver}\n\n${textTable(measured.map(cells))}\n`);
  for (const each of measured) {
    const further = notes(each);
    if (further !== undefined) console.log(further);
  }
  console.log();
  return measured;
}

async function main(options: BenchOptions): Promise<void> {
  const disk = fdatasyncMs(options.directory);
  console.log(`${machine()}; fdatasync p50 ${disk.toFixed(2)} ms\n`);
  const reports: DriverReport[] = [];
  for (const driver of options.drivers) reports.push({ driver, measured: await bench(driver, options) });
  if (options.json !== undefined) {
    const rows = reports.flatMap(({ driver, measured }) =>
      measured.map(({ row }) =>
        driver === "memory" ? row : { ...row, settings: { ...row.settings, fdatasyncMs: disk } },
      ),
    );
    writeFileSync(options.json, `${JSON.stringify(rows, undefined, 2)}\n`);
  }
  if (options.writeDocs) {
    const command = ["npm run bench --", ...process.argv.slice(2)].join(" ");
    const day = new Date().toISOString().slice(0, 10);
    const page = benchmarksPage(reports, {
      command,
      machine: machine(),
      day,
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
