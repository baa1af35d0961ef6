/** The Kafka driver in the recovery suite, and a member of it in a process of its own. */
import type { Broker } from "../../scripts/brokers/broker.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { systemClock } from "../../src/clock.ts";
import { type KafkaApi, loadClient, type Metadata } from "../../src/drivers/kafka/client.ts";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { Link } from "../../src/drivers/kafka/link.ts";
import { type RecoveryBroker, type RecoveryUnderTest, runRecoveryMember } from "../../src/testing/index.ts";
import { inFrontOfKafka } from "../support/kafka-proxied.ts";

/** The least that a broker allows by default. */
const leaseMs = 6_000;
// a silent line is lost after an answer that does not come
const requestTimeoutMs = 2_000;
export const recoveryOptions = { sessionTimeoutMs: leaseMs, requestTimeoutMs, heartbeatMs: 300 } as const;
const config: RecoveryUnderTest["config"] = (url) => ({
  driver: kafka({ ...recoveryOptions, brokers: url }),
});

export const recoverable = (broker: Broker): RecoveryBroker => ({
  url: broker.url,
  start: () => broker.start(),
  restart: () => broker.restart(),
  kill: () => broker.kill(),
  pause: () => broker.pause(),
  resume: () => broker.resume(),
  [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
});

/** kafka-topics.sh --delete */
async function deleteTopics(url: string, isOne: (topic: string) => boolean): Promise<void> {
  const module = await loadClient();
  const { hostname, port } = new URL(url.replace(/^kafka/, "http"));
  const link = await Link.open(
    module,
    { host: hostname, port: Number(port) },
    { clientId: "test", tls: undefined, sasl: undefined, connectTimeoutMs: 5_000 },
    systemClock,
    AbortSignal.timeout(5_000),
  );
  try {
    const all = module.metadataV12 as { readonly api: KafkaApi<readonly unknown[], Metadata> };
    const { topics } = await link.ask(all, [null, false, false], 5_000);
    const names = topics.flatMap(({ name }) => (name !== null && isOne(name) ? [{ name }] : []));
    await link.ask(module.deleteTopicsV6, [names, 5_000], 10_000);
  } finally {
    link.destroy();
  }
}

export const kafkaUnderTest: RecoveryUnderTest = {
  name: "kafka",
  capabilities: kafka().capabilities,
  broker: { create: async () => recoverable(await startBroker("kafka", { own: true })) },
  config,
  rewriteReply: inFrontOfKafka,
  member: new URL(import.meta.url),
  leaseMs,
  silenceMs: 3 * requestTimeoutMs,
  // an acknowledgement is at the broker with the commit after it
  repeatsMs: 500,
  deleteStreamNatively: ({ url, prefix, stream }) => deleteTopics(url, (topic) => topic === `${prefix}.s.${stream}`),
};

if (import.meta.main) await runRecoveryMember(config);
