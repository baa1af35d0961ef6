import { describe, it } from "vitest";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { testDriver } from "../../src/testing/index.ts";
import { forgetTopics, freshPrefix } from "./kafka-session.ts";
import { testBroker } from "./test-broker.ts";

/** The least that a broker allows by default. */
const sessionTimeoutMs = 6_000;

/** The suite on one release, or some of its topics; each world is a prefix of its own. */
export async function kafkaConformance(
  name: string,
  release: "newest" | "4.1" = "newest",
  only?: readonly string[],
): Promise<void> {
  const broker = await testBroker("kafka", { own: true, release });
  if (broker === undefined) return void describe.skipIf(true)(`${name} conformance`, () => undefined);
  const group: (title: string, body: () => void) => void = describe;
  const declare: typeof group = (title, body) => {
    if (title === name || only === undefined || only.includes(title)) group(title, body);
  };
  testDriver(
    { describe: declare, it },
    {
      name,
      capabilities: kafka().capabilities,
      ownDriver: true,
      restart: true,
      unsupported: ["recover"],
      leaseMs: sessionTimeoutMs,
      async create() {
        const prefix = freshPrefix();
        return {
          config: () => ({ driver: kafka({ brokers: broker.url, sessionTimeoutMs, heartbeatMs: 200 }), prefix }),
          restart: async () => {
            await broker.kill();
            await broker.start();
          },
          dispose: async () => await forgetTopics(broker, prefix),
        };
      },
    },
  );
}
