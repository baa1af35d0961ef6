import { resolve } from "node:path";
import { BrokerUnavailable } from "../scripts/brokers/find-broker.ts";
import { type BenchBroker, benchBroker, type BrokerFacts } from "./broker.ts";
import { type Measured, measure, type MeasureOptions } from "./measure.ts";
import type { BenchDriver, BenchOptions } from "./options.ts";
import type { Scenario } from "./scenario.ts";

export interface DriverReport {
  readonly driver: BenchDriver;
  readonly minutes: number;
  /** Undefined: the driver has none, or it could not be had. */
  readonly broker: BrokerFacts | undefined;
  /** Why there is no row at all. */
  readonly missing: string | undefined;
  readonly measured: readonly Measured[];
  /** What has no row, and why. */
  readonly failed: readonly { readonly name: string; readonly why: string }[];
}

async function scenariosOf(driver: BenchDriver): Promise<readonly Scenario[]> {
  const module = (await import(new URL(`scenarios-${driver}.ts`, import.meta.url).href)) as {
    readonly scenarios: readonly Scenario[];
  };
  return module.scenarios;
}

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";

/** A row for each of them; one that fails takes no other with it. `progress` is told what is measured next. */
export async function measureAll(
  scenarios: readonly Scenario[],
  options: MeasureOptions,
  progress: (name: string) => void,
): Promise<Pick<DriverReport, "measured" | "failed">> {
  const measured: Measured[] = [];
  const failed: { name: string; why: string }[] = [];
  for (const scenario of scenarios) {
    progress(scenario.name);
    try {
      measured.push(await measure(scenario, options));
    } catch (error) {
      failed.push({ name: scenario.name, why: firstLine(error) });
      await options.reset?.().catch(() => undefined); // if it can't, the next one says so
    }
  }
  return { measured, failed };
}

/** All rows of a driver, or why there is none. */
export async function driverReport(
  driver: BenchDriver,
  options: BenchOptions,
  progress: (name: string) => void,
): Promise<DriverReport> {
  const started = performance.now();
  const minutes = (): number => (performance.now() - started) / 60_000;
  let broker: BenchBroker | undefined;
  try {
    broker = await benchBroker(driver);
  } catch (error) {
    const none = { driver, minutes: minutes(), broker: undefined, measured: [] };
    return error instanceof BrokerUnavailable
      ? { ...none, missing: error.message, failed: [] }
      : { ...none, missing: undefined, failed: [{ name: "all rows", why: firstLine(error) }] };
  }
  try {
    const { rounds, shorter, bytes, only = "" } = options;
    const directory = resolve(options.directory, driver);
    const { url, reset } = broker ?? {};
    const scenarios = (await scenariosOf(driver)).filter(({ name }) => name.includes(only));
    const rows = await measureAll(scenarios, { driver, directory, bytes, rounds, shorter, url, reset }, progress);
    return { driver, minutes: minutes(), broker: broker?.facts, missing: undefined, ...rows };
  } finally {
    await broker?.[Symbol.asyncDispose]();
  }
}
