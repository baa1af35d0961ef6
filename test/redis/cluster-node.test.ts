import { describe, it } from "vitest";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { redis } from "../../src/drivers/redis/index.ts";
import { type Bus, connect, defineEvent, typed } from "../../src/index.ts";
import { until } from "../../src/testing/index.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("redis", { own: true, variant: "cluster" });
const item = defineEvent("item", { schema: typed<{ readonly n: number }>(), key: ({ n }) => `k${n % 3}` });

describe.skipIf(broker === undefined)("a node of a cluster of redis that is killed under a group", () => {
  it.each(["group", "none"] as const)(
    "is waited for: what was in hand goes on, all that was stored is handled (order: %s)",
    { timeout: 60_000 },
    async (order) => {
      const prefix = freshPrefix();
      const cluster = broker!.servers.map(({ port }) => `redis://127.0.0.1:${port}`);
      for (const { port } of broker!.servers) await redisCommand(port, "CONFIG", "SET", "appendfsync", "always");
      const open = (): Promise<Bus> =>
        connect({ driver: redis({ cluster, leaseMs: 3_000, socketTimeoutMs: 1_000 }), prefix });
      await using publisher = await open();
      await using one = await open();
      await using two = await open();
      const handled: number[] = [];
      let hold: Promise<void> | undefined;
      for (const bus of [one, two]) {
        const handler = async ({ data }: { readonly data: { readonly n: number } }): Promise<void> => {
          await hold;
          handled.push(data.n);
        };
        await bus.subscribe(item, handler, { group: "g", order });
      }
      const stored = new Set<number>();
      const publish = async (from: number, count: number): Promise<void> => {
        for (let n = from; n < from + count; n += 1) {
          await publisher.publish(item, { n });
          stored.add(n);
        }
      };
      await publish(0, 30);
      await until(() => handled.length === 30, "the first ones to be handled");
      const { promise, resolve } = Promise.withResolvers<void>();
      hold = promise;
      await publish(30, 30);
      const places = await Promise.allSettled(
        broker!.servers.map(({ port }) => redisCommand(port, "EXISTS", `{${prefix}}`)),
      );
      const node = broker!.servers[places.findIndex(({ status }) => status === "fulfilled")]!;
      await node.kill();
      await until(
        async () =>
          (await Promise.all([one, two, publisher].map((bus) => bus.health()))).every(({ status }) => status !== "up"),
        "the loss to be seen",
      );
      resolve();
      hold = undefined;
      await node.start();
      await until(
        async () =>
          await publish(60, 30).then(
            () => true,
            () => false,
          ),
        "it to be published to",
        30_000,
      );
      const missing = (): readonly number[] => [...stored].filter((n) => !handled.includes(n));
      await until(
        () => missing().length === 0,
        () => `all to be handled; not ${missing().join(", ")}`,
        20_000,
      );
      const atRest = async (): Promise<boolean> => {
        const { waiting, inFlight } = await one.groups.info("g");
        return waiting === 0 && inFlight === 0;
      };
      // its line may be cut once more while the cluster settles
      await until(() => atRest().catch(() => false), "nothing to be left in hand");
    },
  );
});
