import type { Core } from "./core.ts";
import { BusError } from "./errors.ts";
import type { BusEvent } from "./event.ts";
import { HandlerDelivery } from "./handler-delivery.ts";
import { BaseRunner, type Interest, type PublishCaused } from "./handler-runner.ts";
import type { PulledDelivery } from "./handler.ts";
import { checkOptions, invalidOption, milliseconds } from "./option-check.ts";
import type { ResolvedSubscribe } from "./normalise.ts";
import { Reject, RetryAfter } from "./verdict.ts";
import { handBack, type RunEnd, type Work } from "./work.ts";

interface Waiter {
  readonly max: number;
  readonly taken: PulledDelivery[];
  readonly resolve: (taken: readonly PulledDelivery[]) => void;
}

/** Hands events to whoever asked for them, as many as were asked for; the caller settles each. */
export class PullRunner extends BaseRunner {
  override readonly exclusive: boolean = true;
  readonly #publish: PublishCaused;
  readonly #flush: () => Promise<void>;
  readonly #waiters: Waiter[] = [];
  readonly #held: { readonly work: Work; readonly event: BusEvent }[] = [];
  readonly #open = new Map<
    Work,
    { readonly delivery: HandlerDelivery; readonly end: (end: RunEnd) => Promise<void> }
  >();

  constructor(
    core: Core,
    name: string,
    interest: Interest,
    options: ResolvedSubscribe,
    publish: PublishCaused,
    flush: () => Promise<void>,
  ) {
    super(core, name, interest, options);
    this.#publish = publish;
    this.#flush = flush;
  }

  get #wanted(): number {
    return this.#waiters.reduce((sum, waiter) => sum + waiter.max - waiter.taken.length, 0);
  }
  get capacity(): number {
    return this.#open.size + this.#held.length + Math.max(this.#wanted, 1);
  }
  /** What is out stays out; beyond it only what is asked for now. */
  get prefetch(): number {
    const wanted = this.#wanted;
    return wanted === 0 && this.#open.size === 0 ? 0 : this.#open.size + wanted;
  }
  get stalled(): number {
    return 0;
  }
  get running(): number {
    return this.#open.size;
  }
  get idle(): boolean {
    return this.#open.size === 0 && this.#waiters.length === 0;
  }

  /** At most `max`; what came until `waitMs` passed or the signal aborted, an empty list when nothing did. */
  async pull(max: number, waitMs: number, signal: AbortSignal | undefined): Promise<readonly PulledDelivery[]> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { max, taken: [], resolve: (taken) => finish(() => resolve(taken)) };
      const finish = (end: () => void): void => {
        const index = this.#waiters.indexOf(waiter);
        if (index < 0) return;
        this.#waiters.splice(index, 1);
        timer.cancel();
        signal?.removeEventListener("abort", abort);
        this.resized();
        end();
      };
      const abort = (): void =>
        finish(() =>
          waiter.taken.length > 0
            ? resolve(waiter.taken)
            : reject(new BusError("BUS_ABORTED", "pull: aborted by the caller")),
        );
      const timer = this.core.wheel.set(waitMs, () => finish(() => resolve(waiter.taken)));
      this.#waiters.push(waiter);
      if (signal?.aborted === true) return abort();
      signal?.addEventListener("abort", abort, { once: true });
      this.resized();
      this.pump();
    });
  }

  start(work: Work, event: BusEvent): void {
    this.#held.push({ work, event });
    this.pump();
  }

  abort(work: Work, reason: unknown): void {
    this.#open.get(work)?.delivery.abort(reason);
    void this.#open.get(work)?.end(handBack);
    const index = this.#held.findIndex((each) => each.work === work);
    if (index >= 0) this.#held.splice(index, 1)[0]!.work.ended(this, handBack);
  }

  abortAll(reason: unknown): void {
    for (const { delivery } of this.#open.values()) delivery.abort(reason);
    this.giveBack();
  }

  /** What the caller holds too: nobody knows whether it will ever be settled. */
  giveBack(): void {
    for (const { delivery, end } of [...this.#open.values()]) {
      delivery.abort(new BusError("BUS_CLOSED", "the pull ends"));
      void end(handBack);
    }
    for (const { work } of this.#held.splice(0)) work.ended(this, handBack);
    for (const waiter of [...this.#waiters]) waiter.resolve(waiter.taken);
  }

  protected pump(): void {
    while (this.#held.length > 0 && this.#waiters.length > 0) {
      const waiter = this.#waiters[0]!;
      const { work, event } = this.#held.shift()!;
      waiter.taken.push(this.#deliver(work, event));
      // the rest of this turn's deliveries come along
      if (waiter.taken.length >= waiter.max) waiter.resolve(waiter.taken);
      else if (waiter.taken.length === 1) this.core.clock.soon(() => waiter.resolve(waiter.taken));
    }
  }

  #deliver(work: Work, event: BusEvent): PulledDelivery {
    this.counters.delivered += 1;
    this.counters.lastDeliveryAt = this.core.counters.lastDeliveryAt;
    let over: "settled" | "lost" | undefined;
    const end = async (how: RunEnd): Promise<void> => {
      if (over === "lost" && how !== handBack)
        throw new BusError("BUS_LEASE_LOST", `settling event ${event.id}: it is no longer ours`);
      if (over !== undefined) return; // the first settlement counts
      over = how === handBack ? "lost" : "settled";
      this.#open.delete(work);
      work.ended(this, how);
      this.resized();
      this.checkQuiet();
      if (how !== handBack) await this.#flush();
    };
    const delivery = new HandlerDelivery(event, work.attempts + 1, {
      group: this.options.group,
      extend: () => undefined,
      publish: (_, definition, data, options) => this.#publish(event, definition, data, options),
    });
    this.#open.set(work, { delivery, end });
    return Object.assign(delivery, {
      ack: () => end(undefined),
      retry: async (options: { readonly delayMs?: number | undefined } = {}) => {
        checkOptions("retry", options, { delayMs: milliseconds });
        const { delayMs } = options;
        await end({
          kind: "failed",
          error: delayMs === undefined ? new Error("given back by the caller") : new RetryAfter(delayMs),
        });
      },
      reject: async (reason: string) => {
        if (typeof reason !== "string" || reason === "") throw invalidOption("reject needs a reason, in words");
        await end({ kind: "failed", error: new Reject(reason) });
      },
    });
  }
}
