import { setTimeout as sleep } from "node:timers/promises";
import type { BrokerServer } from "./broker.ts";
import type { ProcessState } from "./process-identity.ts";
import type { Server } from "./server.ts";

const readyMs = 120_000; // of RabbitMQ and Kafka on a machine that has much else to do

const taken = /address (?:already )?in use|EADDRINUSE/i;

/**
 * What it said last; before that that its port is taken, or else the first that it called an error, where much was said of the end
 * itself: on its way there Kafka calls things errors that are none.
 */
function reason(log: string): string {
  const lines = log.trimEnd().split("\n");
  const last = Math.max(0, lines.length - 10);
  const before = lines.slice(0, last);
  const port = before.findIndex((line) => taken.test(line));
  const error = port >= 0 ? port : before.findIndex((line) => /\b(?:ERROR|FATAL)\b/.test(line));
  const first = error < 0 ? [] : [...lines.slice(error, Math.min(error + 5, last)), "…"];
  return [...first, ...lines.slice(last)].join("\n");
}

/** A server that ended instead of getting ready. */
export class ServerEnded extends Error {
  /** Somebody else was faster to take the port. */
  readonly portTaken: boolean;

  constructor(label: string, log: string) {
    super(`${label} ended instead of starting:\n${reason(log)}`);
    this.portTaken = taken.test(log);
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
    const { length } = await this.logs();
    const before = await this.#readyLines();
    await this.#server.start();
    const from = performance.now();
    const log = async (): Promise<string> => (await this.logs()).slice(length);
    while ((await this.#readyLines()) === before) {
      // In this order: what it said before it ended is in the log that is read afterwards.
      const ended = (await this.state()) === "down";
      if (ended && (await this.#readyLines()) === before) throw new ServerEnded(this.#label, await log());
      if (performance.now() - from > readyMs)
        throw new Error(`${this.#label} was not ready within ${readyMs} ms:\n${reason(await log())}`);
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
