import type { BusError } from "./errors.ts";
import type { BusEvent } from "./event.ts";
import { Fifo } from "./internal/fifo.ts";
import { handBack } from "./work.ts";

interface Offer {
  readonly event: BusEvent;
  readonly settle: () => void;
  readonly giveBack: () => void;
}

/** Events as an async iterator: asking for the next settles the one before; leaving the loop hands back what is open. */
export class EventIterator implements AsyncIterableIterator<BusEvent>, AsyncDisposable {
  readonly #offers = new Fifo<Offer>();
  readonly #asking = new Fifo<{
    readonly resolve: (result: IteratorResult<BusEvent>) => void;
    readonly reject: (error: unknown) => void;
  }>();
  #current: Offer | undefined;
  #ended = false;
  #failure: BusError | undefined;
  #unsubscribe: () => Promise<unknown> = () => Promise.resolve();

  /** The handler that feeds it: runs as long as the loop's body does. */
  readonly handle = (event: BusEvent, { signal }: { readonly signal: AbortSignal }): Promise<void> =>
    new Promise((resolve, reject) => {
      const giveBack = (): void => reject(handBack);
      if (this.#ended) return giveBack();
      const offer: Offer = { event, settle: resolve, giveBack };
      signal.addEventListener("abort", () => this.#withdraw(offer), { once: true });
      this.#offers.push(offer);
      this.#serve();
    });

  whenDone(unsubscribe: () => Promise<unknown>): this {
    this.#unsubscribe = unsubscribe;
    return this;
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
    this.end(undefined);
    await this.#unsubscribe();
    return { done: true, value: undefined };
  }

  /** The loop ends, or its next step throws `failure`. */
  end(failure: BusError | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = failure;
    this.#current?.giveBack();
    this.#current = undefined;
    for (let offer = this.#offers.shift(); offer !== undefined; offer = this.#offers.shift()) offer.giveBack();
    this.#serve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #serve(): void {
    while (this.#asking.length > 0 && (this.#ended || this.#offers.length > 0)) {
      const { resolve, reject } = this.#asking.shift()!;
      if (!this.#ended) {
        this.#current = this.#offers.shift()!;
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
