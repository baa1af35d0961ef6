import type { Clock } from "../../clock.ts";
import type { AmqpConfirm, AmqpConfirmChannel, AmqpFields, AmqpProperties } from "./client.ts";
import { connectionLost } from "./errors.ts";
import { quietly } from "./quietly.ts";
import { PublishFrames } from "./publish-frames.ts";
import { mayNotWrite, type RefusedPlace, refusedPlace, refusedSize, tooLarge } from "./refused-publish.ts";

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
  readonly to: AmqpFields;
  readonly messageId: string | undefined;
}

interface Parts {
  readonly channel: AmqpConfirmChannel;
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** What the server takes at most, when a channel was closed for it. */
  readonly learned?: (mostBytes: number) => void;
}

/** Of what a server without a majority never answers. */
const mostLate = 10_000;

const isThere = (to: AmqpFields, { exchange, routingKey = to.routingKey }: RefusedPlace): boolean =>
  to.exchange === exchange && to.routingKey === routingKey;
const keyOf = ({ exchange, routingKey }: AmqpFields, messageId: string | undefined): string =>
  `${exchange}\n${routingKey}\n${messageId}`;

/**
 * What one channel published and the server did not answer yet. A return comes before the confirm of its message, and without a
 * number of its own: it is found by where it went and its id. Two of the same at once are returned both or not at all.
 */
export class Confirms {
  readonly #parts: Parts;
  readonly #frames: PublishFrames;
  /** By the number that the server counts it by. */
  readonly #open = new Map<number, Open>();
  /** Keys of what was given up and is not answered yet: what is returned may be one of them. */
  readonly #late = new Map<number, string>();
  readonly #returned = new Map<string, number>();
  #next = 1;
  /** All below are answered. */
  #lowest = 1;
  #timer: Disposable | undefined;
  #closed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    const { ch, connection } = parts.channel;
    this.#frames = new PublishFrames(connection.stream, ch, connection.frameMax);
    // the client counts callbacks, of which it has none
    parts.channel.removeAllListeners("ack");
    parts.channel.removeAllListeners("nack");
    parts.channel.on("ack", (answer) => this.#answered(answer, (outcome) => outcome.stored()));
    parts.channel.on("nack", (answer) => this.#answered(answer, (outcome) => outcome.nacked()));
    parts.channel.on("return", ({ fields, properties }) => {
      const key = keyOf(fields, properties.messageId);
      this.#returned.set(key, (this.#returned.get(key) ?? 0) + 1);
    });
    let reason: unknown;
    parts.channel.on("error", (error) => {
      reason = error;
      // before the client calls all of them closed
      const size = refusedSize(error);
      if (size !== undefined) {
        parts.learned?.(size.most);
        this.#refused(({ bytes }) => bytes === size.size, tooLarge(size.most), error);
      }
      const place = refusedPlace(error);
      if (place !== undefined) this.#refused(({ to }) => isThere(to, place), mayNotWrite(place, error), error);
    });
    parts.channel.on("close", () => this.close(connectionLost(reason)));
    // it ended in the turn in which it was opened
    if (connection.channels[ch]?.channel !== parts.channel) this.close(connectionLost());
  }

  get size(): number {
    return this.#open.size;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  publish(to: AmqpFields, body: Uint8Array, properties: AmqpProperties, mandatory: boolean, outcome: Outcome): void {
    if (this.#closed) return outcome.lost(false, connectionLost());
    try {
      this.#frames.publish(to, body, properties, mandatory);
    } catch (error) {
      return outcome.lost(false, error); // a key or headers that are too long
    }
    const { messageId } = properties;
    const since = this.#parts.clock.ticks();
    this.#open.set(this.#next++, { outcome, since, bytes: body.byteLength, to, messageId });
    this.#watch();
  }

  #answered({ deliveryTag, multiple }: AmqpConfirm, tell: (outcome: Outcome) => void): void {
    if (multiple) for (; this.#lowest <= deliveryTag; this.#lowest += 1) this.#end(this.#lowest, tell);
    else this.#end(deliveryTag, tell);
    while (this.#lowest < this.#next && !this.#open.has(this.#lowest) && !this.#late.has(this.#lowest))
      this.#lowest += 1;
  }

  #end(number: number, tell: (outcome: Outcome) => void): void {
    const late = this.#late.get(number);
    if (late !== undefined) {
      this.#late.delete(number);
      this.#takeReturned(late);
    }
    const open = this.#open.get(number);
    if (open === undefined) return;
    this.#open.delete(number);
    if (this.#returned.size > 0 && this.#takeReturned(keyOf(open.to, open.messageId))) open.outcome.returned();
    else tell(open.outcome);
  }

  #takeReturned(key: string): boolean {
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
    for (const [number, open] of this.#open) {
      if (open.since > sentBy) break; // in the order in which they were sent
      this.#open.delete(number);
      this.#late.set(number, keyOf(open.to, open.messageId));
      open.outcome.lost(true, new Error(`no confirm from the server within ${this.#parts.timeoutMs} ms`));
    }
    if (this.#late.size <= mostLate) return;
    this.close(connectionLost()); // first: what is written behind the end of a channel costs its connection
    quietly(() => this.#parts.channel.close()); // another one counts anew
  }

  /**
   * What was sent before it may be stored; itself, and all behind it, the server has not taken. A channel's limits and rights don't
   * change, so it is the first of its kind, and those like it behind it are refused as well.
   */
  #refused(isRefused: (open: Open) => boolean, refusal: unknown, reason: unknown): void {
    let isBehind = false;
    for (const [number, open] of this.#open) {
      isBehind ||= isRefused(open);
      if (!isBehind) continue;
      this.#open.delete(number);
      open.outcome.lost(false, isRefused(open) ? refusal : connectionLost(reason));
    }
    this.close(connectionLost(reason));
  }

  /** Nothing is answered any more, and what was not written never is. */
  close(error: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    const unwritten = this.#frames.close();
    this.#timer?.[Symbol.dispose]();
    const open = [...this.#open];
    this.#open.clear();
    this.#late.clear();
    const written = this.#next - unwritten;
    for (const [number, { outcome }] of open) outcome.lost(number < written, error);
  }
}
