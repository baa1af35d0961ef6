import { createClient } from "redis";
import { describe, it } from "vitest";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { redis, type RedisOptions } from "../../src/drivers/redis/index.ts";
import { testDriver } from "../../src/testing/index.ts";
import { freshPrefix } from "./redis-session.ts";
import { testBroker } from "./test-broker.ts";

const leaseMs = 1_500;

/** The suite on one kind of server; each world is a prefix of its own. */
export async function redisConformance(name: string, variant: "plain" | "cluster" = "plain"): Promise<void> {
  const broker = await testBroker("redis", { own: true, variant });
  if (broker === undefined) return void describe.skipIf(true)(`${name} conformance`, () => undefined);
  // by default Redis acknowledges up to two seconds before it writes while the disk is slow, which a kill then takes away
  const sync = async (): Promise<void> => {
    for (const { port } of broker.servers) await redisCommand(port, "CONFIG", "SET", "appendfsync", "always");
  };
  await sync();
  const urls = broker.servers.map(({ port }) => `redis://127.0.0.1:${port}`);
  const place: RedisOptions = variant === "cluster" ? { cluster: urls } : { url: broker.url };
  testDriver(
    { describe, it },
    {
      name,
      capabilities: redis().capabilities,
      ownDriver: true,
      restart: true,
      leaseMs,
      async create() {
        const prefix = freshPrefix();
        return {
          config: () => ({ driver: redis({ ...place, leaseMs }), prefix }),
          restart: async () => {
            await broker.kill();
            await broker.start();
            await sync();
          },
          dispose: async () => {
            for (const url of urls) await forget(url, prefix);
          },
        };
      },
    },
  );
}

async function forget(url: string, prefix: string): Promise<void> {
  const client = createClient({ url });
  client.on("error", () => undefined);
  await client.connect();
  for await (const keys of client.scanIterator({ MATCH: `{${prefix}}*`, COUNT: 1_000 })) {
    if (keys.length > 0) await client.unlink(keys);
  }
  await client.close();
}
