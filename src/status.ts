import type { BusEvent } from "./event.ts";

export interface Health {
  /** `up`: a message could be received now by every subscription. `degraded`: not by all, or a handler hangs. `down`: not connected. */
  readonly status: "up" | "degraded" | "down";
  readonly driver: string | undefined;
  /** Of a question that proves that messages could flow. */
  readonly roundTripMs: number | undefined;
  /** What the broker says of itself. */
  readonly broker: Readonly<Record<string, string | number>>;
  readonly subscriptions: readonly SubscriptionHealth[];
  /** Each reason for not being up, in words. */
  readonly reasons: readonly string[];
}

/** Of one subscription; its state is `Subscription.state`. */
export interface SubscriptionHealth {
  readonly id: string;
  readonly group: string | undefined;
  readonly state: string;
  readonly lastDelivery: Date | undefined;
  /** For its group, at the broker. */
  readonly waiting: number | undefined;
}

/** Counters since the start; of the whole bus or of one subscription, which has those of its handler alone. */
export interface Stats {
  /** Acknowledged: events, requests, answers. */
  readonly published: number;
  /** Rejected or unknown. */
  readonly publishFailed: number;
  /** Of the bus: messages that came. Of a subscription: runs of its handler. */
  readonly delivered: number;
  /** Messages settled as done. */
  readonly handled: number;
  /** Runs of handlers that threw or took too long. */
  readonly failed: number;
  /** Times that a message was to be tried again. */
  readonly retried: number;
  /** Given up on; without a group there is no letter. */
  readonly deadLettered: number;
  /** Publishes that the broker had already. */
  readonly duplicates: number;
  /** Events of a group that no handler here can take. */
  readonly unhandled: number;
  /** Handlers that run now. */
  readonly inFlight: number;
  /** Open now. */
  readonly subscriptions: number;
  /** Of the connection, and of single subscriptions. */
  readonly reconnects: number;
  /** Times that messages or partitions went to another member. */
  readonly rebalances: number;
  readonly connectedAt: Date | undefined;
  readonly lastPublishAt: Date | undefined;
  readonly lastDeliveryAt: Date | undefined;
  readonly lastErrorAt: Date | undefined;
  /** How long handlers take: of one run in sixteen, rounded up to the next bucket. */
  readonly handleMs: { readonly p50: number; readonly p99: number };
}

/** What `onStatus` is told. */
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
      /** The stream of a tail; else the group, or the subscriber whose buffer was full. */
      readonly stream: string;
      readonly count: number | undefined;
      readonly reason: string;
    }
  | { readonly type: "blocked" | "unblocked"; readonly reason: string };
