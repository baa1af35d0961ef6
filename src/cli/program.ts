import { readFileSync } from "node:fs";
import { Command, Option } from "commander";
import { deadLetters } from "./commands/dead-letters.ts";
import { groups } from "./commands/groups.ts";
import { health } from "./commands/health.ts";
import { publish } from "./commands/publish.ts";
import { streams } from "./commands/streams.ts";
import { tail } from "./commands/tail.ts";
import { nonEmpty, wholeNumber } from "./option-values.ts";
import { printable } from "./printable.ts";
import type { Shell } from "./shell.ts";

const epilogue = `
Output is a table on a terminal and JSON lines in a pipe. Exit codes: 0 done, 1 failed, 2 used wrongly,
130 ended by Ctrl-C (143 by SIGTERM), after what was under way has been finished or handed back.

Examples:
  $ omnibus publish orders.placed '{"orderId":"o-1"}' --url sqlite:./bus.db
  $ export OMNIBUS_URL=sqlite:./bus.db
  $ omnibus tail 'orders.>'
  $ omnibus dead-letters list --group shipping`;

function version(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8"); // as far from dist/cli
  return (JSON.parse(manifest) as { readonly version: string }).version;
}

/** The whole command line. */
export function program(shell: Shell): Command {
  const root = new Command("omnibus")
    .description("Looks into an event bus on any broker, publishes to it, and takes care of its dead letters.")
    .version(version(), "-V, --version")
    .option("-u, --url <url>", "the bus; else OMNIBUS_URL", nonEmpty)
    .option("--state <url>", "the store attached to a broker without one; else OMNIBUS_STATE", nonEmpty)
    .option("--prefix <prefix>", "the prefix of the bus's names at the broker", nonEmpty)
    .addOption(new Option("--timeout <ms>", "how long to try to connect").argParser(wholeNumber(1)).default(10_000))
    .option("--json", "JSON lines, on a terminal too")
    .option("--table", "tables, in a pipe too")
    .option("--verbose", "errors with their stacks and causes")
    .addHelpText("after", epilogue);
  for (const make of [publish, tail, streams, groups, deadLetters, health]) root.addCommand(make(shell));
  return prepared(root, shell);
}

/** No exit by itself, no writing past the terminal that was given; the same for every command below. */
function prepared(command: Command, shell: Shell): Command {
  const { stdout, stderr } = shell.terminal;
  command
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
      outputError: (text, write) => write(`omnibus: ${printable(text.replace(/^error: /u, "").trim())}\n`),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  for (const each of command.commands) prepared(each, shell);
  return command;
}
