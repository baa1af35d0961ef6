import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Scenario } from "./scenario.ts";
import type { Sample, Settings } from "./side.ts";
import { SideProcess } from "./side-process.ts";
import { median, type Spread, spread } from "./spread.ts";

/** A line of the JSON file. A ratio above 1 is better for us, whatever the unit. */
export interface Row {
  readonly name: string;
  readonly driver: string;
  readonly unit: string;
  readonly ours: Spread;
  readonly bare: Spread;
  readonly ratio: Spread;
  readonly cpuMicros: { readonly ours: number; readonly bare: number };
  readonly runs: number;
  readonly settings: Readonly<Record<string, unknown>>;
}

export interface Measured {
  readonly scenario: Scenario;
  readonly row: Row;
  readonly pairs: readonly { readonly ours: Sample; readonly bare: Sample }[];
}

export interface MeasureOptions {
  readonly driver: string;
  readonly directory: string;
  readonly bytes: number;
  readonly rounds: number;
  readonly url: string | undefined;
  /** Called after each side's round. */
  readonly reset: (() => Promise<void>) | undefined;
  /** Messages are divided by it; above 1 nothing warms up, and a row has no number of rounds of its own. */
  readonly shorter: number;
}

function notesOf(samples: readonly Sample[]): Record<string, number> {
  const names = new Set(samples.flatMap(({ notes }) => Object.keys(notes ?? {})));
  return Object.fromEntries(
    [...names].map((name) => [name, median(samples.map(({ notes }) => notes?.[name] ?? Number.NaN))]),
  );
}

/** Rounds of each side that don't count; one where the row has one run. */
export const warmUps = 3;

/**
 * Both sides in turn: rounds of each to warm up, since services run for days and a compiler takes a million messages to settle;
 * then pairs, of which every other one begins with the bare side.
 */
export async function measure(scenario: Scenario, options: MeasureOptions): Promise<Measured> {
  const { driver, bytes, shorter, url, reset } = options;
  const rounds = shorter === 1 ? (scenario.rounds ?? options.rounds) : options.rounds;
  const messages = Math.max(Math.ceil(scenario.settings.messages / shorter), 1);
  const plain = { ...scenario.settings, messages, bytes };
  const sides: SideProcess[] = [];
  const start = async (file: string, name: string): Promise<SideProcess> => {
    const directory = join(options.directory, name);
    mkdirSync(directory, { recursive: true });
    const settings: Settings = { ...plain, driver, directory, ...(url === undefined ? {} : { url }) };
    const side = await SideProcess.start(new URL(file, import.meta.url), settings, scenario.wrapper);
    sides.push(side);
    return side;
  };
  const round = async (side: SideProcess): Promise<Sample> => {
    const sample = await side.round();
    // what is no number comes as null from another process
    if (!Number.isFinite(sample.value) || !Number.isFinite(sample.cpuMicros)) throw new Error("nothing was measured");
    await reset?.();
    return sample;
  };
  try {
    const ours = await start(`ours/${scenario.ours}`, "ours");
    const bare = await start(`bare/${scenario.bare}`, "bare");
    const pairs: { ours: Sample; bare: Sample }[] = [];
    const unwarmed = rounds === 1 ? -1 : -warmUps;
    for (let at = shorter === 1 ? unwarmed : 0; at < rounds; at++) {
      const first = at % 2 === 0 ? await round(ours) : undefined;
      const second = await round(bare);
      const pair = { ours: first ?? (await round(ours)), bare: second };
      if (at >= 0) pairs.push(pair);
    }
    return { scenario, pairs, row: rowOf(scenario, driver, pairs, plain) };
  } finally {
    await Promise.all(sides.map((side) => side.stop()));
    rmSync(options.directory, { recursive: true, force: true });
  }
}

function rowOf(scenario: Scenario, driver: string, pairs: Measured["pairs"], settings: object): Row {
  const ours = pairs.map((pair) => pair.ours);
  const bare = pairs.map((pair) => pair.bare);
  const higher = scenario.better === "higher";
  return {
    name: scenario.name,
    driver,
    unit: scenario.unit,
    ours: spread(ours.map(({ value }) => value)),
    bare: spread(bare.map(({ value }) => value)),
    ratio: spread(
      pairs.map((pair) => (higher ? pair.ours.value / pair.bare.value : pair.bare.value / pair.ours.value)),
    ),
    cpuMicros: {
      ours: median(ours.map(({ cpuMicros }) => cpuMicros)),
      bare: median(bare.map(({ cpuMicros }) => cpuMicros)),
    },
    runs: pairs.length,
    settings: { ...settings, notes: { ours: notesOf(ours), bare: notesOf(bare) } },
  };
}
