import type { Command } from "commander";
import type { Bus, BusOptions } from "../index.ts";
import { makeFirstStream } from "./first-stream.ts";
import { refuseNothing, whereNothingIs } from "./no-bus.ts";
import { Output } from "./output.ts";
import { printable } from "./printable.ts";
import type { Terminal } from "./terminal.ts";
import { UsageError } from "./usage-error.ts";

export type Connect = (url: string, options: BusOptions) => Promise<Bus>;

/** The options that every command takes. */
export interface GlobalOptions {
  readonly url?: string;
  readonly state?: string;
  readonly prefix?: string;
  readonly timeout: number;
  readonly json?: boolean;
  readonly table?: boolean;
  readonly verbose?: boolean;
}

export interface Session {
  readonly bus: Bus;
  readonly output: Output;
  /** Aborted by Ctrl-C. */
  readonly interrupted: AbortSignal;
}

const closeTimeoutMs = 10_000;

/** What the commands share: the terminal, the way to a bus, the exit code. */
export class Shell {
  readonly terminal: Terminal;
  exitCode = 0;
  readonly #connect: Connect;

  constructor(terminal: Terminal, connect: Connect) {
    this.terminal = terminal;
    this.#connect = connect;
  }

  url(options: Pick<GlobalOptions, "url">): string | undefined {
    return options.url ?? this.terminal.env["OMNIBUS_URL"];
  }

  /** Of the store that is attached to a broker without one. */
  state(options: Pick<GlobalOptions, "state">): string | undefined {
    return options.state ?? (this.terminal.env["OMNIBUS_STATE"] || undefined);
  }

  /** Says why on standard error, and makes the command fail. */
  failed(sentence: string): void {
    this.terminal.stderr.write(`omnibus: ${printable(sentence)}\n`);
    this.exitCode = 1;
  }

  output(command: Command): Output {
    const { json, table } = command.optsWithGlobals<GlobalOptions>();
    if (json === true && table === true) throw new UsageError("--json and --table exclude each other.");
    return new Output(this.terminal.stdout, table === true || (json !== true && this.terminal.stdout.isTTY === true));
  }

  /**
   * Connects, works, and closes in any case. Commands that only look make nothing at the broker (`verify`), the others make
   * the first stream of a bus that is new.
   */
  async session(
    command: Command,
    manage: "create" | "verify",
    work: (session: Session) => Promise<void>,
    output: Output = this.output(command),
  ): Promise<void> {
    const options = command.optsWithGlobals<GlobalOptions>();
    const url = this.url(options);
    if (url === undefined || url === "") {
      throw new UsageError("which bus? Give --url <url> or set OMNIBUS_URL, for example to sqlite:./bus.db");
    }
    const { interrupted } = this.terminal;
    const state = this.state(options);
    const connecting = this.#connect(url, {
      name: "omnibus-cli",
      manage,
      connectTimeoutMs: options.timeout,
      signal: interrupted, // which drains and closes
      streams: [], // whichever there are
      ...(state === undefined ? {} : { state }),
      ...(options.prefix === undefined ? {} : { prefix: options.prefix }),
    });
    const bus = await connecting.catch((error: unknown) => {
      throw manage === "verify" ? whereNothingIs(error, url, options.prefix) : error;
    });
    try {
      if (manage === "verify") await refuseNothing(bus, url, options.prefix);
      else await makeFirstStream(bus);
      await work({ bus, output, interrupted });
    } finally {
      await bus.close({ timeoutMs: closeTimeoutMs });
    }
  }
}
