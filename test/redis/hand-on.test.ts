import { afterEach, describe, expect, it } from "vitest";
import type { Driver } from "../../src/driver.ts";
import { redis } from "../../src/drivers/redis/index.ts";
import { type Bus, connect, defineEvent, typed } from "../../src/index.ts";
import { until } from "../../src/testing/index.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("redis");
const open: Bus[] = [];
const known = defineEvent("known", { schema: typed<{ readonly n: number }>() });
const added = defineEvent("added", { schema: typed<{ readonly n: number }>() });

/** Counts by its place how often a message was passed on. */
function counting(driver: Driver, passed: Map<string, number>): Driver {
  return {
    ...driver,
    async connect(context) {
      const connection = await driver.connect(context);
      const consume = connection.consume.bind(connection);
      connection.consume = async (...args) => {
        const consumption = await consume(...args);
        const settle = consumption.settle.bind(consumption);
        consumption.settle = (batch) => {
          for (const { how, message } of batch) {
            const place = `${message.partition} ${message.position}`;
            if (how === "release") passed.set(place, (passed.get(place) ?? 0) + 1);
          }
          return settle(batch);
        };
        return consumption;
      };
      return connection;
    },
  };
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((bus) => bus.close({ timeoutMs: 2_000 })));
});

describe.skipIf(broker === undefined)("members of different versions in a group without an order on redis", () => {
  it("pass an event that one of them does not know to the other, once, however long that one has no room", async () => {
    const prefix = freshPrefix();
    const passed = new Map<string, number>();
    const bus = async (): Promise<Bus> => {
      const made = await connect({ driver: counting(redis({ url: broker!.url, pollMs: 60_000 }), passed), prefix });
      open.push(made);
      return made;
    };
    const [before, after, publisher] = [await bus(), await bus(), await bus()];
    const handled: string[] = [];
    const options = { group: "g", order: "none", concurrency: 4 } as const;
    const handler =
      (version: string, ms: number) =>
      async (event: { readonly type: string }): Promise<void> => {
        await new Promise((resolve) => setTimeout(resolve, ms));
        handled.push(`${event.type} by ${version}`);
      };
    await before.subscribe(known, handler("before", 0), options);
    await after.subscribe(known, handler("after", 10), options);
    await after.subscribe(added, handler("after", 10), options);
    const all = 800; // what takes far less than the 10 s after which it would come back
    await Promise.all(Array.from({ length: all }, (_, n) => publisher.publish(n % 2 === 0 ? known : added, { n })));
    await until(
      () => handled.length >= all,
      () => `${all} to be handled; ${handled.length} were`,
      30_000,
    );
    expect(handled.filter((each) => each === "added by after")).toHaveLength(all / 2);
    expect(passed.size).toBeGreaterThan(0);
    expect(Math.max(...passed.values())).toBe(1);
    expect(handled).toHaveLength(all);
  });
});
