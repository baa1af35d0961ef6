import { parseArgs } from "node:util";
import { parseBroker } from "./broker-name.ts";
import type { Wanted } from "./find-broker.ts";

const commands = ["start", "stop", "restart", "kill", "pause", "resume", "status", "logs"] as const;
export type CommandName = (typeof commands)[number];

export interface CommandLine {
  readonly command: CommandName;
  readonly wanted: readonly Wanted[];
  readonly env: boolean;
}

export const usage = `npm run brokers -- <command> [broker …]

  start <broker …>     finds or starts each, prints its url, and keeps it until it is stopped
  stop [broker …]      ends them and removes their data; all that are kept when none is named
  restart <broker …>   ends and starts them on the same port and data; also those that were killed
  kill <broker …>      SIGKILL; the data stays for start or restart
  pause, resume        SIGSTOP and SIGCONT: connections stay, nothing answers
  status               all that run, those of tests too
  logs <broker …>      what they wrote

  --env                start prints lines as OMNIBUS_TEST_NATS_URL=… instead

A broker is a name, or name@release, name/variant, name@release/variant: nats, redis, nats@2.10, redis/tls. docs/brokers.md
has them all.`;

/** Throws a TypeError that says what is wrong; undefined: help was asked for. */
export function parseCommandLine(args: readonly string[]): CommandLine | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { env: { type: "boolean", default: false }, help: { type: "boolean", short: "h", default: false } },
  });
  if (values.help) return undefined;
  const [name, ...brokers] = positionals;
  const command = commands.find((each) => each === name);
  if (command === undefined) throw new TypeError(name === undefined ? "which command?" : `there is no command ${name}`);
  if (brokers.length === 0 && command !== "stop" && command !== "status")
    throw new TypeError(`${command} which broker?`);
  return { command, wanted: [...new Set(brokers)].map(parseBroker), env: values.env };
}
