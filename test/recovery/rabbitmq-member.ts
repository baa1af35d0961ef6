/** The RabbitMQ driver in the recovery suite, and a member of it in a process of its own. */
import { setTimeout as pause } from "node:timers/promises";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import type { Session } from "../../src/drivers/rabbitmq/session.ts";
import { changed } from "../../src/testing/changed.ts";
import { type RecoveryBroker, type RecoveryUnderTest, runRecoveryMember } from "../../src/testing/index.ts";
import { openSession, rabbitWrittenMs } from "../support/rabbitmq-session.ts";

const leaseMs = 2_000;
const heartbeatMs = 1_000;
const config: RecoveryUnderTest["config"] = (url) => ({
  driver: rabbitmq({ url, leaseMs, heartbeatMs, confirmTimeoutMs: 3_000 }),
  streams: [{ name: "events", topics: [">"], partitions: 4 }],
});

/** Killed only when it knows its queues again after a start. */
async function started(): Promise<RecoveryBroker> {
  const broker = await startBroker("rabbitmq", { own: true });
  return changed(broker, {
    kill: async () => {
      await pause(rabbitWrittenMs);
      await broker.kill();
    },
  });
}

async function natively(url: string, prefix: string, work: (session: Session) => Promise<unknown>): Promise<void> {
  const session = await openSession(url, prefix);
  try {
    await work(session);
  } finally {
    await session.close(AbortSignal.timeout(2_000));
  }
}

export const rabbitUnderTest: RecoveryUnderTest = {
  name: "rabbitmq",
  capabilities: rabbitmq().capabilities,
  broker: { create: started },
  config,
  member: new URL(import.meta.url),
  leaseMs,
  silenceMs: 3 * heartbeatMs,
  repeatsMs: 1_000,
  // One by one, as by hand: members begin again between, and what they make is deleted once more.
  deleteGroupNatively: ({ url, prefix, group }) =>
    natively(url, prefix, (session) =>
      session.ask(async (channel) => {
        const partitions = [0, 1, 2, 3].map((partition) => session.names.group(group, "events", partition));
        for (const queue of [
          session.names.group(group, "events"),
          session.names.queue(group),
          session.names.queue(group, 0),
          ...partitions,
        ]) {
          await channel.deleteQueue(queue);
          await pause(Math.random() * 300);
        }
      }),
    ),
  // no deleteStreamNatively: groups keep in their own queues what they have of a stream (test/rabbitmq/native-deletion.test.ts)
};

if (import.meta.main) await runRecoveryMember(config);
