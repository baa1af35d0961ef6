import { parseArgs } from "node:util";
import { parseBroker } from "../brokers/broker-name.ts";
import type { Wanted } from "../brokers/find-broker.ts";

export interface DemoOptions {
  /** Undefined: an SQLite file in a temporary folder. */
  readonly url: string | undefined;
  /** Started for this run, and ended with it. */
  readonly broker: Wanted | undefined;
  readonly events: number;
  readonly repositories: number;
  readonly seed: number;
  readonly keep: boolean;
}

export const usage = `npm run demo -- [broker] [options]

  nats, redis, postgres, rabbitmq, kafka
                       starts this broker for the run (name, name@release: docs/brokers.md); instead of --url
  --url <url>          any bus, for example nats://localhost or memory:   (default: SQLite in a temporary folder)
  --events <n>         how many webhooks                                  (default: 2,000)
  --repositories <n>   onto how many repositories                         (default: 500)
  --seed <n>           for the order of the webhooks and for what fails   (default: 1)
  --keep               leaves the journals (and the temporary bus) where they are`;

function whole(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1 && value <= 10_000_000) return value;
  throw new TypeError(`--${name} must be a whole number from 1 to 10,000,000`);
}

function plainBroker(name: string): Wanted {
  const wanted = parseBroker(name);
  if (wanted.variant === wanted.kind.variants[0]) return wanted;
  throw new TypeError("the demo starts a broker without variants; for another give its --url");
}

/** Throws a TypeError that says what is wrong; undefined: help was asked for. */
export function demoOptions(args: readonly string[]): DemoOptions | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
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
  const [name, ...more] = positionals;
  if (more.length > 0) throw new TypeError(`one broker, not ${positionals.length}`);
  if (name !== undefined && values.url !== undefined) throw new TypeError("a broker or --url, not both");
  return {
    url: values.url,
    broker: name === undefined ? undefined : plainBroker(name),
    events: whole("events", values.events),
    repositories: whole("repositories", values.repositories),
    seed: whole("seed", values.seed),
    keep: values.keep,
  };
}
