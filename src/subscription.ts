import type { BaseRunner } from "./handler-runner.ts";
import type { Subscription } from "./handler.ts";
import { checkOptions, milliseconds } from "./option-check.ts";
import type { Stats } from "./status.ts";

/** The limit of a close, or what is wrong with the options. */
export function closeTimeout(
  what: string,
  options: { readonly timeoutMs?: number | undefined } | undefined,
): number | Error {
  try {
    checkOptions(what, options, { timeoutMs: milliseconds });
    return options?.timeoutMs ?? 30_000;
  } catch (error) {
    return error as Error;
  }
}

/** What a subscription leaves to the bus. */
export interface SubscriptionHost {
  state(): "declared" | "running" | "recovering" | "closed";
  unsubscribe(timeoutMs: number): Promise<boolean>;
}

/** What the bus keeps of a subscription that it gave out; users don't see it. */
export const runnerOf = (subscription: BusSubscription): BaseRunner => BusSubscription.runnerOf(subscription);

export class BusSubscription implements Subscription {
  readonly id: string;
  readonly group: string | undefined;
  readonly #runner: BaseRunner;
  readonly #host: SubscriptionHost;

  constructor(id: string, group: string | undefined, runner: BaseRunner, host: SubscriptionHost) {
    this.id = id;
    this.group = group;
    this.#runner = runner;
    this.#host = host;
  }

  /** @internal */
  static runnerOf(subscription: BusSubscription): BaseRunner {
    return subscription.#runner;
  }

  get patterns(): readonly string[] {
    return this.#runner.patterns;
  }
  get state(): Subscription["state"] {
    const state = this.#host.state();
    return state === "running" && this.#runner.paused ? "paused" : state;
  }

  pause(): Promise<void> {
    this.#runner.pause(true);
    return Promise.resolve();
  }

  resume(): Promise<void> {
    this.#runner.pause(false);
    return Promise.resolve();
  }

  stats(): Stats {
    return this.#runner.counters.stats();
  }

  unsubscribe(options: { readonly timeoutMs?: number | undefined } = {}): Promise<boolean> {
    const timeoutMs = closeTimeout("unsubscribe", options);
    return timeoutMs instanceof Error ? Promise.reject(timeoutMs) : this.#host.unsubscribe(timeoutMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unsubscribe();
  }
}
