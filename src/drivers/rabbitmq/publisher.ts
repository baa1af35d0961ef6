import type { Clock } from "../../clock.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { Fifo } from "../../internal/fifo.ts";
import type { AmqpFields, AmqpProperties } from "./client.ts";
import { Confirms, type Outcome } from "./confirms.ts";
import { connectionLost, notConnected } from "./errors.ts";
import type { Line } from "./line.ts";
import { framed } from "./refused-publish.ts";

const mostAgain = 40;
const againMs = 50;

interface Waiting {
  readonly to: AmqpFields;
  readonly body: Uint8Array;
  readonly properties: AmqpProperties;
  readonly mandatory: boolean;
  readonly outcome: Outcome;
  readonly until: number;
}

/** A publish that did not end as it should: `written` false when it is certain that nothing was stored. */
export class PutError extends DriverError {
  readonly written: boolean;

  constructor(code: string, message: string, written: boolean, retryable: boolean, cause?: unknown) {
    super(code, message, { retryable, cause });
    this.written = written;
  }
}

/** One confirm channel of the publishing line, made again when the server closed it. */
export class Publisher {
  readonly #line: Line;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #learned: (mostBytes: number) => void;
  readonly #watch: Disposable;
  /** While the server is blocked nothing is written. */
  readonly #waiting = new Fifo<Waiting>();
  #confirms: Confirms | undefined;
  #timer: Disposable | undefined;
  #closed = false;

  /** `learned`: what the server takes at most, when it has refused more. */
  constructor(line: Line, clock: Clock, timeoutMs: number, learned: (mostBytes: number) => void) {
    this.#line = line;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#learned = learned;
    line.before(() => this.#open());
    this.#watch = line.listen({
      down: (error) => {
        this.#confirms?.close(connectionLost(error));
        this.#confirms = undefined;
        this.#drop(notConnected(error));
      },
      blocked: (blocked) => {
        if (!blocked) this.#release();
      },
    });
  }

  get isOpen(): boolean {
    return this.#confirms !== undefined;
  }

  publish(to: AmqpFields, body: Uint8Array, properties: AmqpProperties, mandatory: boolean, outcome: Outcome): void {
    const confirms = this.#confirms;
    if (confirms === undefined) return outcome.lost(false, notConnected());
    if (!this.#line.isBlocked && this.#waiting.length === 0)
      return confirms.publish(to, body, properties, mandatory, outcome);
    this.#waiting.push({ to, body, properties, mandatory, outcome, until: this.#clock.ticks() + this.#timeoutMs });
    this.#expire();
  }

  /** Resolves when it is stored; rejects with a PutError. */
  put(to: AmqpFields, body: Uint8Array, properties: AmqpProperties, mandatory = true): Promise<void> {
    return new Promise((resolve, reject) => {
      this.publish(
        to,
        body,
        properties,
        mandatory,
        settling(to.exchange === "" ? to.routingKey : to.exchange, resolve, reject),
      );
    });
  }

  /** The same, for what may be there twice: again while the queue has no room, as one that was made a moment ago. */
  async putAgain(to: AmqpFields, body: Uint8Array, properties: AmqpProperties): Promise<void> {
    for (let left = mostAgain; ; left -= 1) {
      try {
        return await this.put(to, body, properties);
      } catch (error) {
        if (left === 0 || (error as PutError).code !== "BUS_FULL") throw error;
        await new Promise<void>((resolve) => void this.#clock.after(againMs, resolve));
      }
    }
  }

  /** What is open is unknown from now on. */
  close(error: unknown): void {
    this.#closed = true;
    this.#watch[Symbol.dispose]();
    this.#confirms?.close(error);
    this.#confirms = undefined;
    this.#drop(error);
  }

  /** Resolves when nothing is open, or the signal aborts. */
  async settled(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#confirms !== undefined && (this.#confirms.size > 0 || this.#waiting.length > 0))
      await new Promise<void>((resolve) => void this.#clock.after(2, resolve));
  }

  async #open(): Promise<void> {
    if (this.#closed) return;
    const channel = await this.#line.confirmChannel();
    const confirms = new Confirms({
      channel,
      clock: this.#clock,
      timeoutMs: this.#timeoutMs,
      learned: this.#learned,
    });
    if (confirms.isClosed) throw notConnected();
    channel.on("close", () => {
      if (this.#confirms !== confirms) return;
      this.#confirms = undefined;
      if (this.#line.isUp && !this.#closed) this.#open().catch(() => undefined); // the line went, and brings another
    });
    this.#confirms = confirms;
    this.#release();
  }

  #release(): void {
    while (!this.#line.isBlocked && this.#confirms !== undefined && this.#waiting.length > 0) {
      const { to, body, properties, mandatory, outcome } = this.#waiting.shift()!;
      this.#confirms.publish(to, body, properties, mandatory, outcome);
    }
  }

  #expire(): void {
    const next = this.#waiting.peek();
    if (this.#timer !== undefined || next === undefined) return;
    this.#timer = this.#clock.after(Math.max(next.until - this.#clock.ticks(), 1), () => {
      this.#timer = undefined;
      const now = this.#clock.ticks();
      while ((this.#waiting.peek()?.until ?? Number.POSITIVE_INFINITY) <= now)
        this.#waiting.shift()!.outcome.lost(
          false,
          new DriverError("BUS_FULL", "rabbitmq: the server takes nothing: it is out of memory or disk", {
            retryable: true,
          }),
        );
      this.#expire();
    });
  }

  #drop(error: unknown): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    while (this.#waiting.length > 0) this.#waiting.shift()!.outcome.lost(false, error);
  }
}

/** The outcome as that of a promise, of what goes to one queue. */
export function settling(place: string, resolve: () => void, reject: (error: PutError) => void): Outcome {
  return {
    stored: resolve,
    returned: () =>
      reject(new PutError("BUS_NOT_FOUND", `rabbitmq: nothing takes what is sent to "${place}"`, false, false)),
    nacked: () => reject(new PutError("BUS_FULL", `rabbitmq: "${place}" has no room`, false, true)),
    lost: (written, error) => reject(asPutError(written, error)),
  };
}

function asPutError(written: boolean, error: unknown): PutError {
  const known = framed(error) ?? error;
  const { code, retryable } = known instanceof DriverError ? known : { code: "BUS_CONNECTION", retryable: true };
  return new PutError(code, error instanceof Error ? error.message : String(error), written, retryable, error);
}
