import { connect as connectClient } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { connect, type Bus } from "../../src/index.ts";
import { nats } from "../../src/drivers/nats/index.ts";
import { until } from "../../src/testing/until.ts";
import { fresh, Seen, Tick } from "../support/events.ts";
import { natsServers } from "../support/nats-world.ts";

const servers = await natsServers();

describe.each(servers)("the bucket deleted behind the bus's back, at $name", (server) => {
  describe.skipIf(server.broker === undefined)("is made again, and everything goes on", () => {
    const leaseMs = 1_500;

    async function open(prefix: string): Promise<Bus> {
      const bus = await connect({ driver: nats({ servers: server.broker!.url, leaseMs }), prefix });
      onTestFinished(() => bus.close({ timeoutMs: 2_000 }).then(() => undefined));
      return bus;
    }

    async function removal(prefix: string): Promise<() => Promise<void>> {
      const client = await connectClient({ servers: server.broker!.url });
      onTestFinished(() => client.close());
      const remove = async (): Promise<boolean> => {
        const answer = await client.request(`$JS.API.STREAM.DELETE.KV_${prefix}`);
        return !Object.hasOwn(answer.json<object>(), "error");
      };
      return () => until(remove, "a bucket to delete", 10_000);
    }

    it.each(["group", "process"] as const)(
      "a group of order %s goes on where it was, with two members, over two deletions",
      { timeout: 40_000 },
      async (order) => {
        const prefix = fresh(`k${process.pid}`);
        const [one, two] = [await open(prefix), await open(prefix)];
        const seen = new Seen();
        for (const bus of [one, two]) await bus.subscribe(Tick, seen.handle, { group: "g", order });
        const remove = await removal(prefix);
        await one.publish(Tick, { n: 0 });
        await until(() => seen.count === 1, "the first");
        for (const round of [1, 2]) {
          await remove();
          await two.publish(Tick, { n: round });
          await until(
            () => seen.numbers.includes(round),
            () => `the event after deletion ${round}; ${seen.numbers.join()}`,
            12_000,
          );
        }
        await one.publish(Tick, { n: 3 }, { delayMs: 100 });
        await until(() => seen.numbers.includes(3), "one that was due later", 12_000);
        // what was settled in the last second may come again: how far the group was is said that often
        expect([...new Set(seen.numbers)].toSorted()).toEqual([0, 1, 2, 3]);
        await until(async () => (await one.groups.info("g")).members.length === 2, "both members in the group", 10_000);
        const late = await open(prefix);
        await late.subscribe(Tick, seen.handle, { group: "g", order });
      },
    );

    it("without a publish: nobody waits for the next one", { timeout: 30_000 }, async () => {
      const prefix = fresh(`k${process.pid}`);
      const bus = await open(prefix);
      await bus.subscribe(Tick, new Seen().handle, { group: "g" });
      await (
        await removal(prefix)
      )();
      await until(async () => (await bus.health()).status === "up", "the bucket", 10_000);
      await until(async () => (await bus.groups.list()).length === 1, "the group", 10_000);
    });
  });
});
