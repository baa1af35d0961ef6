import { DriverError } from "../../internal/driver-error.ts";
import { Fifo } from "../../internal/fifo.ts";
import type { FullStream } from "./control-fold.ts";
import type { Keeper } from "./keeper.ts";

interface Waiting {
  go(): void;
  refuse(error: unknown): void;
}

/**
 * How many more a stream takes, where their number is limited: what this process was granted when it last looked. So the limit is
 * exact for one publisher, and passed by as much as the others were granted meanwhile for several.
 */
export class Room {
  readonly #keeper: Keeper;
  readonly #granted = new Map<string, number>();
  readonly #waiting = new Map<string, Fifo<Waiting>>();

  constructor(keeper: Keeper) {
    this.#keeper = keeper;
  }

  /** In the order of the calls, at once where nothing is limited. */
  admit(stream: FullStream, waiting: Waiting): void {
    const { name, maxMessages } = stream;
    if (maxMessages === undefined) return waiting.go();
    const queue = this.#waiting.get(name);
    if (queue !== undefined) return queue.push(waiting);
    const granted = this.#granted.get(name) ?? 0;
    if (granted > 0) {
      this.#granted.set(name, granted - 1);
      return waiting.go();
    }
    const begun = new Fifo<Waiting>();
    begun.push(waiting);
    this.#waiting.set(name, begun);
    void this.#look(stream, maxMessages, begun);
  }

  async #look(stream: FullStream, most: number, queue: Fifo<Waiting>): Promise<void> {
    while (queue.length > 0) {
      let error: unknown;
      let granted = 0;
      try {
        granted = await this.#keeper.makeRoom(stream, most);
        if (granted === 0)
          error = new DriverError("BUS_FULL", `kafka: the stream "${stream.name}" has ${most} messages`, {
            retryable: true,
          });
      } catch (caught) {
        error = caught;
      }
      if (error !== undefined) {
        for (let next = queue.shift(); next !== undefined; next = queue.shift()) next.refuse(error);
        break;
      }
      for (; granted > 0 && queue.length > 0; granted -= 1) queue.shift()!.go();
      this.#granted.set(stream.name, granted);
    }
    this.#waiting.delete(stream.name);
  }
}
