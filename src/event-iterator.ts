import type { BusError } from "./errors.ts";
import type { BusEvent } from "./event.ts";
import type { Delivery } from "./handler.ts";
import { Fifo } from "./internal/fifo.ts";
import { handBack } from "./work.ts";

interface Offer {
  readonly event: BusEvent;
  readonly settle: () => void;
  readonly giveBack: () => void;
  readonly served: () => void;
}

const longestMs = 2 ** 31 - 1;

/** Events as an async iterator: asking for the next settles the one before; leaving the loop hands back what is open. */
export class EventIterator implements AsyncIterableIterator<BusEvent>, AsyncDisposable {
  readonly #offers = new Fifo<Offer>();
  readonly #asking = new Fifo<{
    readonly resolve: (result: IteratorResult<BusEvent>) => void;
    readonly reject: (error: unknown) => void;
  }>();
  readonly #limitMs: number;
  #current: Offer | undefined;
  #ended: Promise<unknown> | undefined;
  #failure: BusError | undefined;
  #unsubscribe: () => Promise<unknown> = () => Promise.resolve();

  /** `limitMs`: of the loop's body, from when it got the event. */
  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  /** The handler that feeds it: runs as long as the loop's body does. */
  readonly handle = (event: BusEvent, { signal, extend }: Pick<Delivery, "signal" | "extend">): Promise<void> =>
    new Promise((resolve, reject) => {
      const giveBack = (): void => reject(handBack);
      if (this.#ended !== undefined) return giveBack();
      extend(longestMs); // it only waits to be asked for
      const offer: Offer = { event, settle: resolve, giveBack, served: () => extend(this.#limitMs) };
      signal.addEventListener("abort", () => this.#withdraw(offer), { once: true });
      this.#offers.push(offer);
      this.#serve();
    });

  whenDone(unsubscribe: () => Promise<unknown>): void {
    this.#unsubscribe = unsubscribe;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<BusEvent>> {
    this.#current?.settle();
    this.#current = undefined;
    return new Promise((resolve, reject) => {
      this.#asking.push({ resolve, reject });
      this.#serve();
    });
  }

  async return(): Promise<IteratorResult<BusEvent>> {
    await this.end(undefined);
    return { done: true, value: undefined };
  }

  /** The loop ends, or its next step throws `failure`. Resolves when it is unsubscribed. */
  end(failure: BusError | undefined): Promise<unknown> {
    if (this.#ended !== undefined) return this.#ended;
    this.#failure = failure;
    const ended = Promise.withResolvers<unknown>();
    this.#ended = ended.promise;
    this.#current?.giveBack();
    this.#current = undefined;
    for (let offer = this.#offers.shift(); offer !== undefined; offer = this.#offers.shift()) offer.giveBack();
    this.#serve();
    ended.resolve(this.#unsubscribe());
    return ended.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #serve(): void {
    while (this.#asking.length > 0 && (this.#ended !== undefined || this.#offers.length > 0)) {
      const { resolve, reject } = this.#asking.shift()!;
      if (this.#ended === undefined) {
        this.#current = this.#offers.shift()!;
        this.#current.served();
        resolve({ done: false, value: this.#current.event });
      } else if (this.#failure === undefined) resolve({ done: true, value: undefined });
      else {
        reject(this.#failure);
        this.#failure = undefined; // once: then the loop is over
      }
    }
  }

  #withdraw(offer: Offer): void {
    this.#offers.remove((each) => each === offer);
    offer.giveBack();
  }
}
