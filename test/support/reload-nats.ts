import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Broker } from "../../scripts/brokers/broker.ts";
import { folderOf, listInstances } from "../../scripts/brokers/instances.ts";
import { until } from "../../src/testing/until.ts";

/** Gives a server of our own another configuration while it runs; it has its first one again when it is started anew. */
export async function reloadNats(broker: Broker, change: (config: string) => string): Promise<void> {
  const port = broker.servers[0]?.port;
  const instance = listInstances().find(({ ports }) => ports[0]?.[0] === port);
  const server = instance?.processes[0];
  if (instance === undefined || server === undefined || server === null)
    throw new Error(`${broker.label} is no process of this machine`);
  const path = join(folderOf(instance.id), "1", "nats.conf");
  const reloads = async (): Promise<number> =>
    (await broker.logs()).match(/Reloaded server configuration/g)?.length ?? 0;
  const before = await reloads();
  writeFileSync(path, change(readFileSync(path, "utf8")));
  process.kill(server.pid, "SIGHUP");
  await until(async () => (await reloads()) > before, "the server's new configuration", 10_000);
}
