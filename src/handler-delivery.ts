import type { BusEvent, EventDefinition, InputOf, PublishOptions } from "./event.ts";
import type { Delivery } from "./handler.ts";
import type { Receipt } from "./receipt.ts";

/** What a delivery needs of the run that it belongs to. */
export interface DeliveryRun {
  readonly group: string | undefined;
  publish(
    delivery: HandlerDelivery,
    event: EventDefinition,
    data: unknown,
    options: PublishOptions | undefined,
  ): Promise<Receipt>;
  extend(ms: number): void;
}

/** One run of one handler, as the handler sees it. The signal is made when it is first asked for. */
export class HandlerDelivery implements Delivery {
  readonly event: BusEvent;
  readonly attempt: number;
  readonly #run: DeliveryRun;
  #abort: AbortController | undefined;
  #aborted: { readonly reason: unknown } | undefined;

  constructor(event: BusEvent, attempt: number, run: DeliveryRun) {
    this.event = event;
    this.attempt = attempt;
    this.#run = run;
  }

  get group(): string | undefined {
    return this.#run.group;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#aborted !== undefined) this.#abort.abort(this.#aborted.reason);
    }
    return this.#abort.signal;
  }

  /** A getter, so that it can be taken apart: `(event, { publish }) => …`. */
  get publish(): <Definition extends EventDefinition>(
    event: Definition,
    data: InputOf<Definition>,
    options?: PublishOptions,
  ) => Promise<Receipt> {
    return (event, data, options) => this.#run.publish(this, event, data, options);
  }

  get extend(): (ms: number) => void {
    return (ms) => this.#run.extend(ms);
  }

  abort(reason: unknown): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = { reason };
    this.#abort?.abort(reason);
  }
}
