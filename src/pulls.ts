import { BusError } from "./errors.ts";
import type { PulledDelivery } from "./handler.ts";
import type { PullRunner } from "./pull-runner.ts";
import type { TimerWheel, WheelTimer } from "./timer-wheel.ts";
import type { BusSubscription } from "./subscription.ts";

const idleMs = 1_000;

interface Pull {
  readonly types: string;
  readonly runner: PullRunner;
  readonly subscribed: Promise<BusSubscription>;
  idle: WheelTimer | undefined;
}

/** The groups that this bus pulls from: a member each while it is asked or holds something, and for a second afterwards. */
export class Pulls {
  readonly #wheel: TimerWheel;
  readonly #open = new Map<string, Pull>();

  constructor(wheel: TimerWheel) {
    this.#wheel = wheel;
  }

  async pull(
    group: string,
    types: string,
    make: () => { readonly runner: PullRunner; readonly subscribed: Promise<BusSubscription> },
    ask: { readonly max: number; readonly waitMs: number; readonly signal: AbortSignal | undefined },
  ): Promise<readonly PulledDelivery[]> {
    let pull = this.#open.get(group);
    if (pull === undefined) this.#open.set(group, (pull = { types, ...make(), idle: undefined }));
    else if (pull.types !== types)
      throw new BusError("BUS_CONFLICT", `group "${group}" is being pulled for other events: ${pull.types}`);
    pull.idle?.cancel();
    try {
      await pull.subscribed;
    } catch (error) {
      this.#open.delete(group);
      throw error;
    }
    try {
      return await pull.runner.pull(ask.max, ask.waitMs, ask.signal);
    } finally {
      this.#closeWhenIdle(group, pull);
    }
  }

  #closeWhenIdle(group: string, pull: Pull): void {
    pull.idle?.cancel();
    pull.idle = this.#wheel.set(idleMs, () => {
      if (!pull.runner.idle) return this.#closeWhenIdle(group, pull);
      this.#open.delete(group);
      void Promise.allSettled([pull.subscribed.then((subscription) => subscription.unsubscribe())]);
    });
  }
}
