import type { BaseRunner } from "./handler-runner.ts";
import type { Subscription } from "./handler.ts";
import type { Stats } from "./status.ts";

/** What a subscription leaves to the bus. */
export interface SubscriptionHost {
  state(): "declared" | "running" | "recovering" | "closed";
  unsubscribe(timeoutMs: number): Promise<boolean>;
}

export class BusSubscription implements Subscription {
  readonly id: string;
  readonly group: string | undefined;
  readonly runner: BaseRunner;
  readonly #host: SubscriptionHost;

  constructor(id: string, group: string | undefined, runner: BaseRunner, host: SubscriptionHost) {
    this.id = id;
    this.group = group;
    this.runner = runner;
    this.#host = host;
  }

  get patterns(): readonly string[] {
    return this.runner.patterns;
  }
  get state(): Subscription["state"] {
    const state = this.#host.state();
    return state === "running" && this.runner.paused ? "paused" : state;
  }

  pause(): Promise<void> {
    this.runner.pause(true);
    return Promise.resolve();
  }

  resume(): Promise<void> {
    this.runner.pause(false);
    return Promise.resolve();
  }

  stats(): Stats {
    return this.runner.counters.stats();
  }

  unsubscribe(options: { readonly timeoutMs?: number | undefined } = {}): Promise<boolean> {
    return this.#host.unsubscribe(options.timeoutMs ?? 30_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unsubscribe();
  }
}
