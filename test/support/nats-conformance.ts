import { connect } from "@nats-io/transport-node";
import { describe, it } from "vitest";
import type { Broker } from "../../scripts/brokers/broker.ts";
import { nats } from "../../src/drivers/nats/index.ts";
import { testDriver } from "../../src/testing/index.ts";

const leaseMs = 1_500;
let worlds = 0;

/** The suite on one server; each world is a prefix of its own. Without a server it is for a `describe` that is skipped. */
export function natsConformance(name: string, broker: Broker | undefined): void {
  testDriver(
    { describe, it },
    {
      name,
      capabilities: nats().capabilities,
      unsupported: ["recover"],
      ownDriver: true,
      restart: true,
      leaseMs,
      async create() {
        worlds += 1;
        const prefix = `w${process.pid}-${worlds}`;
        return {
          config: () => ({ driver: nats({ servers: broker!.url, leaseMs }), prefix }),
          restart: async () => {
            await broker!.kill();
            await broker!.start();
          },
          dispose: () => forgetStreams(broker!, prefix),
        };
      },
    },
  );
}

/** What a prefix reserves at the server is for the next. */
export async function forgetStreams(broker: Broker, prefix: string): Promise<void> {
  const client = await connect({ servers: broker.url });
  const { streams } = (await client.request("$JS.API.STREAM.NAMES", undefined, { timeout: 10_000 })).json<{
    streams: string[] | null;
  }>();
  const ours = (streams ?? []).filter((name) => name.startsWith(`${prefix}=`) || name === `KV_${prefix}`);
  await Promise.all(
    ours.map((stream) => client.request(`$JS.API.STREAM.DELETE.${stream}`, undefined, { timeout: 10_000 })),
  );
  await client.close();
}
