import { setTimeout as pause } from "node:timers/promises";
import { describe, it } from "vitest";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { testDriver } from "../../src/testing/index.ts";
import { forgetPrefix, freshPrefix, rabbitWrittenMs } from "./rabbitmq-session.ts";
import { testBroker } from "./test-broker.ts";

const leaseMs = 1_500;
/** An ordered group has a quorum queue for each partition, which take 20 ms each to make, and more where the machine is busy. */
const streams = [{ name: "events", topics: [">"], partitions: 4 }];

/** The suite on one kind of server; each world is a prefix of its own. */
export async function rabbitConformance(name: string): Promise<void> {
  const broker = await testBroker("rabbitmq", { own: true });
  if (broker === undefined) return void describe.skipIf(true)(`${name} conformance`, () => undefined);
  testDriver(
    { describe, it },
    {
      name,
      capabilities: rabbitmq().capabilities,
      ownDriver: true,
      restart: true,
      unsupported: ["trim", "recover"],
      leaseMs,
      async create() {
        const prefix = freshPrefix();
        return {
          config: () => ({ driver: rabbitmq({ url: broker.url, leaseMs }), prefix, streams }),
          restart: async () => {
            await pause(rabbitWrittenMs);
            await broker.kill();
            await broker.start();
          },
          dispose: () => forgetPrefix(broker.url, prefix),
        };
      },
    },
  );
}
