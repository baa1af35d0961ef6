import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Sample, Settings } from "./side.ts";

interface Answer {
  readonly sample?: Sample;
  readonly error?: string;
}

/** A side that runs in a process of its own, so that neither disturbs the other's heap, garbage or compiled code. */
export class SideProcess {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** `wrapper`: a command that runs the process, such as strace. */
  static async start(module: URL, settings: Settings, wrapper: readonly string[] = []): Promise<SideProcess> {
    const main = fileURLToPath(new URL("side-main.ts", import.meta.url));
    const profile = process.env["OMNIBUS_BENCH_PROFILE"];
    const flags = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`];
    const [command, ...args] = [
      ...wrapper,
      process.execPath,
      "--expose-gc",
      ...flags,
      main,
      module.href,
      JSON.stringify(settings),
    ] as const;
    const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    const side = new SideProcess(child);
    await side.#answer();
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
    await ended;
  }

  #answer(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
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
