import type { AmqpChannel, AmqpDelivery } from "./client.ts";
import { classify, connectionLost, isComing } from "./errors.ts";
import { Ledger } from "./ledger.ts";
import { quietly } from "./quietly.ts";
import type { Session } from "./session.ts";

export type Offset = number | "first" | "next" | { readonly time: number };

export interface LogListener {
  record(message: AmqpDelivery, offset: number): void;
  /** It reads no more: the line is gone, or the log (`missing`). Not called after `close`. */
  ended(error: unknown, missing: boolean): void;
}

export const offsetOf = (message: AmqpDelivery): number => Number(message.properties.headers?.["x-stream-offset"]);

const mostTries = 40;
const againMs = 50;
/** Credit that is less than a quarter of what the server may send is given back that late. */
const creditMs = 100;

/** Reads a stream queue from somewhere on, until it is closed. */
export class LogReader {
  readonly #session: Session;
  readonly #queue: string;
  readonly #listener: LogListener;
  readonly #manual: boolean;
  #channel: AmqpChannel | undefined;
  #over = false;
  #last: AmqpDelivery | undefined;
  #acking = false;
  /** Manual: what was released and not told yet. One frame for each message would cost as much as the message. */
  #ledger = new Ledger();
  #released = 0;
  #together = 1;
  #later: Disposable | undefined;

  /** `manual`: the listener gives the credit back, by `release`. */
  constructor(session: Session, queue: string, listener: LogListener, manual = false) {
    this.#session = session;
    this.#queue = queue;
    this.#listener = listener;
    this.#manual = manual;
  }

  /** Resolves when the server has fixed where it begins. */
  async open(from: Offset, prefetch: number): Promise<void> {
    const { clock } = this.#session;
    for (let left = mostTries; ; left -= 1) {
      try {
        return await this.#open(from, prefetch);
      } catch (error) {
        if (left === 0 || this.#over || !this.#isPassing(error)) {
          this.close();
          throw error;
        }
      }
      await new Promise<void>((resolve) => void clock.after(againMs, resolve));
    }
  }

  /** A stream queue that was made a moment ago is not everywhere yet; and what it breaks then is the line of all that read. */
  #isPassing(error: unknown): boolean {
    return isComing(error) || (this.#session.isUp && classify(error).code === "BUS_CONNECTION");
  }

  async #open(from: Offset, prefetch: number): Promise<void> {
    const channel = await this.#session.reading.channel();
    if (this.#over) return quietly(() => channel.close());
    this.#channel = channel;
    this.#ledger = new Ledger();
    this.#released = 0;
    this.#together = Math.max(Math.floor(prefetch / 4), 1);
    let reason: unknown;
    let [isOpen, isGone] = [false, false];
    channel.on("error", (error) => void (reason = error));
    channel.on("close", () => {
      isGone = true;
      if (isOpen && this.#channel === channel) this.#ended(connectionLost(reason), false);
    });
    try {
      await channel.prefetch(prefetch);
      await channel.consume(
        this.#queue,
        (message) => {
          if (this.#channel !== channel) return;
          if (message === null) this.#ended(connectionLost(), true);
          else this.#take(message);
        },
        { arguments: { "x-stream-offset": argumentOf(from) } },
      );
      if (isGone) throw connectionLost(reason);
      isOpen = true;
    } catch (error) {
      if (this.#channel === channel) this.#channel = undefined;
      quietly(() => channel.close());
      throw error;
    }
  }

  /** Credit for one more; each is released once. */
  release({ fields: { deliveryTag } }: AmqpDelivery): void {
    if (this.#over || !this.#ledger.done(deliveryTag)) return;
    this.#released += 1;
    if (this.#released >= this.#together) return this.#tell();
    this.#later ??= this.#session.clock.after(creditMs, () => this.#tell());
  }

  /** Resolves when the server has answered on its channel: what it sent before is here. False: there is none. */
  async answered(prefetch: number): Promise<boolean> {
    try {
      await this.#channel?.prefetch(prefetch);
      return this.#channel !== undefined && !this.#over;
    } catch {
      return false;
    }
  }

  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#later?.[Symbol.dispose]();
    quietly(() => this.#channel?.close());
  }

  #tell(): void {
    this.#later?.[Symbol.dispose]();
    this.#later = undefined;
    this.#released = 0;
    if (this.#over) return;
    const { upTo, single } = this.#ledger.take(0);
    const tell = (deliveryTag: number, all: boolean): void =>
      quietly(() => this.#channel?.ack({ fields: { deliveryTag } }, all));
    if (upTo !== undefined) tell(upTo, true);
    for (const tag of single) tell(tag, false);
  }

  #take(message: AmqpDelivery): void {
    if (this.#over) return;
    if (this.#manual) this.#ledger.delivered(message.fields.deliveryTag);
    this.#listener.record(message, offsetOf(message));
    if (this.#manual) return;
    this.#last = message;
    if (this.#acking) return;
    this.#acking = true;
    this.#session.clock.soon(() => {
      this.#acking = false;
      const last = this.#last;
      if (last !== undefined && !this.#over) quietly(() => this.#channel?.ack(last, true));
    });
  }

  #ended(error: unknown, missing: boolean): void {
    if (this.#over) return;
    this.close();
    this.#listener.ended(error, missing);
  }
}

function argumentOf(from: Offset): unknown {
  return typeof from === "object" ? { "!": "timestamp", value: Math.floor(from.time / 1_000) } : from;
}
