import type { Clock } from "../../clock.ts";
import type { AmqpConfirmChannel, AmqpFields, AmqpProperties } from "./client.ts";
import { connectionLost } from "./errors.ts";
import { HeaderTables } from "./header-tables.ts";
import { type RefusedSize, refusedSize, tooLarge } from "./refused-size.ts";

/** Of one publish; exactly one of them is called, once. */
export interface Outcome {
  stored(): void;
  /** In no queue at all: nothing is bound that takes it. */
  returned(): void;
  /** At least one queue refused it, others may have it. */
  nacked(): void;
  /** `written` false: it was certainly never sent. */
  lost(written: boolean, error: unknown): void;
}

interface Open {
  readonly outcome: Outcome;
  readonly since: number;
  readonly bytes: number;
}

interface Parts {
  readonly channel: AmqpConfirmChannel;
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** What the server takes at most, when a channel was closed for it. */
  readonly learned?: (mostBytes: number) => void;
}

const keyOf = ({ exchange, routingKey }: AmqpFields, messageId: string | undefined): string =>
  `${exchange}\n${routingKey}\n${messageId}`;

/**
 * What one channel published and the server did not answer yet. A return comes before the confirm of its message, and without a
 * number of its own: it is found by where it went and its id. Two of the same at once are returned both or not at all.
 */
export class Confirms {
  readonly #parts: Parts;
  readonly #open = new Map<number, Open>();
  readonly #returned = new Map<string, number>();
  readonly #tables = new HeaderTables();
  #next = 0;
  #timer: Disposable | undefined;
  #closed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    parts.channel.on("return", ({ fields, properties }) => {
      const key = keyOf(fields, properties.messageId);
      this.#returned.set(key, (this.#returned.get(key) ?? 0) + 1);
    });
    let reason: unknown;
    parts.channel.on("error", (error) => {
      reason = error;
      const refused = refusedSize(error);
      if (refused === undefined) return;
      parts.learned?.(refused.most);
      this.#refused(refused, error); // before the client calls all of them closed
    });
    parts.channel.on("close", () => this.close(new Error("the channel was closed", { cause: reason })));
  }

  get size(): number {
    return this.#open.size;
  }

  /** False: the socket is full, and `drain` says when it has room. */
  publish(to: AmqpFields, body: Uint8Array, properties: AmqpProperties, mandatory: boolean, outcome: Outcome): boolean {
    const { channel, clock } = this.#parts;
    if (this.#closed) {
      outcome.lost(false, new Error("the channel was closed"));
      return true;
    }
    const number = this.#next++;
    this.#open.set(number, { outcome, since: clock.ticks(), bytes: body.byteLength });
    const key = keyOf(to, properties.messageId);
    const { headers } = properties;
    try {
      const hasRoom = channel.publish(
        to.exchange,
        to.routingKey,
        bufferOf(body),
        headers === undefined
          ? { ...properties, mandatory }
          : { ...properties, headers: this.#tables.of(headers), mandatory },
        (error) => this.#answered(number, key, error),
      );
      this.#watch();
      return hasRoom;
    } catch (error) {
      // Thrown before anything is written: a key or headers that are too long, or a channel that just ended.
      this.#open.delete(number);
      outcome.lost(false, error);
      return true;
    }
  }

  #answered(number: number, key: string, error: unknown): void {
    const wasReturned = this.#takeReturned(key);
    const open = this.#open.get(number);
    this.#open.delete(number);
    if (open === undefined) return; // late: given up before
    if (wasReturned) open.outcome.returned();
    else if (error === undefined || error === null) open.outcome.stored();
    else if (isNack(error)) open.outcome.nacked();
    else open.outcome.lost(true, error);
  }

  #takeReturned(key: string): boolean {
    if (this.#returned.size === 0) return false;
    const count = this.#returned.get(key) ?? 0;
    if (count === 1) this.#returned.delete(key);
    else if (count > 1) this.#returned.set(key, count - 1);
    return count > 0;
  }

  /** One timer for all: for the oldest. */
  #watch(): void {
    if (this.#timer !== undefined || this.#closed) return;
    const [oldest] = this.#open.values();
    if (oldest === undefined) return;
    const { clock, timeoutMs } = this.#parts;
    this.#timer = clock.after(Math.max(oldest.since + timeoutMs - clock.ticks(), 1), () => {
      this.#timer = undefined;
      this.#giveUp(clock.ticks() - timeoutMs);
      this.#watch();
    });
  }

  #giveUp(sentBy: number): void {
    for (const [number, { outcome, since }] of this.#open) {
      if (since > sentBy) return; // in the order in which they were sent
      this.#open.delete(number);
      outcome.lost(true, new Error(`no confirm from the server within ${this.#parts.timeoutMs} ms`));
    }
  }

  /**
   * What was sent before it may be stored; itself, and all behind it, the server has not taken. A channel's limit does not change, so it
   * is the first of its size.
   */
  #refused({ size, most }: RefusedSize, reason: unknown): void {
    let isBehind = false;
    for (const [number, { outcome, bytes }] of this.#open) {
      if (isBehind) outcome.lost(false, connectionLost(reason));
      else if (bytes === size) outcome.lost(false, tooLarge(most));
      else continue;
      isBehind = true;
      this.#open.delete(number);
    }
    this.close(connectionLost(reason));
  }

  /** Nothing is answered any more. */
  close(error: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const { outcome } of open) outcome.lost(true, error);
  }
}

/** The client takes nothing else. */
const bufferOf = (body: Uint8Array): Buffer =>
  Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength);

/** amqplib gives it no code, and nothing else that tells it from the end of a channel. */
const isNack = (error: unknown): boolean => error instanceof Error && error.message === "message nacked";
