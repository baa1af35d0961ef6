import type { AmqpArguments, AmqpChannel, AmqpDelivery } from "./client.ts";
import { connectionLost } from "./errors.ts";
import { Ledger } from "./ledger.ts";
import { quietly } from "./quietly.ts";
import type { Session } from "./session.ts";

export interface HolderListener {
  message(raw: AmqpDelivery, queue: string): void;
  /** The channel is gone, and with it all that it held. Not called after `close`. */
  ended(error: unknown): void;
  /** The server took the consumer away: its queue is gone. */
  cancelled(queue: string): void;
}

/** What was dealt with is told that late at most. */
const togetherMs = 5;
const mostTogether = 64;
const closeMs = 5_000;

/** One channel that consumes: what it holds at the server is acknowledged by its numbers, or returned when it is closed. */
export class Holder {
  readonly #session: Session;
  readonly #listener: HolderListener;
  readonly #channel: AmqpChannel;
  readonly #ledger = new Ledger();
  readonly #queues = new Map<string, string>();
  /** Of all its consumers. */
  #prefetch = 0;
  readonly #prefetches = new Map<string, number>();
  #over = false;
  #telling = false;
  /** Dealt with, and not told yet. */
  #untold = 0;
  #told = Number.NEGATIVE_INFINITY;
  #later: Disposable | undefined;

  static async open(session: Session, listener: HolderListener): Promise<Holder> {
    return new Holder(session, await session.consuming.channel(), listener);
  }

  private constructor(session: Session, channel: AmqpChannel, listener: HolderListener) {
    this.#session = session;
    this.#channel = channel;
    this.#listener = listener;
    let reason: unknown;
    channel.on("error", (error) => void (reason = error));
    channel.on("close", () => {
      if (this.#over) return;
      this.#end();
      listener.ended(connectionLost(reason));
    });
  }

  /** What is acknowledged here still counts. */
  get alive(): boolean {
    return !this.#over;
  }

  /** A further consumer of this channel. */
  async consume(queue: string, prefetch: number, args?: AmqpArguments): Promise<string> {
    this.#prefetch += prefetch;
    await this.#channel.prefetch(prefetch);
    const { consumerTag } = await this.#channel.consume(
      queue,
      (raw) => {
        if (this.#over) return;
        if (raw === null) return this.#listener.cancelled(queue);
        this.#ledger.delivered(raw.fields.deliveryTag);
        this.#listener.message(raw, queue);
      },
      args === undefined ? {} : { arguments: args },
    );
    this.#queues.set(consumerTag, queue);
    this.#prefetches.set(consumerTag, prefetch);
    return consumerTag;
  }

  async cancel(consumerTag: string): Promise<void> {
    this.#queues.delete(consumerTag);
    this.#prefetch -= this.#prefetches.get(consumerTag) ?? 0;
    this.#prefetches.delete(consumerTag);
    if (!this.#over) await this.#channel.cancel(consumerTag);
  }

  /**
   * It is acknowledged at the end of this turn, or with what else these milliseconds bring when something was a moment ago: a frame
   * for each would cost as much as a message.
   */
  done(tag: number): void {
    if (this.#over || !this.#ledger.done(tag)) return;
    this.#untold += 1;
    if (this.#telling) return;
    const { clock } = this.#session;
    if (this.#untold < this.#together) {
      if (this.#later !== undefined) return;
      const leftMs = this.#told + togetherMs - clock.ticks();
      if (leftMs > 0) return this.#tellLater(leftMs);
    }
    this.#telling = true;
    clock.soon(() => this.#tell(this.#together));
  }

  /** What was dealt with is on its way to the server before what the caller waits for next. */
  tell(): void {
    this.#tell(0);
  }

  /** Never so much that the server waits for it. */
  get #together(): number {
    return Math.min(this.#prefetch / 4, mostTogether);
  }

  #tellLater(ms: number): void {
    this.#later ??= this.#session.clock.after(ms, () => {
      this.#later = undefined;
      this.#tell(0);
    });
  }

  /** Resolves when the server has all acknowledgements given so far. */
  async flush(): Promise<void> {
    if (this.#over) return;
    this.#tell(0);
    await this.#channel.prefetch(this.#prefetch).catch(() => undefined); // the channel is gone: they come again
  }

  /** Returns what is held, and hands over, in one step. Resolves when the server has done so, or takes too long to say it. */
  async close(): Promise<void> {
    if (this.#over) return;
    this.#tell(0);
    this.#end();
    const late = Promise.withResolvers<void>();
    const timer = this.#session.clock.after(closeMs, late.resolve);
    try {
      await Promise.race([this.#channel.close(), late.promise]);
    } catch {
      // gone already
    } finally {
      timer[Symbol.dispose]();
    }
  }

  /** Those above an open one wait for it, when they are not more than `scattered`. */
  #tell(scattered: number): void {
    this.#telling = false;
    this.#untold = 0;
    this.#told = this.#session.clock.ticks();
    if (this.#over) return;
    const { upTo, single } = this.#ledger.take(scattered);
    const tell = (deliveryTag: number, all: boolean): void =>
      quietly(() => this.#channel.ack({ fields: { deliveryTag } }, all));
    if (upTo !== undefined) tell(upTo, true);
    for (const tag of single) tell(tag, false);
    if (scattered > 0 && this.#ledger.size > 0) this.#tellLater(togetherMs);
  }

  #end(): void {
    this.#over = true;
    this.#later?.[Symbol.dispose]();
  }
}
