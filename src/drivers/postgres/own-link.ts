import { Calls } from "./calls.ts";
import { askOwn, clean, type PgClient, type PgModule } from "./client.ts";
import { LineProgress } from "./line-progress.ts";
import type { OpenLink, Row, Value } from "./link.ts";
import { ofStatement } from "./sqlstate.ts";

/** One connection of our own. Once it is lost it is over; another one takes its place. */
export class OwnLink implements OpenLink {
  readonly #module: PgModule;
  readonly #client: PgClient;
  /** Names of statements that the server keeps. */
  readonly #kept = new Map<string, string>();
  readonly #calls: Calls<readonly Row[]>;
  readonly #progress = new LineProgress();
  readonly #ticks: () => number;
  #lost: ((error: unknown) => void) | undefined;

  private constructor(module: PgModule, client: PgClient, ticks: () => number, lost: (error: unknown) => void) {
    this.#module = module;
    this.#client = client;
    this.#calls = new Calls(ticks);
    this.#ticks = ticks;
    this.#lost = lost;
  }

  /** One try; a rejected one leaves nothing open. `lost` is called once at most, and not after `close` or `destroy`. */
  static async open(
    module: PgModule,
    options: object,
    lost: (error: unknown) => void,
    ticks: () => number = () => 0,
    signal?: AbortSignal,
  ): Promise<OwnLink> {
    const client = new module.Client(options);
    const link = new OwnLink(module, client, ticks, lost);
    // comes several times, and without a listener would end the process
    client.on("error", (error: unknown) => link.#over(clean(error)));
    client.on("end", () => link.#over(new Error("the server closed the connection")));
    const { promise: givenUp, reject } = Promise.withResolvers<never>();
    const giveUp = (): void => reject(signal?.reason as Error);
    signal?.addEventListener("abort", giveUp, { once: true });
    try {
      signal?.throwIfAborted();
      await Promise.race([client.connect(), givenUp]);
    } catch (error) {
      link.destroy();
      throw clean(error);
    } finally {
      signal?.removeEventListener("abort", giveUp);
    }
    return link;
  }

  get native(): unknown {
    return this.#client;
  }

  get pid(): number | undefined {
    return this.#client.processID ?? undefined;
  }

  get askedAt(): number | undefined {
    const { askedAt } = this.#calls;
    if (askedAt === undefined) return undefined;
    return Math.max(askedAt, this.#progress.last(this.#client.connection.stream, this.#ticks()));
  }

  onNotification(listener: (channel: string, payload: string, pid: number) => void): void {
    this.#client.on(
      "notification",
      (message: { readonly channel: string; readonly payload?: string; readonly processId: number }) =>
        listener(message.channel, message.payload ?? "", message.processId),
    );
  }

  query(text: string, values?: readonly Value[], kept = false): Promise<readonly Row[]> {
    return this.#calls.add(async () => {
      try {
        return await askOwn(this.#module, this.#client, text, values, kept ? this.#nameOf(text) : undefined);
      } catch (error) {
        // after any other the socket still takes what nobody reads
        if (!ofStatement(error)) this.#over(error);
        throw error;
      }
    });
  }

  #nameOf(text: string): string {
    let name = this.#kept.get(text);
    if (name === undefined) this.#kept.set(text, (name = `omnibus_${this.#kept.size}`));
    return name;
  }

  /** `end` of the client would leave what is open pending. */
  destroy(): void {
    this.#lost = undefined;
    this.#calls.end(undefined);
    this.#client.connection.stream.destroy();
  }

  async close(): Promise<void> {
    this.#lost = undefined;
    this.#calls.end(undefined);
    await this.#client.end();
  }

  #over(error: unknown): void {
    const lost = this.#lost;
    this.#lost = undefined;
    this.#calls.end(error);
    lost?.(error);
  }
}
