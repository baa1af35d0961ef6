/** The Kafka driver in the recovery suite, and a member of it in a process of its own. */
import type { Broker } from "../../scripts/brokers/broker.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { systemClock } from "../../src/clock.ts";
import { type KafkaApi, loadClient, type Metadata } from "../../src/drivers/kafka/client.ts";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { Link } from "../../src/drivers/kafka/link.ts";
import { type RecoveryBroker, type RecoveryUnderTest, runRecoveryMember } from "../../src/testing/index.ts";

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

/** As metadata and coordinators have it: a text of nine characters, and a number. */
function addressBytes(port: number): Buffer {
  const number = Buffer.alloc(4);
  number.writeInt32BE(port);
  return Buffer.concat([Buffer.from("127.0.0.1"), number]);
}

/** The brokers tell where they are: that is in front of the proxy, and all connections would pass it by. */
function rewriteReply(answer: Uint8Array, url: string, proxyPort: number): Uint8Array {
  const reply = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength);
  const own = addressBytes(Number(new URL(url.replace(/^kafka/, "http")).port));
  for (let at = reply.indexOf(own); at >= 0; at = reply.indexOf(own, at + own.length))
    addressBytes(proxyPort).copy(reply, at);
  return reply;
}

export const kafkaUnderTest: RecoveryUnderTest = {
  name: "kafka",
  capabilities: kafka().capabilities,
  broker: { create: async () => recoverable(await startBroker("kafka", { own: true })) },
  config,
  rewriteReply,
  member: new URL(import.meta.url),
  leaseMs,
  silenceMs: 3 * requestTimeoutMs,
  // an acknowledgement is at the broker with the commit after it
  repeatsMs: 500,
  deleteStreamNatively: ({ url, prefix, stream }) => deleteTopics(url, (topic) => topic === `${prefix}.s.${stream}`),
};

if (import.meta.main) await runRecoveryMember(config);
