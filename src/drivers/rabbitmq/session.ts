import type { Clock } from "../../clock.ts";
import type { ConnectContext } from "../../driver.ts";
import { maxMessageBytesOf } from "./capabilities.ts";
import type { AmqpChannel } from "./client.ts";
import { closedError, noAnswer, explained, notConnected } from "./errors.ts";
import { Line } from "./line.ts";
import { logsThere } from "./logs-there.ts";
import { Names } from "./names.ts";
import type { ResolvedOptions } from "./options.ts";
import { Publisher } from "./publisher.ts";
import { quietly } from "./quietly.ts";
import { together } from "./together.ts";

export interface SessionListener {
  /** Both main lines are there again. */
  up?(): void;
  down?(error: unknown): void;
}

const atOnce = 8;
/** A server that takes longer than that for something that is declared, looked at or deleted answers no more. */
const longestMs = 30_000;

/** The four connections of one bus, and what belongs to none of its parts. */
export class Session {
  readonly options: ResolvedOptions;
  readonly context: ConnectContext;
  readonly clock: Clock;
  readonly names: Names;
  /** 32 hex digits. */
  readonly process: string;
  readonly consuming: Line;
  /** A wrong operation on a stream closes the whole connection. */
  readonly reading: Line;
  readonly events: Publisher;
  readonly direct: Publisher;
  /** Letters, notes, definitions, copies. */
  readonly own: Publisher;
  #mostBytes = Number.POSITIVE_INFINITY;
  /** Of the server that it was connected to last. */
  #properties: Readonly<Record<string, unknown>> | undefined;
  readonly #publishing: Line;
  readonly #asking: Line;
  readonly #idle: AmqpChannel[] = [];
  #logs: () => readonly string[] = () => [];
  readonly #listeners = new Set<SessionListener>();
  readonly #closing = new AbortController();
  #isUp = false;

