import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { systemClock } from "../clock.ts";
import type { Driver, DriverConnection, GroupSpec, OutMessage } from "../driver.ts";
import type { BusConfig } from "../index.ts";
import { loadDriver } from "../load-driver.ts";
import { withState } from "../with-state.ts";
import { within } from "./until.ts";

/** The driver itself, without a bus before it: a counter-test asks both, because a bus refuses by what the driver declares. */
export class DriverEnd {
  readonly connection: DriverConnection;
  readonly #driver: Driver;

  static async open(config: BusConfig): Promise<DriverEnd> {
    const alone = "driver" in config ? config.driver : await loadDriver(config.url, { ...config });
    const driver = config.state === undefined ? alone : withState(alone, config.state);
    const now = new Date();
    const id = randomUUID();
    const connection = await driver.connect({
      name: "driver-end",
      prefix: config.prefix ?? "omnibus",
      member: { id, name: id, host: hostname(), pid: process.pid, since: now, lastSeen: now, partitions: undefined },
      manage: "create",
      clock: systemClock,
      signal: new AbortController().signal,
      status: () => undefined,
      changed: () => undefined,
      warn: () => undefined,
    });
    return new DriverEnd(driver, connection);
  }

  private constructor(driver: Driver, connection: DriverConnection) {
    this.#driver = driver;
    this.connection = connection;
  }

  /** A group that reads all of the stream `events`, from now on and without an order unless it is told otherwise. */
  ensureGroup(group: string, wish: Partial<GroupSpec> = {}): Promise<GroupSpec> {
    return this.connection.ensureGroup({
      group,
      reads: [{ stream: "events", patterns: [">"] }],
      from: { at: "newest" },
      order: "none",
      live: false,
      ...wish,
    });
  }

  /** Whether it was stored, or the error that it was not stored for. */
  async send(to: OutMessage["to"], more: Partial<OutMessage> = {}): Promise<unknown> {
    const id = randomUUID();
    const answer = new Promise<unknown>((resolve) => {
      const message: OutMessage = {
        to,
        id,
        brokerId: id,
        key: undefined,
        hash: 0,
        replyTo: undefined,
        notBefore: undefined,
        expiresAt: undefined,
        durable: true,
        priority: 1,
        headers: [],
        body: new TextEncoder().encode("{}"),
        value: undefined,
        ...more,
        stored: () => resolve("stored"),
        failed: (stored, error) => resolve(stored === "no" ? error : `perhaps stored: ${String(error)}`),
      };
      this.connection.send([message]);
    });
    return within(answer, "an answer of the driver");
  }

  /** It must have been refused, with the error that means that it can't ever be done. */
  async refuses(work: Promise<unknown>, what: string): Promise<void> {
    const outcome = await within(
      work.then(
        (value) => ({ value }),
        (error: unknown) => ({ error }),
      ),
      `the driver's refusal: ${what}`,
    );
    if (!("error" in outcome)) assert.fail(`the driver declares that it can't, and yet: ${what}`);
    assert.equal(this.#driver.classify(outcome.error).code, "BUS_UNSUPPORTED", String(outcome.error));
  }

  /** The same of a message. */
  async refusesToSend(to: OutMessage["to"], more: Partial<OutMessage> = {}): Promise<void> {
    const answer = await this.send(to, more);
    assert.notEqual(answer, "stored", `the driver declares that it can't, and yet it stored a message (${to.kind})`);
    assert.equal(this.#driver.classify(answer).code, "BUS_UNSUPPORTED", String(answer));
  }

  async close(): Promise<void> {
    await this.connection.close(AbortSignal.timeout(2_000));
  }
}
