import type { Writable } from "node:stream";
import { failure } from "./failure.ts";
import { ClosedPipe } from "./output.ts";
import { program } from "./program.ts";
import { type Connect, type GlobalOptions, Shell } from "./shell.ts";
import type { Terminal } from "./terminal.ts";

/** Runs one command line; resolves with the exit code. */
export async function run(args: readonly string[], terminal: Terminal, connect: Connect): Promise<number> {
  const shell = new Shell(terminal, connect);
  const command = program(shell);
  const { interrupted, stdout, stderr } = terminal;
  stderr.on("error", () => {}); // nobody listens: nothing to be done about it
  let broken: Error | undefined;
  stdout.on("error", (error) => (broken ??= error));
  const failed = (error: unknown): number => {
    const options = command.opts<GlobalOptions>();
    const { exitCode, text } = failure(error, {
      verbose: options.verbose === true,
      url: shell.url(options),
      state: shell.state(options),
    });
    // What was interrupted fails in its own way; the reason is known.
    if (text !== "" && !interrupted.aborted) stderr.write(`${text}\n`);
    return exitCode;
  };
  let code: number;
  let said: unknown;
  try {
    await command.parseAsync([...args], { from: "user" });
    code = shell.exitCode;
  } catch (error) {
    said = error;
    code = error instanceof ClosedPipe ? shell.exitCode : failed(error);
  }
  await drained(stdout);
  // A reader that has gone, as in `omnibus --help | head -1`, has had enough; a full disk is a failure.
  if (broken !== undefined && broken !== said && !isClosedPipe(broken)) code = failed(broken);
  if (interrupted.aborted) return typeof interrupted.reason === "number" ? interrupted.reason : 130;
  return code;
}

const isClosedPipe = (error: Error): boolean => (error as NodeJS.ErrnoException).code === "EPIPE";

/** Resolves when everything is written, or can't be. */
const drained = (stream: Writable): Promise<void> =>
  new Promise((resolve) => stream.write("", () => setImmediate(resolve)));
