import type { StreamOptions } from "../../driver.ts";
import { isLost } from "./classify.ts";
import type { Session } from "./session.ts";
import type { Streams } from "./streams.ts";

/**
 * The streams that this process said it needs. One whose rows somebody deleted by hand is made again by whoever publishes to it; one
 * that a bus deleted is not: that moved the routing.
 */
export class EnsuredStreams {
  readonly #session: Session;
  readonly #streams: Streams;
  readonly #all = new Map<string, StreamOptions>();
  /** As it was when all of these were there. */
  #routing = "";

  constructor(session: Session, streams: Streams) {
    this.#session = session;
    this.#streams = streams;
    session.onNews("r", () => void this.#look().catch(() => undefined)); // not connected: then nothing is made again
  }

  async add(stream: StreamOptions): Promise<void> {
    this.#all.set(stream.name, stream);
    await this.#look();
  }

  /** Whether it is there now. */
  async restore(name: string): Promise<boolean> {
    if (!this.#all.has(name) || this.#session.context.manage !== "create") return false;
    if ((await this.#streams.routing()) !== this.#routing) {
      await this.#look();
      return this.#all.has(name);
    }
    const stream = this.#all.get(name);
    if (stream === undefined) return false; // a look ended meanwhile
    await this.#streams.ensure(stream, false);
    await this.#look();
    this.#session.context.changed(); // nobody called for it who would read its routes now
    return true;
  }

  /** In another database. */
  async makeAll(): Promise<void> {
    const all = [...this.#all.values()];
    try {
      for (const stream of all)
        await this.#streams.ensure(stream, false).catch((error: unknown) => {
          if (isLost(error)) throw error; // else refused: whoever publishes is told
        });
    } finally {
      // some may have been looked for before they were made
      for (const stream of all) this.#all.set(stream.name, stream);
    }
    await this.#look();
  }

  async #look(): Promise<void> {
    const routing = await this.#streams.routing(); // before the look: what moves meanwhile is looked at again
    const there = new Set((await this.#streams.all()).filter(({ queue }) => !queue).map(({ name }) => name));
    for (const name of this.#all.keys()) if (!there.has(name)) this.#all.delete(name);
    this.#routing = routing;
  }
}
