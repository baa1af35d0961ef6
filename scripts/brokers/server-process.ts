import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { identify, isAlive, type ProcessIdentity, type ProcessState, signal, stateOf } from "./process-identity.ts";
import type { Server } from "./server.ts";
import { type Family, killFamily, membersOf } from "./server-family.ts";

/** Of what it prints, in its folder. */
export const logName = "log.txt";

const stopMs = 20_000;
const signalMs = 10_000;

export interface ServerProcessOptions {
  readonly executable: string;
  readonly args: readonly string[];
  /** See `ServerPlan.env`. */
  readonly env: Readonly<Record<string, string>> | undefined;
  readonly folder: string;
  /** See `ServerPlan.leaves`; removed before each start. */
  readonly leaves: string | undefined;
  /** See `BrokerKind.stopSignal`. */
  readonly stopSignal: NodeJS.Signals | undefined;
  /** What it runs, by which its processes are known. */
  readonly programs: readonly string[];
  /** The process that runs already, started by whomever. */
  readonly process: ProcessIdentity | undefined;
  /** Called at once with each new process, so that it is on record whatever comes next. */
  readonly onStarted: (process: ProcessIdentity) => void;
}

/**
 * A server as a process in a group of its own: Ctrl-C at the terminal does not reach it, and it may outlive this process.
 * Every signal goes to the very process that was started, never to another that got its number, and to what that started.
 */
export class ServerProcess implements Server {
  readonly #options: ServerProcessOptions;
  #process: ProcessIdentity | undefined;

  constructor(options: ServerProcessOptions) {
    this.#options = options;
    this.#process = options.process;
  }

  get #logPath(): string {
    return join(this.#options.folder, logName);
  }

  get #family(): Family {
    const { folder, programs } = this.#options;
    return { started: this.#process === undefined ? [] : [this.#process], folder, programs };
  }

  async start(): Promise<void> {
    const { executable, args, env: own, folder, leaves, onStarted } = this.#options;
    const env = own === undefined ? process.env : { PATH: process.env["PATH"], ...own };
    mkdirSync(folder, { recursive: true });
    await this.kill(); // of one that ended by itself a part may be there, and at the same data
    if (leaves !== undefined) rmSync(join(folder, leaves), { force: true });
    const log = openSync(this.#logPath, "a");
    try {
      const child = spawn(executable, args, { cwd: folder, env, detached: true, stdio: ["ignore", log, log] });
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
    for (const each of membersOf(this.#family)) signal(each, "SIGCONT");
    if (this.#process !== undefined) signal(this.#process, this.#options.stopSignal ?? "SIGTERM");
    await within(async () => (await this.state()) === "down", stopMs);
    await this.kill();
  }

  async kill(): Promise<void> {
    const killed = killFamily(this.#family);
    if (!(await within(() => !killed.some(isAlive), signalMs))) throw this.#stubborn("die");
  }

  async pause(): Promise<void> {
    if (this.#process !== undefined) signal(this.#process, "SIGSTOP"); // first, so that it starts no other
    const members = membersOf(this.#family);
    for (const each of members) signal(each, "SIGSTOP");
    if (!(await within(() => members.every((each) => stateOf(each) !== "running"), signalMs))) {
      throw this.#stubborn("stop");
    }
  }

  async resume(): Promise<void> {
    const members = membersOf(this.#family);
    for (const each of members) signal(each, "SIGCONT");
    if (!(await within(() => members.every((each) => stateOf(each) !== "paused"), signalMs))) {
      throw this.#stubborn("go on");
    }
  }

  #stubborn(what: string): Error {
    return new Error(`process ${this.#process?.pid} does not ${what}`);
  }

  async state(): Promise<ProcessState> {
    return this.#process === undefined ? "down" : stateOf(this.#process);
  }

  async log(): Promise<string> {
    return existsSync(this.#logPath) ? readFileSync(this.#logPath, "utf8") : "";
  }
}

/** A signal is obeyed a moment after it was sent. False when that moment does not come. */
async function within(condition: () => boolean | Promise<boolean>, ms: number): Promise<boolean> {
  const from = performance.now();
  while (!(await condition())) {
    if (performance.now() - from > ms) return false;
    await sleep(5);
  }
  return true;
}
