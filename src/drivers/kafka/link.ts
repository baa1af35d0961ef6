import type { Clock } from "../../clock.ts";
import type { ClientModule, KafkaApi, KafkaConnection, SaslOptions } from "./client.ts";
import { NoAnswer } from "./errors.ts";

export interface Host {
  readonly host: string;
  readonly port: number;
}

export interface LinkOptions {
  readonly clientId: string;
  /** As `node:tls` takes them; undefined: without TLS. */
  readonly tls: object | undefined;
  readonly sasl: SaslOptions | undefined;
  readonly connectTimeoutMs: number;
}

const never = 2 ** 31 - 1;

/**
 * One connection to one broker. What is asked is answered or rejects, with `NoAnswer` when the connection or the time was over;
 * nothing is tried again. Brokers answer the requests of a connection one after another, so what waits there has its own.
 */
export class Link {
  readonly #connection: KafkaConnection;
  readonly #clock: Clock;
  readonly #lost = Promise.withResolvers<unknown>();
  #isUp = true;
  #dropped = false;
  /** What the client says with its first event: of a TLS alert a request says "Connection closed" only. */
  #reason: unknown;

  private constructor(connection: KafkaConnection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
    // without a listener an error that comes later ends the process
    connection.on("error", (error) => (this.#reason ??= error));
    connection.on("close", () => {
      this.#isUp = false;
      this.#lost.resolve(this.#reason);
    });
  }

  /** Rejects with the client's error, or when the signal aborts; leaves nothing open then. */
  static async open(
    module: ClientModule,
    { host, port }: Host,
    options: LinkOptions,
    clock: Clock,
    signal: AbortSignal,
  ): Promise<Link> {
    signal.throwIfAborted();
    const { clientId, connectTimeoutMs, tls, sasl } = options;
    const connection = new module.Connection(clientId, {
      connectTimeout: connectTimeoutMs,
      requestTimeout: never, // it would end the connection, whatever else is under way on it: ours does it knowingly
      maxInflights: 10_000,
      ...(tls === undefined ? {} : { tls }),
      ...(sasl === undefined ? {} : { sasl }),
    });
    const link = new Link(connection, clock);
    const { promise, reject } = Promise.withResolvers<never>();
    const giveUp = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", giveUp, { once: true });
    // the client counts its time for the socket only, not for the password
    const timer = clock.after(connectTimeoutMs, () =>
      reject(new NoAnswer(`no connection to ${host}:${port} in time`, false, { timedOut: true })),
    );
    try {
      await Promise.race([connection.connect(host, port), promise]);
      return link;
    } catch (error) {
      link.destroy();
      throw error;
    } finally {
      timer[Symbol.dispose]();
      signal.removeEventListener("abort", giveUp);
    }
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Called when it falls with a request under way, or is silent over one. */
  fell: ((error: unknown) => void) | undefined = undefined;

  /** Resolves when it is over, with the reason if there is one. */
  get lost(): Promise<unknown> {
    return this.#lost.promise;
  }

  /** After `withinMs` without an answer the connection is over, and with it what else is under way. */
  async ask<Args extends readonly unknown[], Answer>(
    message: { readonly api: KafkaApi<Args, Answer> },
    args: Args,
    withinMs: number,
  ): Promise<Answer> {
    if (!this.#isUp) throw new NoAnswer("not connected", false, { cause: this.#reason });
    let timedOut = false;
    const timer = this.#clock.after(withinMs, () => {
      timedOut = true;
      this.#end();
    });
    try {
      return await message.api.async(this.#connection, ...args);
    } catch (error) {
      if (!isLoss(error)) throw error;
      this.#end();
      const lost = new NoAnswer(timedOut ? `no answer within ${withinMs} ms` : "the connection was lost", true, {
        timedOut,
        cause: this.#reason ?? error,
      });
      if (!this.#dropped) this.fell?.(lost);
      throw lost;
    } finally {
      timer[Symbol.dispose]();
    }
  }

  /** At once; what is under way rejects. */
  destroy(): void {
    this.#dropped = true;
    this.#end();
  }

  #end(): void {
    this.#isUp = false;
    this.#connection.socket?.destroy();
    this.#lost.resolve(this.#reason);
  }
}

/** Not an answer, if only of an error. `USER`: what answers speaks TLS. */
const isLoss = (error: unknown): boolean =>
  /^PLT_KFK_(?:NETWORK|TIMEOUT|USER)$/.test(String((error as { readonly code?: unknown }).code));