  static async open(options: ResolvedOptions, context: ConnectContext): Promise<Session> {
    const session = new Session(options, context);
    const abort = (): void => session.#closing.abort(context.signal.reason);
    context.signal.addEventListener("abort", abort, { once: true });
    try {
      context.signal.throwIfAborted();
      await session.#publishing.open(); // the second one is refused as the first is, and would be said twice
      await Promise.all([session.consuming, session.reading, session.#asking].map((line) => line.open()));
      session.#isUp = true;
      session.#property("version");
    } catch (error) {
      await session.close(AbortSignal.abort());
      throw error;
    } finally {
      context.signal.removeEventListener("abort", abort);
    }
    return session;
  }

  private constructor(options: ResolvedOptions, context: ConnectContext) {
    this.options = options;
    this.context = context;
    this.clock = context.clock;
    this.names = new Names(context.prefix);
    this.process = randomHex(context.clock);
    const line = (duty: string): Line =>
      new Line({
        options,
        clock: context.clock,
        name: `${context.name} (${context.prefix}, ${duty})`,
        closing: this.#closing.signal,
      });
    this.#publishing = line("publishes");
    this.consuming = line("consumes");
    this.reading = line("reads streams");
    this.#asking = line("declares");
    this.#publishing.before(() => this.logsThere()); // and before a channel that publishes
    const learned = (most: number): void => void (this.#mostBytes = Math.min(this.#mostBytes, most));
    const publisher = (): Publisher =>
      new Publisher(this.#publishing, context.clock, options.confirmTimeoutMs, learned);
    this.events = publisher();
    this.direct = publisher();
    this.own = publisher();
    for (const each of [this.#publishing, this.consuming])
      each.listen({ up: () => this.#up(), down: (error) => this.#down(error) });
    this.#publishing.listen({
      blocked: (blocked) => {
        if (!this.closed) context.status({ type: blocked ? "blocked" : "unblocked" });
      },
    });
    this.#asking.listen({ down: () => void this.#idle.splice(0) });
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** The logs that must be there before anything is published. */
  followLogs(logs: () => readonly string[]): void {
    this.#logs = logs;
  }

  async logsThere(): Promise<void> {
    await logsThere(this.#publishing, this.#logs(), this.clock, this.options.confirmTimeoutMs);
  }

  get isBlocked(): boolean {
    return this.#publishing.isBlocked;
  }

  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Aborts when `close` begins to end the connections. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Of amqplib: the connection that consumes, as it is now. */
  get native(): unknown {
    return this.consuming.connection;
  }

  /** Of a message's body, as far as it is known: an operator's lower limit is learned by the first that it refuses. */
  get maxMessageBytes(): number {
    return Math.min(maxMessageBytesOf(this.version), this.#mostBytes);
  }

  get version(): string {
    return this.#property("version");
  }

  describe(): Readonly<Record<string, string>> {
    return { rabbitmq: this.version, node: this.#property("cluster_name") };
  }

  listen(listener: SessionListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Declares, looks, deletes: on a channel of its own, since what the server refuses closes it. */
  async ask<Value>(work: (channel: AmqpChannel) => Promise<Value>): Promise<Value> {
    if (this.closed) throw closedError();
    const channel = this.#idle.pop() ?? (await this.#newChannel());
    const late = Promise.withResolvers<never>();
    const timer = this.clock.after(longestMs, () => late.reject(noAnswer()));
    try {
      const value = await Promise.race([work(channel), late.promise]);
      if (!this.closed && this.#asking.isUp) this.#idle.push(channel);
      return value;
    } catch (error) {
      quietly(() => channel.close()); // the server did already
      throw explained(error);
    } finally {
      timer[Symbol.dispose]();
    }
  }

  /** Each of many, on some channels at once: the server does one thing at a time on a channel. Nothing of it runs when it rejects. */
  async askEach<Item>(
    items: readonly Item[],
    work: (channel: AmqpChannel, item: Item) => Promise<unknown>,
  ): Promise<void> {
    const turns = Array.from({ length: Math.min(atOnce, items.length) }, (_, turn) => turn);
    await together(
      turns.map((turn) =>
        this.ask(async (channel) => {
          for (const item of items.filter((_, index) => index % atOnce === turn)) await work(channel, item);
        }),
      ),
    );
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.closed && !this.#isUp) return;
    this.#closing.abort(closedError());
    this.#isUp = false;
    for (const publisher of [this.events, this.direct, this.own]) publisher.close(closedError());
    await Promise.all([this.#publishing, this.consuming, this.reading, this.#asking].map((line) => line.close(signal)));
  }

  async #newChannel(): Promise<AmqpChannel> {
    const channel = await this.#asking.channel();
    channel.on("close", () => {
      const at = this.#idle.indexOf(channel);
      if (at >= 0) this.#idle.splice(at, 1);
    });
    return channel;
  }

  #property(name: string): string {
    const properties = (this.consuming.connection ?? this.#publishing.connection)?.connection.serverProperties;
    this.#properties = properties ?? this.#properties;
    if (this.#properties === undefined) throw notConnected();
    const value = this.#properties[name];
    return typeof value === "string" ? value : "unknown";
  }

  #up(): void {
    if (this.#isUp || this.closed || !this.#publishing.isUp || !this.consuming.isUp) return;
    this.#isUp = true;
    this.#property("version"); // while it is there
    this.context.status({ type: "connected" });
    for (const listener of [...this.#listeners]) listener.up?.();
  }

  #down(error: unknown): void {
    if (!this.#isUp || this.closed) return;
    this.#isUp = false;
    this.context.status({ type: "disconnected", error });
    for (const listener of [...this.#listeners]) listener.down?.(error);
  }
}

export function randomHex(clock: Clock): string {
  let text = "";
  for (let count = 0; count < 4; count += 1)
    text += Math.floor(clock.random() * 2 ** 32)
      .toString(16)
      .padStart(8, "0");
  return text;
}
