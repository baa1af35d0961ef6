import { failure } from "./failure.ts";
import { program } from "./program.ts";
import { type Connect, type GlobalOptions, Shell } from "./shell.ts";
import type { Terminal } from "./terminal.ts";

/** Runs one command line; resolves with the exit code. */
export async function run(args: readonly string[], terminal: Terminal, connect: Connect): Promise<number> {
  const shell = new Shell(terminal, connect);
  const command = program(shell);
  terminal.stderr.on("error", () => {}); // nobody listens: nothing to be done about it
  const { interrupted } = terminal;
  const code = (): number => (typeof interrupted.reason === "number" ? interrupted.reason : 130);
  try {
    await command.parseAsync([...args], { from: "user" });
    return interrupted.aborted ? code() : shell.exitCode;
  } catch (error) {
    const options = command.opts<GlobalOptions>();
    const { exitCode, text } = failure(error, { verbose: options.verbose === true, url: shell.url(options) });
    // What was interrupted fails in its own way; the reason is known.
    if (text !== "" && !interrupted.aborted) terminal.stderr.write(`${text}\n`);
    return interrupted.aborted ? code() : exitCode;
  }
}
