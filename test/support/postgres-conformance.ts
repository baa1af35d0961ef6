import { describe, it } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import type { BrokerName } from "../../scripts/brokers/broker-name.ts";
import { postgres } from "../../src/drivers/postgres/index.ts";
import { testDriver } from "../../src/testing/index.ts";
import { testBroker } from "./test-broker.ts";

const leaseMs = 1_500;
let worlds = 0;

export interface PostgresConformance {
  readonly release?: "15" | "18";
  /** The port of what stands before the server. */
  readonly through?: (port: number, user: string) => Promise<number>;
}

/** The suite on one release of the server; each world is a schema of its own. */
export async function postgresConformance(name: string, options: PostgresConformance = {}): Promise<void> {
  const { release, through } = options;
  const broker = await testBroker("postgres" satisfies BrokerName, {
    own: true,
    ...(release !== undefined && { release }),
  });
  if (broker === undefined) return void describe.skipIf(true)(`${name} conformance`, () => undefined);
  const { port } = broker.servers[0]!;
  const url = new URL(broker.url);
  const listen = through === undefined; // a pooler is known after two seconds: test/postgres/pooler.test.ts
  if (through !== undefined) url.port = String(await through(port, url.username));
  testDriver(
    { describe, it },
    {
      name,
      capabilities: postgres().capabilities,
      ownDriver: true,
      restart: true,
      leaseMs,
      async create() {
        const schema = `world_${(worlds += 1)}`;
        await postgresCommand(port, `CREATE SCHEMA ${schema}`);
        return {
          config: () => ({ driver: postgres({ url: String(url), schema, leaseMs, listen }) }),
          restart: async () => {
            await broker.kill();
            await broker.start();
          },
          dispose: async () => void (await postgresCommand(port, `DROP SCHEMA ${schema} CASCADE`)),
        };
      },
    },
  );
}
