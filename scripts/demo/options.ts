import { parseArgs } from "node:util";

export interface DemoOptions {
  /** Undefined: an SQLite file in a temporary folder. */
  readonly url: string | undefined;
  readonly events: number;
  readonly repositories: number;
  readonly seed: number;
  readonly keep: boolean;
}

export const usage = `npm run demo -- [options]

  --url <url>          any bus, for example memory: or sqlite:./demo.db   (default: SQLite in a temporary folder)
  --events <n>         how many webhooks                                  (default: 2,000)
  --repositories <n>   onto how many repositories                         (default: 500)
  --seed <n>           for the order of the webhooks and for what fails   (default: 1)
  --keep               leaves the journals (and the temporary bus) where they are`;

function whole(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1 && value <= 10_000_000) return value;
  throw new TypeError(`--${name} must be a whole number from 1 to 10,000,000`);
}

/** Throws a TypeError that says what is wrong; undefined: help was asked for. */
export function demoOptions(args: readonly string[]): DemoOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      url: { type: "string" },
      events: { type: "string", default: "2000" },
      repositories: { type: "string", default: "500" },
      seed: { type: "string", default: "1" },
      keep: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return undefined;
  return {
    url: values.url,
    events: whole("events", values.events),
    repositories: whole("repositories", values.repositories),
    seed: whole("seed", values.seed),
    keep: values.keep,
  };
}
