import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Sample, Settings } from "./side.ts";

interface Answer {
  readonly sample?: Sample;
  readonly error?: string;
}

/** A side that takes longer for a round, or to begin, hangs. */
const longestMs = 180_000;
const endMs = 5_000;

/** A side that runs in a process of its own, so that neither disturbs the other's heap, garbage or compiled code. */
export class SideProcess {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** `wrapper`: a command that runs the process, such as strace. */
  static async start(module: URL, settings: Settings, wrapper: readonly string[] = []): Promise<SideProcess> {
    const main = fileURLToPath(new URL("side-main.ts", import.meta.url));
    const [command, ...args] = [
      ...wrapper,
      process.execPath,
      "--expose-gc",
      main,
      module.href,
      JSON.stringify(settings),
    ] as const;
    const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    const side = new SideProcess(child);
    try {
      await side.#answer();
    } catch (error) {
      await side.stop();
      throw error;
    }
    return side;
  }

  async round(): Promise<Sample> {
    const answer = this.#answer();
    this.#child.send("round");
    return (await answer).sample!;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => this.#child.once("exit", () => resolve()));
    if (this.#child.connected) this.#child.disconnect();
    const quit = new AbortController();
    const killed = wait(endMs, undefined, { signal: quit.signal }).then(
      () => void this.#child.kill("SIGKILL"),
      () => undefined,
    );
    await ended;
    quit.abort();
    await killed;
  }

  #answer(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(
        () => failed(new Error(`a side did not answer within ${longestMs / 1_000} s`)),
        longestMs,
      );
      const done = (): void => {
        clearTimeout(late);
        this.#child.off("message", answered).off("exit", exited).off("error", failed);
      };
      const answered = (answer: Answer): void => {
        done();
        if (answer.error === undefined) resolve(answer);
        else reject(new Error(answer.error));
      };
      const failed = (error: Error): void => {
        done();
        reject(error);
      };
      const exited = (code: number | null, signal: string | null): void =>
        failed(new Error(`a side ended: ${signal ?? `exit code ${code}`}`));
      this.#child.on("message", answered).on("exit", exited).on("error", failed);
    });
  }
}
