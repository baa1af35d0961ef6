import type { RequestContext } from "./bus.ts";
import type { Core } from "./core.ts";
import { within } from "./deadline.ts";
import type { Subscription } from "./handler.ts";
import type { Outbound } from "./outbound.ts";
import type { Publisher } from "./publisher.ts";
import type { RequestDefinition } from "./request-definition.ts";
import { Responder } from "./responder.ts";
import type { Stats } from "./status.ts";
import { closeTimeout } from "./subscription.ts";
import type { Subscriptions } from "./subscriptions.ts";
import { closed } from "./connector.ts";

/** Everything of this bus that answers requests. */
export class Responders {
  readonly #core: Core;
  readonly #publisher: Publisher;
  readonly #outbound: Outbound;
  readonly #subscriptions: Subscriptions;
  readonly #all = new Set<ResponderSubscription>();
  #count = 0;

  constructor(core: Core, publisher: Publisher, outbound: Outbound, subscriptions: Subscriptions) {
    this.#core = core;
    this.#publisher = publisher;
    this.#outbound = outbound;
    this.#subscriptions = subscriptions;
  }

  get all(): readonly Subscription[] {
    return [...this.#all];
  }

  async add(
    definition: RequestDefinition,
    answer: (data: unknown, context: RequestContext) => unknown,
    group: string | undefined,
    concurrency: number,
    declareOnly: boolean,
  ): Promise<Subscription> {
    const responder = new Responder(this.#core, this.#publisher, this.#outbound, definition, answer, concurrency);
    const subscription = new ResponderSubscription(
      `res-${++this.#count}`,
      group,
      responder,
      this.#subscriptions,
      (timeoutMs) => this.#remove(subscription, timeoutMs),
    );
    this.#all.add(subscription);
    this.#core.counters.subscriptions += 1;
    if (!declareOnly) await this.#start(subscription);
    return subscription;
  }

  async startAll(): Promise<void> {
    await Promise.all(
      [...this.#all]
        .filter((subscription) => subscription.state === "declared")
        .map((subscription) => this.#start(subscription)),
    );
  }

  async stop(): Promise<void> {
    await Promise.all(
      [...this.#all].map(async ({ group, responder }) => {
        await this.#subscriptions.leaveDirect(group, responder); // requests go to others while this one ends
        await responder.stop();
      }),
    );
  }

  /** How many answers were cut off. */
  abort(reason: unknown): number {
    let unfinished = 0;
    for (const { responder } of this.#all) {
      unfinished += responder.running;
      responder.abort(reason);
    }
    return unfinished;
  }

  async #start(subscription: ResponderSubscription): Promise<void> {
    try {
      await subscription.start();
    } catch (error) {
      if (!this.#all.delete(subscription)) return; // unsubscribed meanwhile
      this.#core.counters.subscriptions -= 1;
      throw error;
    }
  }

  async #remove(subscription: ResponderSubscription, timeoutMs: number): Promise<boolean> {
    if (!this.#all.delete(subscription)) return false;
    this.#core.counters.subscriptions -= 1;
    const { group, responder } = subscription;
    const ended = Promise.all([this.#subscriptions.leaveDirect(group, responder), responder.stop()]);
    if (!(await within(this.#core.wheel, timeoutMs, ended))) responder.abort(closed());
    return true;
  }
}

class ResponderSubscription implements Subscription {
  readonly id: string;
  readonly group: string | undefined;
  readonly responder: Responder;
  readonly #subscriptions: Subscriptions;
  readonly #end: (timeoutMs: number) => Promise<boolean>;
  #state: "declared" | "running" | "closed" = "declared";

  constructor(
    id: string,
    group: string | undefined,
    responder: Responder,
    subscriptions: Subscriptions,
    end: (timeoutMs: number) => Promise<boolean>,
  ) {
    this.id = id;
    this.group = group;
    this.responder = responder;
    this.#subscriptions = subscriptions;
    this.#end = end;
  }

  get patterns(): readonly string[] {
    return this.responder.patterns;
  }
  get state(): Subscription["state"] {
    return this.#state === "running" && this.responder.paused ? "paused" : this.#state;
  }

  async start(): Promise<void> {
    await this.#subscriptions.listenDirect(this.group, this.responder);
    if (this.#state === "declared") this.#state = "running";
  }

  pause(): Promise<void> {
    this.responder.pause(true);
    return Promise.resolve();
  }

  resume(): Promise<void> {
    this.responder.pause(false);
    return Promise.resolve();
  }

  stats(): Stats {
    return this.responder.counters.stats();
  }

  unsubscribe(options: { readonly timeoutMs?: number | undefined } = {}): Promise<boolean> {
    const timeoutMs = closeTimeout("unsubscribe", options);
    if (timeoutMs instanceof Error) return Promise.reject(timeoutMs);
    this.#state = "closed";
    return this.#end(timeoutMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unsubscribe();
  }
}
