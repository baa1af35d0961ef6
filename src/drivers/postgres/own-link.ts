import { Calls } from "./calls.ts";
import { ask, clean, type PgClient, type PgModule } from "./client.ts";
import type { OpenLink, Row, Value } from "./link.ts";
import { ofStatement } from "./sqlstate.ts";

/** One connection of our own. Once it is lost it is over; another one takes its place. */
export class OwnLink implements OpenLink {
  readonly #client: PgClient;
  readonly #calls: Calls<readonly Row[]>;
  #lost: ((error: unknown) => void) | undefined;

  private constructor(client: PgClient, ticks: () => number, lost: (error: unknown) => void) {
    this.#client = client;
    this.#calls = new Calls(ticks);
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
    const link = new OwnLink(client, ticks, lost);
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
    return this.#calls.askedAt;
  }

  onNotification(listener: (channel: string, payload: string, pid: number) => void): void {
    this.#client.on(
      "notification",
      (message: { readonly channel: string; readonly payload?: string; readonly processId: number }) =>
        listener(message.channel, message.payload ?? "", message.processId),
    );
  }

  query(text: string, values?: readonly Value[]): Promise<readonly Row[]> {
    return this.#calls.add(async () => {
      try {
        return await ask(this.#client, text, values);
      } catch (error) {
        // after any other the socket still takes what nobody reads
        if (!ofStatement(error)) this.#over(error);
        throw error;
      }
    });
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
