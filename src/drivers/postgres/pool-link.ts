import { Calls } from "./calls.ts";
import { ask, lent, type PgPool } from "./client.ts";
import { LineProgress } from "./line-progress.ts";
import { NotSent, type OpenLink, type Row, type Value } from "./link.ts";
import { ofStatement } from "./sqlstate.ts";

export interface PoolLinkOptions {
  readonly poolTimeoutMs: number;
  readonly clock: { ticks(): number; after(ms: number, callback: () => void): Disposable };
  /** Keep one client: it listens. */
  readonly keep: boolean;
  readonly blocked: (blocked: boolean) => void;
}

type Lent = ReturnType<typeof lent>;

/** Calls on clients of the user's pool, each given back when it has answered, and one at a time, so that their order holds. */
export class PoolLink implements OpenLink {
  readonly native: PgPool;
  readonly pid: undefined = undefined;
  readonly #options: PoolLinkOptions;
  readonly #calls: Calls<readonly Row[]>;
  #lost: ((error: unknown) => void) | undefined;
  #kept: Lent | undefined;
  #current: Lent | undefined;
  #sentAt: number | undefined;
  readonly #progress = new LineProgress();
  #notified: ((channel: string, payload: string, pid: number) => void) | undefined;

  constructor(pool: PgPool, options: PoolLinkOptions, lost: (error: unknown) => void) {
    this.native = pool;
    this.#options = options;
    this.#lost = lost;
    this.#calls = new Calls(() => options.clock.ticks());
  }

  get askedAt(): number | undefined {
    if (this.#current === undefined || this.#sentAt === undefined) return undefined;
    const { stream } = this.#current.connection;
    return Math.max(this.#sentAt, this.#progress.last(stream, this.#options.clock.ticks()));
  }

  onNotification(listener: (channel: string, payload: string, pid: number) => void): void {
    this.#notified = listener;
  }

  query(text: string, values?: readonly Value[]): Promise<readonly Row[]> {
    return this.#calls.add(async () => {
      const client = this.#kept ?? (await this.#take());
      if (this.#calls.ended) {
        if (client !== this.#kept) this.#release(client);
        throw new NotSent();
      }
      this.#current = client;
      this.#sentAt = this.#options.clock.ticks(); // the pool's queue is no silence of the server
      try {
        const rows = await ask(client, text, values);
        this.#giveBack(client);
        return rows;
      } catch (error) {
        if (ofStatement(error)) this.#giveBack(client);
        else this.#over(error);
        throw error;
      }
    });
  }

  destroy(): void {
    this.#lost = undefined;
    this.#calls.end(undefined);
    const client = this.#current ?? this.#kept;
    this.#current = this.#kept = undefined;
    if (client === undefined) return;
    client.removeListener("error", this.#onError);
    client.on("error", () => undefined); // of the socket that is destroyed
    client.connection.stream.destroy();
    client.release(true);
  }

  close(): Promise<void> {
    this.#lost = undefined;
    this.#calls.end(undefined);
    const kept = this.#kept;
    this.#kept = undefined;
    if (kept !== undefined) {
      kept.removeListener("error", this.#onError);
      kept.release(true); // it listens: nobody else may have it
    }
    return Promise.resolve();
  }

  readonly #onError = (error: unknown): void => this.#over(error);

  #giveBack(client: Lent): void {
    if (this.#current !== client) return; // destroyed meanwhile
    this.#current = undefined;
    if (this.#options.keep && !this.#calls.ended) {
      this.#kept = client;
      return;
    }
    this.#release(client);
  }

  #release(client: Lent): void {
    client.removeListener("error", this.#onError);
    client.release();
  }

  async #take(): Promise<Lent> {
    const { clock, poolTimeoutMs, blocked } = this.#options;
    const asked = this.native.connect();
    const { promise: late, reject } = Promise.withResolvers<never>();
    let isLate = false;
    const timer = clock.after(poolTimeoutMs, () => {
      isLate = true;
      blocked(true);
      reject(new NotSent(undefined, "BUS_TIMEOUT", `postgres: the pool gave no client within ${poolTimeoutMs} ms`));
    });
    asked.then(
      (client) => {
        if (isLate) lent(client).release();
        blocked(false);
      },
      () => undefined,
    );
    try {
      const client = lent(await Promise.race([asked, late]));
      client.on("error", this.#onError);
      if (this.#options.keep)
        client.on(
          "notification",
          (message: { readonly channel: string; readonly payload?: string; readonly processId: number }) =>
            this.#notified?.(message.channel, message.payload ?? "", message.processId),
        );
      return client;
    } catch (error) {
      throw error instanceof NotSent ? error : new NotSent(error);
    } finally {
      timer[Symbol.dispose]();
    }
  }

  #over(error: unknown): void {
    const lost = this.#lost;
    this.#lost = undefined;
    const client = this.#current ?? this.#kept;
    this.#current = this.#kept = undefined;
    this.#calls.end(error);
    if (client !== undefined) {
      client.removeListener("error", this.#onError);
      client.on("error", () => undefined); // comes several times
      client.release(true);
    }
    lost?.(error);
  }
}
