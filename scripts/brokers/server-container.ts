import { spawnSync } from "node:child_process";
import { command, lastLine } from "./command.ts";
import type { ProcessState } from "./process-identity.ts";
import type { Server } from "./server.ts";

/** Where a broker's files are inside its container. */
export const containerFolder = "/omnibus";

export interface ServerContainerOptions {
  readonly engine: string;
  readonly image: string;
  /** Unique; the container's name. */
  readonly name: string;
  readonly entrypoint: string;
  readonly args: readonly string[];
  /** Beside what the image sets. */
  readonly env: Readonly<Record<string, string>> | undefined;
  readonly port: number;
  /** Copied into the container, rather than mounted: the engine may be on another machine, the user inside another. */
  readonly folder: string;
}

/** A server in a container, on the same port inside and outside. */
export class ServerContainer implements Server {
  readonly #options: ServerContainerOptions;

  constructor(options: ServerContainerOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { image, name, entrypoint, args, env = {}, port, folder } = this.#options;
    const { ok } = await this.#try("inspect", name);
    if (!ok) {
      const publish = ["--publish", `127.0.0.1:${port}:${port}`];
      const variables = Object.entries(env).flatMap(([variable, value]) => ["--env", `${variable}=${value}`]);
      await this.#do("create", "--name", name, ...publish, ...variables, "--entrypoint", entrypoint, image, ...args);
      await this.#do("cp", `${folder}/.`, `${name}:${containerFolder}`);
    }
    await this.#do("start", name);
  }

  async stop(): Promise<void> {
    if ((await this.#unpaused()) !== "down") await this.#do("stop", "-t", "20", this.#options.name);
  }

  async kill(): Promise<void> {
    if ((await this.#unpaused()) === "down") return;
    await this.#do("kill", this.#options.name);
    await this.#do("wait", this.#options.name);
  }

  /** podman neither stops nor kills what is paused. */
  async #unpaused(): Promise<ProcessState> {
    const state = await this.state();
    if (state === "paused") await this.resume();
    return state;
  }

  async pause(): Promise<void> {
    await this.#do("pause", this.#options.name);
  }

  async resume(): Promise<void> {
    await this.#do("unpause", this.#options.name);
  }

  async state(): Promise<ProcessState> {
    const { ok, output } = await this.#try("inspect", "--format", "{{.State.Status}}", this.#options.name);
    if (!ok) return "down";
    return output === "running" || output === "paused" ? output : "down";
  }

  async log(): Promise<string> {
    return (await this.#try("logs", this.#options.name)).output;
  }

  async #try(...args: readonly string[]): Promise<{ readonly ok: boolean; readonly output: string }> {
    return command(this.#options.engine, args);
  }

  async #do(...args: readonly string[]): Promise<void> {
    const { ok, output } = await this.#try(...args);
    if (!ok) throw new Error(`${this.#options.engine} ${args[0]}: ${lastLine(output)}`);
  }
}

/** Whatever state it is in; one that is not there is no error. */
export function removeContainer(engine: string, name: string): void {
  spawnSync(engine, ["rm", "--force", "--volumes", name], { stdio: "ignore" });
}
