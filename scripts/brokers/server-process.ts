import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { identify, type ProcessIdentity, type ProcessState, signal, stateOf } from "./process-identity.ts";
import type { Server } from "./server.ts";

const stopMs = 5_000;
const signalMs = 10_000;

export interface ServerProcessOptions {
  readonly executable: string;
  readonly args: readonly string[];
  readonly folder: string;
  /** The process that runs already, started by whomever. */
  readonly process: ProcessIdentity | undefined;
  /** Called at once with each new process, so that it is on record whatever comes next. */
  readonly onStarted: (process: ProcessIdentity) => void;
}

/**
 * A server as a process in a group of its own: Ctrl-C at the terminal does not reach it, and it may outlive this process.
 * Every signal goes to the very process that was started, never to another that got its number.
 */
export class ServerProcess implements Server {
  readonly #options: ServerProcessOptions;
  #process: ProcessIdentity | undefined;

  constructor(options: ServerProcessOptions) {
    this.#options = options;
    this.#process = options.process;
  }

  get #logPath(): string {
    return join(this.#options.folder, "log.txt");
  }

  async start(): Promise<void> {
    const { executable, args, folder, onStarted } = this.#options;
    mkdirSync(folder, { recursive: true });
    const log = openSync(this.#logPath, "a");
    try {
      const child = spawn(executable, args, { cwd: folder, detached: true, stdio: ["ignore", log, log] });
      const { pid } = child;
      if (pid === undefined) {
        throw await new Promise<Error>((resolve) => child.once("error", resolve));
      }
      child.unref();
      // One that ended at once is not there to be identified: its log tells why.
      this.#process = identify(pid);
      if (this.#process !== undefined) onStarted(this.#process);
    } finally {
      closeSync(log);
    }
  }

  async stop(): Promise<void> {
    this.#signal("SIGCONT");
    this.#signal("SIGTERM");
    if (!(await this.#becomes("down", stopMs))) await this.kill();
  }

  async kill(): Promise<void> {
    this.#signal("SIGKILL");
    if (!(await this.#becomes("down", signalMs))) throw new Error(`process ${this.#process?.pid} does not die`);
  }

  async pause(): Promise<void> {
    this.#signal("SIGSTOP");
    if (!(await this.#becomes("paused", signalMs))) throw new Error(`process ${this.#process?.pid} does not stop`);
  }

  async resume(): Promise<void> {
    this.#signal("SIGCONT");
    if (!(await this.#becomes("running", signalMs))) throw new Error(`process ${this.#process?.pid} does not go on`);
  }

  async state(): Promise<ProcessState> {
    return this.#process === undefined ? "down" : stateOf(this.#process);
  }

  async log(): Promise<string> {
    return existsSync(this.#logPath) ? readFileSync(this.#logPath, "utf8") : "";
  }

  #signal(name: NodeJS.Signals): void {
    if (this.#process !== undefined) signal(this.#process, name);
  }

  /** A signal is obeyed a moment after it was sent. False when that moment does not come. */
  async #becomes(wanted: ProcessState, withinMs: number): Promise<boolean> {
    const from = performance.now();
    while ((await this.state()) !== wanted) {
      if (performance.now() - from > withinMs) return false;
      await sleep(5);
    }
    return true;
  }
}
