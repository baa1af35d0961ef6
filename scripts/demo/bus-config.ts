import type { BusConfig } from "../../src/index.ts";
import { brokerOf } from "./broker-schemes.ts";

export interface Target {
  readonly url: string;
  /** Of this run alone, so that a second one on the same broker starts afresh. */
  readonly prefix: string;
  readonly events: number;
}

const meanBytes = 16 * 1024;
const gibibyte = 2 ** 30;

/** True of a bus that ends at the border of its process. */
export function inProcess(url: string): boolean {
  return url.startsWith("memory:");
}

/** A worker that is killed is missed after a lease: here the next one need not wait for ten seconds. */
const leaseMs = 2_000;
/** Whoever types a wrong url need not wait for long. */
const connectTimeoutMs = 5_000;

/** The least that a Kafka allows as it comes. */
const sessionTimeoutMs = 6_000;

const leases = {
  nats: { nats: { leaseMs } },
  redis: { redis: { leaseMs } },
  postgres: { postgres: { leaseMs } },
  rabbitmq: { rabbitmq: { leaseMs } },
  kafka: { kafka: { sessionTimeoutMs } },
} as const satisfies Partial<Record<string, Partial<BusConfig>>>;

/** Where only a lease tells that a worker is gone, and the url does not say how long. */
function lease(url: string): Partial<BusConfig> {
  const name = brokerOf(url);
  return name === undefined || /[?&](?:leaseMs|sessionTimeoutMs)=/u.test(url) ? {} : leases[name];
}

/** One stream for the webhooks, as large as the run needs; in memory publishers wait for the handlers instead. */
export function busConfig({ url, prefix, events }: Target, name: string): BusConfig {
  const stream = { name: "github", topics: ["github.>"] };
  if (!inProcess(url)) {
    return {
      url,
      prefix,
      name,
      connectTimeoutMs,
      ...lease(url),
      streams: [{ ...stream, maxBytes: Math.max(gibibyte, events * meanBytes) }],
    };
  }
  const shared = url === "memory:" ? "memory:omnibus-demo" : url; // publisher and worker meet by the name
  const streams = [{ ...stream, maxBytes: gibibyte / 4, whenFull: "wait" }] as const;
  return { url: shared, prefix, name, streams, ...{ memory: { maxLetters: events } } };
}
