import { setTimeout as sleep } from "node:timers/promises";
import type { BrokerServer } from "./broker.ts";
import type { ProcessState } from "./process-identity.ts";
import type { Server } from "./server.ts";

const readyMs = 60_000;

/** A server that ended instead of getting ready. */
export class ServerEnded extends Error {
  /** Somebody else was faster to take the port. */
  readonly portTaken: boolean;

  constructor(label: string, log: string) {
    super(`${label} ended instead of starting:\n${log.trimEnd().split("\n").slice(-10).join("\n")}`);
    this.portTaken = /address (?:already )?in use|EADDRINUSE/i.test(log);
  }
}

/** A server that is started once it is ready. */
export class ControlledServer implements BrokerServer {
  readonly port: number;
  readonly #server: Server;
  readonly #label: string;
  readonly #readyLine: RegExp;
  #wanted = false;

  constructor(server: Server, label: string, port: number, readyLine: RegExp) {
    this.#server = server;
    this.#label = label;
    this.port = port;
    this.#readyLine = new RegExp(readyLine, "g");
  }

  async start(): Promise<void> {
    const state = await this.state();
    if (state === "paused") await this.resume();
    if (state === "down") await this.#startNow();
    this.#wanted = true;
  }

  async #startNow(): Promise<void> {
    const before = await this.#readyLines();
    await this.#server.start();
    const from = performance.now();
    while ((await this.#readyLines()) === before) {
      // In this order: what it said before it ended is in the log that is read afterwards.
      const ended = (await this.state()) === "down";
      if (ended && (await this.#readyLines()) === before) throw new ServerEnded(this.#label, await this.logs());
      if (performance.now() - from > readyMs) throw new Error(`${this.#label} was not ready within ${readyMs} ms`);
      await sleep(10);
    }
  }

  async #readyLines(): Promise<number> {
    return (await this.logs()).match(this.#readyLine)?.length ?? 0;
  }

  stop(): Promise<void> {
    this.#wanted = false;
    return this.#server.stop();
  }

  kill(): Promise<void> {
    this.#wanted = false;
    return this.#server.kill();
  }

  async endedByItself(): Promise<boolean> {
    return this.#wanted && (await this.state()) === "down";
  }

  async pause(): Promise<void> {
    await this.#mustRun();
    await this.#server.pause();
  }

  async resume(): Promise<void> {
    await this.#mustRun();
    await this.#server.resume();
  }

  async #mustRun(): Promise<void> {
    if ((await this.state()) === "down") throw new Error(`${this.#label} does not run`);
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  state(): Promise<ProcessState> {
    return this.#server.state();
  }

  logs(): Promise<string> {
    return this.#server.log();
  }
}
