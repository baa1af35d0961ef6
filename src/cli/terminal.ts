import type { Readable, Writable } from "node:stream";

/** What the command line reads and writes; a test gives its own. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by the first Ctrl-C (or SIGTERM); the reason is the exit code. */
  readonly interrupted: AbortSignal;
}

const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const;

/** This process's. The first signal asks for an orderly end, a second one ends it at once. */
export function processTerminal(): Terminal {
  const interrupted = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      if (interrupted.signal.aborted) process.exit(exitCodes[name]);
      interrupted.abort(exitCodes[name]);
    });
  }
  return {
    get stdin() {
      return process.stdin;
    },
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    interrupted: interrupted.signal,
  };
}
