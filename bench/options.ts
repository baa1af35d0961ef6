import { parseArgs } from "node:util";

export const drivers = ["memory", "sqlite", "postgres", "nats", "redis", "rabbitmq", "kafka"] as const;
export type BenchDriver = (typeof drivers)[number];

export interface BenchOptions {
  readonly drivers: readonly BenchDriver[];
  readonly json: string | undefined;
  readonly rounds: number;
  readonly only: string | undefined;
  readonly shorter: number;
  readonly bytes: number;
  readonly directory: string;
  readonly writeDocs: boolean;
}

export const usage = `npm run bench -- [options]

  --driver <name>     one of them; may be given again  (default: all:
                      memory, sqlite, postgres, nats, redis, rabbitmq, kafka)
  --json <file>       writes the rows as JSON
  --rounds <n>        interleaved pairs of a row  (default: 5)
  --only <text>       rows whose name has it
  --quick             a tenth of the messages: to see that it runs, not how fast
  --bytes <n>         JSON of an event's data     (default: 250)
  --directory <path>  for the files of the bench  (default: .tmp/bench)
  --write-docs        writes docs/benchmarks.md; of a whole run only

OMNIBUS_BENCH_PROFILE=<folder> writes a CPU profile of what is measured, for each round of a rate or a latency.`;

function whole(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new TypeError(`--${name} must be a whole number from 1`);
}

/** Throws a TypeError that says what is wrong; undefined: help was asked for. */
export function benchOptions(args: readonly string[]): BenchOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      driver: { type: "string", multiple: true, default: [...drivers] },
      json: { type: "string" },
      rounds: { type: "string", default: "5" },
      only: { type: "string" },
      quick: { type: "boolean", default: false },
      bytes: { type: "string", default: "250" },
      directory: { type: "string", default: ".tmp/bench" },
      "write-docs": { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return undefined;
  const chosen = drivers.filter((name) => values.driver.includes(name));
  if (values.driver.some((name) => !drivers.some((each) => each === name)))
    throw new TypeError(`--driver must be one of ${drivers.join(", ")}`);
  const isPart = chosen.length < drivers.length || values.only !== undefined || values.quick;
  if (values["write-docs"] && isPart)
    throw new TypeError("--write-docs goes with neither --driver nor --only nor --quick: the page is of a whole run");
  return {
    drivers: chosen,
    json: values.json,
    rounds: whole("rounds", values.rounds),
    only: values.only,
    shorter: values.quick ? 10 : 1,
    bytes: whole("bytes", values.bytes),
    directory: values.directory,
    writeDocs: values["write-docs"],
  };
}
