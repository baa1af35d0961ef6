import { expect, it } from "vitest";
import { connect, defineEvent, typed } from "../../src/index.ts";
import { redis } from "../../src/drivers/redis/index.ts";
import { until } from "../../src/testing/index.ts";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("redis", { own: true });
const item = defineEvent("item", { schema: typed<{ readonly n: number }>() });

it.skipIf(broker === undefined)("a server that is full is connected to, again and anew, and emptied", async () => {
  const cli = (...words: readonly string[]): Promise<string> => redisCommand(broker!.servers[0]!.port, ...words);
  const prefix = freshPrefix();
  const driver = redis({ url: broker!.url, pollMs: 100 });
  await using one = await connect({ driver, prefix, publishing: { retry: { maxAttempts: 1 } } });
  const gate = Promise.withResolvers<void>();
  const handled = new Set<number>();
  const handler = async ({ data }: { readonly data: { readonly n: number } }): Promise<void> => {
    await gate.promise;
    handled.add(data.n);
  };
  await one.subscribe(item, handler, { group: "g", concurrency: 2 });
  for (let n = 0; n < 50; n += 1) await one.publish(item, { n });
  await cli("CONFIG", "SET", "maxmemory", "1");
  await expect(one.publish(item, { n: 50 })).rejects.toMatchObject({ code: "BUS_FULL" });
  const said: string[] = [];
  one.onStatus(({ type }) => void said.push(type));
  await cli("CLIENT", "KILL", "TYPE", "normal");
  await until(
    () => said.at(-1) === "connected",
    () => `to be connected again: ${said.join(", ")}`,
  );
  await using two = await connect({ driver: redis({ url: broker!.url, pollMs: 100 }), prefix });
  await two.subscribe(item, handler, { group: "g" });
  gate.resolve();
  await until(
    () => handled.size === 50,
    () => `all to be handled; ${handled.size} were`,
  );
});
