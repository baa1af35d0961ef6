import type { Clock } from "../../clock.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { AmqpChannel, AmqpConfirmChannel, AmqpConnection } from "./client.ts";
import { classify, closedError, connectionLost, notConnected } from "./errors.ts";
import { openConnection } from "./open-connection.ts";
import type { ResolvedOptions } from "./options.ts";

export interface LineListener {
  up?(): void;
  /** Whatever was open on it is rejected already, or will be in this turn. */
  down?(error: unknown): void;
  blocked?(blocked: boolean): void;
}

interface Parts {
  readonly options: ResolvedOptions;
  readonly clock: Clock;
  /** As the server shows it. */
  readonly name: string;
  readonly closing: AbortSignal;
}

const firstWaitMs = 50;
const longestWaitMs = 2_000;
const refusedWaitMs = 5_000;

/** One connection, made again for ever once it has been there. */
export class Line {
  readonly #parts: Parts;
  readonly #listeners = new Set<LineListener>();
  /** What has to be there on a connection before it counts. */
  readonly #setups: ((line: Line) => Promise<void>)[] = [];
  #connection: AmqpConnection | undefined;
  #opening: Promise<void> | undefined;
  #isUp = false;
  #blocked = false;
  #retry: Disposable | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  get isBlocked(): boolean {
    return this.#blocked;
  }

  get connection(): AmqpConnection | undefined {
    return this.#connection;
  }

  listen(listener: LineListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  before(setup: (line: Line) => Promise<void>): void {
    this.#setups.push(setup);
  }

  /** The first try rejects; later ones go on by themselves. */
  open(): Promise<void> {
    const opening = (this.#opening ??= this.#connect());
    opening.catch(() => {
      if (this.#opening === opening) this.#opening = undefined;
    });
    return opening;
  }

  async channel(): Promise<AmqpChannel> {
    const channel = await (await this.#now()).createChannel();
    channel.on("error", () => undefined); // `close` follows it
    return channel;
  }

  async confirmChannel(): Promise<AmqpConfirmChannel> {
    const channel = await (await this.#now()).createConfirmChannel();
    channel.on("error", () => undefined); // `close` follows it
    const { ch, connection } = channel as Partial<AmqpConfirmChannel>;
    const { frameMax, stream, channels } = connection ?? {};
    if (typeof ch !== "number" || typeof frameMax !== "number" || stream?.write === undefined || channels === undefined)
      throw new DriverError("BUS_CLIENT_MISSING", "rabbitmq: this is no amqplib 2.3: npm install amqplib@2.3");
    return channel;
  }

  /** By force: everything that is open on it fails. */
  destroy(error: Error): void {
    this.#connection?.connection.stream?.destroy(error);
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#retry?.[Symbol.dispose]();
    await this.#opening?.catch(() => undefined); // it ends by the same signal
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#forget();
    const closed = connection.close().catch(() => undefined); // closed already
    const aborted = Promise.withResolvers<void>();
    const abort = (): void => {
      connection.connection.stream?.destroy(closedError());
      aborted.resolve();
    };
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    await Promise.race([closed, aborted.promise]);
    signal.removeEventListener("abort", abort);
  }

  async #now(): Promise<AmqpConnection> {
    if (this.#parts.closing.aborted) throw closedError();
    if (this.#connection === undefined && this.#retry === undefined) await this.open();
    if (this.#connection === undefined) throw notConnected();
    return this.#connection;
  }

  async #connect(): Promise<void> {
    const { options, name, closing } = this.#parts;
    const connection = await openConnection(options, name, closing);
    this.#connection = connection;
    connection.on("close", (error) => this.#lost(connection, error ?? connectionLost()));
    connection.on("blocked", () => this.#block(true));
    connection.on("unblocked", () => this.#block(false));
    try {
      for (const setup of this.#setups) await setup(this);
      if (this.#connection !== connection) throw connectionLost();
      closing.throwIfAborted();
    } catch (error) {
      this.#forget();
      connection.close().catch(() => undefined);
      throw error;
    }
    this.#isUp = true;
  }

  #block(blocked: boolean): void {
    if (this.#blocked === blocked) return;
    this.#blocked = blocked;
    for (const listener of [...this.#listeners]) listener.blocked?.(blocked);
  }

  #forget(): void {
    this.#connection = undefined;
    this.#isUp = false;
    this.#block(false);
  }

  #lost(connection: AmqpConnection, error: unknown): void {
    if (this.#connection !== connection) return;
    const wasUp = this.#isUp;
    this.#forget();
    if (!wasUp) return; // who opens it is told
    for (const listener of [...this.#listeners]) listener.down?.(error);
    this.#again(firstWaitMs, classify(error).code);
  }

  #again(waitMs: number, code: string): void {
    const { clock, closing } = this.#parts;
    if (closing.aborted) return;
    const wait = code === "BUS_AUTHENTICATION" ? refusedWaitMs : waitMs;
    this.#retry = clock.after(wait * (0.5 + clock.random() / 2), () => {
      this.#opening = this.#connect();
      this.#opening.then(
        () => {
          this.#retry = undefined;
          if (!closing.aborted) for (const listener of [...this.#listeners]) listener.up?.();
        },
        (failure: unknown) => this.#again(Math.min(waitMs * 2, longestWaitMs), classify(failure).code),
      );
    });
  }
}
