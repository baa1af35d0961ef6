import { describe, expect, it, onTestFinished } from "vitest";
import { nats } from "../../src/drivers/nats/index.ts";
import { connect, defineRequest, typed } from "../../src/index.ts";
import { FaultProxy, until } from "../../src/testing/index.ts";
import { connectTo, consume, groupSpec, joinGroup } from "../support/driver-harness.ts";
import { fresh, Seen, Tick } from "../support/events.ts";
import { natsServers } from "../support/nats-world.ts";
import { bytes } from "../support/state-cases.ts";

const twice = defineRequest("twice", { request: typed<number>(), response: typed<number>() });

describe.each(await natsServers())("one connection to $name", (server) => {
  describe.skipIf(server.broker === undefined)("is all that is made", () => {
    async function line(): Promise<{ readonly proxy: FaultProxy; readonly url: string; readonly prefix: string }> {
      const proxy = await FaultProxy.start(server.broker!.url);
      onTestFinished(() => proxy.close());
      return { proxy, url: proxy.url(server.broker!.url), prefix: fresh(`c${process.pid}`) };
    }

    it("by a bus, however many groups, tails, responders and requests it has", async () => {
      const { proxy, url, prefix } = await line();
      await using bus = await connect({ driver: nats({ servers: url }), prefix });
      const seen = Array.from({ length: 16 }, () => new Seen());
      for (const [n, { handle }] of seen.entries())
        await bus.subscribe(Tick, handle, n % 2 === 0 ? { group: `g${n}` } : {});
      await bus.respond(twice, async (n) => n * 2);
      await bus.publish(Tick, { n: 1 });
      expect(await bus.request(twice, 21)).toBe(42);
      await until(
        () => seen.every(({ numbers }) => numbers.join() === "1"),
        () => `each to have it: ${seen.map(({ count }) => count).join(", ")}`,
        10_000,
      );
      expect((await bus.health()).status).toBe("up");
      expect(proxy.accepted).toBe(1);
    });

    it("by a driver, however many groups, tails and watchers of its state", async () => {
      const { proxy, url, prefix } = await line();
      const { connection } = await connectTo(nats({ servers: url }), { prefix });
      onTestFinished(() => connection.close(AbortSignal.timeout(2_000)));
      await connection.ensureStream({ name: "events", topics: [">"], partitions: 1 });
      const keys = Array.from({ length: 8 }, (_, n) => `k${n}`);
      const changed = new Set<string>();
      const over = new AbortController();
      const watching: Promise<void>[] = [];
      for (const key of keys) {
        await connection.ensureGroup(groupSpec(key));
        await joinGroup(connection, key);
        await consume(connection, { kind: "tail", stream: "events", from: { at: "newest" }, resume: undefined });
        const watched = async (): Promise<void> => {
          for await (const each of connection.state!.watch(`bucket-${key}`, key, over.signal)) changed.add(each.key);
        };
        watching.push(watched());
      }
      for (const key of keys) await connection.state!.put(`bucket-${key}`, key, bytes("1"), {});
      await until(
        () => changed.size === keys.length,
        () => `each watcher to be told: ${[...changed].join(", ")}`,
        10_000,
      );
      expect(proxy.accepted).toBe(1);
      over.abort();
      await Promise.all(watching);
    });
  });
});
