import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { within } from "./until.ts";

/** What a child noted: when, by the monotonic clock that all processes of the machine share, and what. */
export interface Line {
  readonly at: number;
  readonly [name: string]: unknown;
}

export interface ChildOptions {
  /** JSON; the child gets it. @default null */
  readonly input?: unknown;
  /** Called with each line as soon as it is read. @default none */
  readonly onLine?: ((line: Line) => void) | undefined;
}

/** A process that can be killed without losing what it noted. */
export interface Child extends AsyncDisposable {
  readonly pid: number;
  /** All that it noted so far. */
  readonly lines: readonly Line[];
  /** Once true, it is gone and everything that it noted has been read. */
  readonly gone: boolean;
  /** A line of input. */
  tell(command: string): void;
  /** SIGKILL. Resolves when it is gone and everything that it noted has been read. */
  kill(): Promise<void>;
  /** Asks it to end, by closing its input; kills it after the deadline. Resolves with its exit code. */
  end(deadlineMs?: number): Promise<number | null>;
}

/**
 * Starts a module as a process of its own; TypeScript is run as it is (Node strips the types). The module calls `runChild`.
 * It ends by itself when this process does.
 */
export function spawnChild(module: URL | string, options: ChildOptions = {}): Child {
  const path = typeof module === "string" ? module : module.pathname;
  const child = spawn(process.execPath, [path, JSON.stringify(options.input ?? null)], {
    stdio: ["pipe", "inherit", "pipe", "pipe"],
  }) as ChildProcessWithoutNullStreams;
  const { pid } = child;
  if (pid === undefined) throw new Error(`${path} could not be started`);
  const lines: Line[] = [];
  let complaints = "";
  let gone = false;
  child.stderr.on("data", (chunk: Buffer) => (complaints = (complaints + chunk.toString()).slice(-8_192)));
  child.stdin.on("error", () => undefined); // it may be dead already
  const notes = createInterface({ input: child.stdio[3] as unknown as Readable });
  notes.on("line", (text) => {
    const line = JSON.parse(text) as Line;
    lines.push(line);
    options.onLine?.(line);
  });
  // "close" of the process comes after its pipes have ended, "close" of the reader after the last line.
  const ended = Promise.all([once(child, "close"), once(notes, "close")]).then(() => {
    gone = true;
    if (child.exitCode !== null && child.exitCode !== 0) process.stderr.write(`child ${pid}: ${complaints}\n`);
  });
  return {
    pid,
    lines,
    get gone() {
      return gone;
    },
    tell: (command) => void child.stdin.write(`${command}\n`),
    async kill() {
      child.kill("SIGKILL");
      await within(ended, `child ${pid} to be gone`);
    },
    async end(deadlineMs = 15_000) {
      child.stdin.end();
      try {
        await within(ended, `child ${pid} to end: ${complaints}`, deadlineMs);
      } catch (error) {
        child.kill("SIGKILL");
        await ended;
        throw error;
      }
      return child.exitCode;
    },
    async [Symbol.asyncDispose]() {
      if (!gone) await this.kill();
    },
  };
}
