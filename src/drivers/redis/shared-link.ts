import type { Clock } from "../../clock.ts";
import { asBuffers, isCluster, type RedisClient, type RedisCluster } from "./client.ts";
import { connectionLost, notConnected } from "./errors.ts";
import type { Arg, Link, Reply } from "./link.ts";

const events = ["error", "end", "reconnecting", "node-error"];
const listening = new WeakMap<object, Losses>();

/** Who is told when a client is lost: however many buses share it, it has one listener of ours to each event. */
class Losses {
  readonly #client: RedisClient | RedisCluster;
  readonly #heard = new Set<(error?: unknown) => void>();

  static of(client: RedisClient | RedisCluster): Losses {
    let losses = listening.get(client);
    if (losses === undefined) listening.set(client, (losses = new Losses(client)));
    return losses;
  }

  constructor(client: RedisClient | RedisCluster) {
    this.#client = client;
  }

  add(listener: (error?: unknown) => void): void {
    if (this.#heard.size === 0) for (const event of events) this.#client.on(event, this.#tell);
    this.#heard.add(listener);
  }

  remove(listener: (error?: unknown) => void): void {
    if (!this.#heard.delete(listener) || this.#heard.size > 0) return;
    for (const event of events) this.#client.off(event, this.#tell);
  }

  readonly #tell = (error?: unknown): void => {
    for (const listener of [...this.#heard]) listener(error);
  };
}

/** The user's client: never connected, closed or destroyed by us. What is under way when it is lost is given up here. */
export class SharedLink implements Link {
  readonly #client: RedisClient | RedisCluster;
  readonly #send: (args: readonly Arg[]) => Promise<unknown>;
  readonly #open = new Set<(error: unknown) => void>();
  #lost: ((error: unknown) => void) | undefined;
  #over: unknown = undefined;

  static async open(
    client: RedisClient | RedisCluster,
    base: string,
    lost: (error: unknown) => void,
    timeoutMs: number,
    clock: Clock,
    signal: AbortSignal,
  ): Promise<SharedLink> {
    const link = new SharedLink(client, base);
    const late = clock.after(timeoutMs, () => link.#fail(connectionLost()));
    const abort = (): void => link.#fail(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    try {
      signal.throwIfAborted();
      if (!client.isOpen) throw notConnected();
      await link.command(["PING"]);
    } catch (error) {
      link.destroy();
      throw error;
    } finally {
      late[Symbol.dispose]();
      signal.removeEventListener("abort", abort);
    }
    link.#lost = lost;
    return link;
  }

  private constructor(client: RedisClient | RedisCluster, base: string) {
    this.#client = client;
    if (isCluster(client)) {
      const mapped = client.withTypeMapping(asBuffers) as RedisCluster;
      this.#send = (args) => mapped.sendCommand(base, false, args as Arg[]);
    } else {
      const mapped = client.withTypeMapping(asBuffers) as RedisClient;
      this.#send = (args) => mapped.sendCommand(args);
    }
    Losses.of(client).add(this.#onLoss);
  }

  readonly #onLoss = (error?: unknown): void => {
    const lost = this.#lost;
    this.#fail(connectionLost(error));
    lost?.(error ?? connectionLost());
  };

  command(args: readonly Arg[]): Promise<Reply> {
    if (this.#over !== undefined) return Promise.reject(notConnected(this.#over));
    return new Promise((resolve, reject) => {
      this.#open.add(reject);
      this.#send(args).then(
        (reply) => {
          this.#open.delete(reject);
          resolve(reply as Reply);
        },
        (error: unknown) => {
          this.#open.delete(reject);
          reject(error as Error);
        },
      );
    });
  }

  subscribe(): Promise<void> {
    throw new Error("a client that is shared subscribes to nothing");
  }

  async close(): Promise<void> {
    this.destroy();
  }

  destroy(): void {
    this.#fail(connectionLost());
  }

  #fail(error: unknown): void {
    if (this.#over !== undefined) return;
    this.#over = error;
    this.#lost = undefined;
    Losses.of(this.#client).remove(this.#onLoss);
    for (const reject of this.#open) reject(error);
    this.#open.clear();
  }
}
