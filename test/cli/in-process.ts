import { PassThrough, Writable } from "node:stream";
import { run } from "../../src/cli/run.ts";
import type { Connect } from "../../src/cli/shell.ts";
import type { Terminal } from "../../src/cli/terminal.ts";
import { connect } from "../../src/index.ts";

export interface InProcessOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Whether standard input and output are a terminal. */
  readonly tty?: boolean;
  readonly interrupted?: AbortSignal;
  readonly connect?: Connect;
}

function collecting(tty: boolean): Writable & { readonly isTTY: boolean; readonly text: () => string } {
  let text = "";
  const stream = new Writable({
    decodeStrings: false,
    write(chunk: string, _encoding, done) {
      text += chunk;
      done();
    },
  });
  return Object.assign(stream, { isTTY: tty, text: () => text });
}

/** Runs a command line in this process, on a terminal that is not one. */
export async function inProcess(
  args: readonly string[],
  options: InProcessOptions = {},
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const { tty = false } = options;
  const stdin = Object.assign(new PassThrough(), { isTTY: tty });
  stdin.end(options.input ?? "");
  const [stdout, stderr] = [collecting(tty), collecting(tty)];
  const terminal: Terminal = {
    stdin,
    stdout,
    stderr,
    env: options.env ?? {},
    interrupted: options.interrupted ?? new AbortController().signal,
  };
  const code = await run(args, terminal, options.connect ?? connect);
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}
