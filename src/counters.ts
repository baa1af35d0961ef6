import type { Stats } from "./status.ts";

const buckets = 40;

/** Counts of a bus, or of one subscription in it: what a subscription counts, its bus counts too. */
export class Counters {
  published = 0;
  publishFailed = 0;
  delivered = 0;
  handled = 0;
  failed = 0;
  retried = 0;
  deadLettered = 0;
  duplicates = 0;
  unhandled = 0;
  inFlight = 0;
  subscriptions = 0;
  reconnects = 0;
  rebalances = 0;
  connectedAt: number | undefined;
  lastPublishAt: number | undefined;
  lastDeliveryAt: number | undefined;
  lastErrorAt: number | undefined;
  /** Handler durations by powers of 2^(1/1.4), about 1.64, from 1 µs. */
  readonly #durations = new Float64Array(buckets);

  tookMs(ms: number): void {
    const bucket = ms <= 0.001 ? 0 : Math.min(Math.ceil(Math.log2(ms * 1_000) * 1.4), buckets - 1);
    this.#durations[bucket]! += 1;
  }

  stats(): Stats {
    const date = (ms: number | undefined): Date | undefined => (ms === undefined ? undefined : new Date(ms));
    return {
      published: this.published,
      publishFailed: this.publishFailed,
      delivered: this.delivered,
      handled: this.handled,
      failed: this.failed,
      retried: this.retried,
      deadLettered: this.deadLettered,
      duplicates: this.duplicates,
      unhandled: this.unhandled,
      inFlight: this.inFlight,
      subscriptions: this.subscriptions,
      reconnects: this.reconnects,
      rebalances: this.rebalances,
      connectedAt: date(this.connectedAt),
      lastPublishAt: date(this.lastPublishAt),
      lastDeliveryAt: date(this.lastDeliveryAt),
      lastErrorAt: date(this.lastErrorAt),
      handleMs: { p50: this.#quantile(0.5), p99: this.#quantile(0.99) },
    };
  }

  #quantile(share: number): number {
    const total = this.#durations.reduce((sum, each) => sum + each, 0);
    let seen = 0;
    for (let bucket = 0; bucket < buckets && total > 0; bucket += 1) {
      seen += this.#durations[bucket]!;
      if (seen >= total * share) return 2 ** (bucket / 1.4) / 1_000;
    }
    return 0;
  }
}
