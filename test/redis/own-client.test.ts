import { createClient } from "redis";
import { describe, expect, it } from "vitest";
import { redis } from "../../src/drivers/redis/index.ts";
import { type Bus, connect, defineEvent, defineRequest, typed } from "../../src/index.ts";
import { until } from "../../src/testing/index.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("redis");
const item = defineEvent("item", { schema: typed<{ readonly n: number }>() });
const twice = defineRequest("twice", { request: typed<number>(), response: typed<number>() });

describe.skipIf(broker === undefined)("a client of the user's", () => {
  it("carries several buses of one prefix and another, and stays as it was when they close", async () => {
    const client = createClient({ url: broker!.url });
    client.on("error", () => undefined);
    await client.connect();
    try {
      const prefix = freshPrefix();
      const open = (of: string): Promise<Bus> => connect({ driver: redis({ client }), prefix: of });
      const [one, two, other] = [await open(prefix), await open(prefix), await open(freshPrefix())];
      expect(one.driver!.client).toBe(client);
      const seen: string[] = [];
      for (const [name, bus] of Object.entries({ one, two, other }))
        await bus.subscribe(item, ({ data }) => void seen.push(`${name} ${data.n}`), { group: name });
      await one.publish(item, { n: 1 });
      await other.publish(item, { n: 2 });
      await until(() => seen.length === 3, "each to have what is its own");
      expect(seen.toSorted()).toEqual(["one 1", "other 2", "two 1"]);
      await one.close();
      expect(client.isOpen).toBe(true);
      await two.publish(item, { n: 3 });
      await until(() => seen.includes("two 3"), "the other one to go on");
      await Promise.all([two.close(), other.close()]);
      expect(await client.ping()).toBe("PONG");
      await client.set(`{${prefix}}:mine`, "text");
      expect(await client.get(`{${prefix}}:mine`)).toBe("text"); // and no buffer
      expect(client.listenerCount("error")).toBe(1);
    } finally {
      client.destroy();
    }
  });

  it("carries groups, tails and requests of two buses, one of which closes in the middle of its work", async () => {
    const client = createClient({ url: broker!.url });
    client.on("error", () => undefined);
    await client.connect();
    try {
      const prefix = freshPrefix();
      const open = (): Promise<Bus> => connect({ driver: redis({ client, leaseMs: 1_000 }), prefix });
      const [one, two] = [await open(), await open()];
      const seen = { group: new Set<number>(), one: [] as number[], two: [] as number[] };
      for (const bus of [one, two])
        await bus.subscribe(item, ({ data }) => void seen.group.add(data.n), { group: "g", order: "none" });
      await one.subscribe(item, ({ data }) => void seen.one.push(data.n));
      await two.subscribe(item, ({ data }) => void seen.two.push(data.n));
      await one.respond(twice, async (n) => n * 2);
      expect(await two.request(twice, 4)).toBe(8);
      const all = Array.from({ length: 100 }, (_, n) => n);
      await Promise.all(all.map((n) => (n % 2 === 0 ? one : two).publish(item, { n })));
      await until(() => seen.one.length === 100 && seen.two.length === 100 && seen.group.size === 100, "all of all");
      await two.respond(twice, async (n) => n * 2);
      const more = all.map((n) => two.publish(item, { n: 100 + n }));
      await one.close();
      await Promise.all(more);
      await until(() => seen.two.length === 200 && seen.group.size === 200, "the other one to have the rest");
      expect(await two.request(twice, 5)).toBe(10);
      await two.close();
      expect([client.isOpen, await client.ping()]).toEqual([true, "PONG"]);
      expect([client.listenerCount("end"), client.listenerCount("error")]).toEqual([0, 1]);
    } finally {
      client.destroy();
    }
  });
});
