import { isCluster, type RedisClient, type RedisCluster } from "./client.ts";
import { connectionLost, replyWord } from "./errors.ts";
import type { Arg, Link, Reply } from "./link.ts";

/** A client of ours, of one server or of a cluster. It doesn't connect again: its session makes another one. */
export class ClientLink implements Link {
  readonly client: RedisClient | RedisCluster;
  readonly #base: string;
  readonly #cluster: RedisCluster | undefined;
  #lost: ((error: unknown) => void) | undefined;
  #pending = 0;
  #drained: (() => void) | undefined;

  /** `lost` is called once at most, and not after `close` or `destroy`. */
  static async open(
    client: RedisClient | RedisCluster,
    base: string,
    lost: (error: unknown) => void,
    signal: AbortSignal,
  ): Promise<ClientLink> {
    const link = new ClientLink(client, base);
    const { promise: givenUp, reject } = Promise.withResolvers<never>();
    const destroy = (): void => {
      link.destroy();
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", destroy, { once: true });
    try {
      signal.throwIfAborted();
      // while TLS is being agreed on, its end does not end the attempt
      const connecting = client.connect().then(() => {
        if (signal.aborted) link.destroy();
      });
      await Promise.race([connecting, givenUp]);
      signal.throwIfAborted();
    } catch (error) {
      link.destroy();
      throw error;
    } finally {
      signal.removeEventListener("abort", destroy);
    }
    link.#lost = lost;
    return link;
  }

  private constructor(client: RedisClient | RedisCluster, base: string) {
    this.client = client;
    this.#base = base;
    this.#cluster = isCluster(client) ? client : undefined;
    // an `error` that nobody listens to would end the process
    client.on("error", this.#onError);
    client.on("end", this.#onError);
    client.on("node-error", this.#onError);
  }

  readonly #onError = (error?: unknown): void => {
    const lost = this.#lost;
    this.#lost = undefined;
    lost?.(error ?? connectionLost());
  };

  command(args: readonly Arg[]): Promise<Reply> {
    const { client } = this;
    const answer =
      this.#cluster === undefined
        ? (client as RedisClient).sendCommand(args)
        : this.#cluster.sendCommand(this.#base, false, args as Arg[]).catch(this.#ofNode);
    return this.#asked(answer as Promise<Reply>);
  }

  async subscribe(channel: string, listener: (message: Buffer) => void): Promise<void> {
    // the client makes nothing but Buffers
    await this.#asked(this.client.sSubscribe(channel, (message) => listener(message as Buffer), true));
  }

  #asked<Answer>(answer: Promise<Answer>): Promise<Answer> {
    this.#pending += 1;
    answer.then(this.#answered, this.#answered);
    return answer;
  }

  readonly #answered = (): void => {
    this.#pending -= 1;
    if (this.#pending === 0) this.#drained?.();
  };

  /** After the answers that are missing, unless they can't come: a client that closes does not notice that its line ends. */
  async close(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return this.destroy();
    const { promise, resolve } = Promise.withResolvers<void>();
    const end = (): void => {
      this.destroy();
      resolve();
    };
    this.#lost = end;
    signal.addEventListener("abort", end, { once: true });
    try {
      const drained = new Promise<void>((all) => (this.#drained = all));
      if (this.#pending > 0) await Promise.race([drained, promise]);
      await Promise.race([this.client.close().catch(end), promise]);
    } finally {
      this.#lost = undefined;
      signal.removeEventListener("abort", end);
    }
  }

  destroy(): void {
    this.#lost = undefined;
    try {
      this.client.destroy();
    } catch {
      // it was never open, or is closed already
    }
  }

  /** All our keys are on one node: what breaks its connection breaks ours. */
  readonly #ofNode = (error: unknown): never => {
    if (replyWord(error) === undefined) this.#onError(error);
    throw error;
  };
}
