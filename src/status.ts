import type { BusEvent } from "./event.ts";

export interface Health {
  /** `up`: a message could be received now by every subscription. `degraded`: not by all, or a handler hangs. `down`: not connected. */
  readonly status: "up" | "degraded" | "down";
  readonly driver: string | undefined;
  readonly roundTripMs: number | undefined;
  /** What the broker says of itself. */
  readonly broker: Readonly<Record<string, string | number>>;
  readonly subscriptions: readonly SubscriptionHealth[];
  /** Each reason for not being up, in words. */
  readonly reasons: readonly string[];
}

export interface SubscriptionHealth {
  readonly id: string;
  readonly group: string | undefined;
  readonly state: string;
  readonly lastDelivery: Date | undefined;
  readonly waiting: number | undefined;
}

/** Counters since the start; of the whole bus or of one subscription. */
export interface Stats {
  readonly published: number;
  readonly publishFailed: number;
  readonly delivered: number;
  readonly handled: number;
  readonly failed: number;
  readonly retried: number;
  readonly deadLettered: number;
  readonly duplicates: number;
  readonly unhandled: number;
  readonly inFlight: number;
  readonly subscriptions: number;
  readonly reconnects: number;
  readonly rebalances: number;
  readonly connectedAt: Date | undefined;
  readonly lastPublishAt: Date | undefined;
  readonly lastDeliveryAt: Date | undefined;
  readonly lastErrorAt: Date | undefined;
  readonly handleMs: { readonly p50: number; readonly p99: number };
}

export type BusStatus =
  | {
      readonly type: "connected" | "disconnected" | "reconnecting" | "closed" | "error";
      readonly driver: string;
      readonly error?: Error;
    }
  | {
      readonly type: "handler-failed" | "dead-lettered" | "unhandled";
      readonly event: BusEvent | undefined;
      readonly group: string | undefined;
      readonly attempt: number;
      readonly error: unknown;
    }
  | {
      readonly type: "messages-lost";
      readonly stream: string;
      readonly count: number | undefined;
      readonly reason: string;
    }
  | { readonly type: "blocked" | "unblocked"; readonly reason: string };
