import { randomUUID } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { type Bus, type BusStatus, connect, createBus, defineEvent, typed } from "../../src/index.ts";
import { redis, type RedisOptions } from "../../src/drivers/redis/index.ts";
import { FaultProxy, until } from "../../src/testing/index.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("redis", { own: true });
const item = defineEvent("item", { schema: typed<{ readonly n: number }>() });
const quick = { leaseMs: 600, socketTimeoutMs: 800, pollMs: 200 } as const;
const open: Bus[] = [];

interface Place {
  readonly url?: string;
  readonly prefix?: string;
  readonly options?: RedisOptions;
}

async function bus({ url = broker!.url, prefix = fresh(), options = {} }: Place = {}): Promise<Bus> {
  const made = await connect({
    driver: redis({ url, ...quick, ...options }),
    prefix,
    retry: { backoff: { baseMs: 5 } },
  });
  open.push(made);
  return made;
}

const fresh = (): string => `r${randomUUID()}`;
const cli = (...args: readonly string[]): Promise<string> => redisCommand(broker!.servers[0]!.port, ...args);

/** What was handled, by number, and what was said. */
class Handled {
  readonly numbers: number[] = [];
  readonly said: BusStatus[] = [];

  async of(bus: Bus, group: string, options: object = {}): Promise<this> {
    bus.onStatus((status) => void this.said.push(status));
    await bus.subscribe(item, ({ data }) => void this.numbers.push(data.n), { group, ...options });
    return this;
  }

  get all(): readonly number[] {
    return [...new Set(this.numbers)].toSorted((left, right) => left - right);
  }

  has(count: number): Promise<void> {
    return until(
      () => this.all.length >= count,
      () => `${count} to be handled; ${this.all.length} were`,
    );
  }
}

const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, n) => n);

/** Publishes each until it is stored, under one id, so many side by side. */
async function publishAll(from: Bus, count: number): Promise<void> {
  await Promise.all(
    upTo(20).map(async (publisher) => {
      for (let n = publisher; n < count; n += 20) {
        const stored = (): Promise<boolean> =>
          from.publish(item, { n }, { id: `n${n}`, key: `k${n % 7}` }).then(
            () => true,
            () => false,
          );
        await until(stored, `number ${n} to be stored`, 30_000);
      }
    }),
  );
}

/** Entries of a stream, over its partitions. */
async function entries(prefix: string): Promise<number> {
  const counts = await Promise.all(upTo(16).map((p) => cli("XLEN", `{${prefix}}:s:events:${p}`)));
  return counts.reduce((sum, count) => sum + Number(count.replace(/\D/g, "")), 0);
}

afterEach(async () => {
  await broker?.resume().catch(() => undefined);
  await Promise.all(open.splice(0).map((each) => each.close({ timeoutMs: 1_000 })));
});

describe.skipIf(broker === undefined)("faults of redis", () => {
  it.each(["none", "group"] as const)(
    "a paused server: everything goes on when it wakes (order: %s)",
    async (order) => {
      const prefix = fresh();
      const [one, two] = [await bus({ prefix }), await bus({ prefix })];
      const handled = await new Handled().of(two, "g", { order });
      await publishAll(one, 50);
      await broker!.pause();
      const publishing = publishAll(one, 200);
      await until(async () => (await two.health()).status !== "up", "the loss to be noticed");
      await broker!.resume();
      await publishing;
      await handled.has(200);
      await until(async () => (await two.health()).status === "up", "to be up again");
      expect(handled.all).toEqual(upTo(200));
      expect(await entries(prefix)).toBe(200);
    },
  );

  it.each(["none", "group"] as const)(
    "a reset in the middle of a batch, again and again (order: %s)",
    async (order) => {
      await using proxy = await FaultProxy.start(broker!.url);
      const prefix = fresh();
      const one = await bus({ prefix, url: proxy.url(broker!.url) });
      const two = await bus({ prefix, url: proxy.url(broker!.url) });
      const handled = await new Handled().of(two, "g", { order });
      const publishing = publishAll(one, 600);
      for (const count of [100, 250, 400]) {
        await handled.has(count);
        proxy.reset();
      }
      await publishing;
      await handled.has(600);
      expect(handled.all).toEqual(upTo(600));
      expect(await entries(prefix)).toBe(600);
    },
  );

  it("a swallowed answer: stored once, and the publish resolves", async () => {
    await using proxy = await FaultProxy.start(broker!.url);
    const prefix = fresh();
    const one = await bus({ prefix, url: proxy.url(broker!.url) });
    await one.publish(item, { n: 0 });
    const swallowed = proxy.swallowReply({ request: /swallowed/ });
    const receipt = await one.publish(item, { n: 1 }, { id: "swallowed" });
    expect(await swallowed).toBe(true);
    expect(receipt.duplicate).toBe(true);
    expect(await entries(prefix)).toBe(2);
  });

  it("a line that is half open is given up, and deliveries go on", async () => {
    await using proxy = await FaultProxy.start(broker!.url);
    const prefix = fresh();
    const [one, two] = [await bus({ prefix }), await bus({ prefix, url: proxy.url(broker!.url) })];
    const handled = await new Handled().of(two, "g");
    await publishAll(one, 20);
    await handled.has(20);
    proxy.halfOpen();
    await publishAll(one, 40);
    await handled.has(40);
    expect(handled.said.map(({ type }) => type)).toContain("disconnected");
  });

  it("a group deleted under its subscriber goes on before its oldest unsettled", async () => {
    const prefix = fresh();
    const one = await bus({ prefix });
    const gate = Promise.withResolvers<void>();
    const runs: number[] = [];
    await one.subscribe(
      item,
      async ({ data }) => {
        runs.push(data.n);
        if (data.n === 5) await gate.promise;
      },
      { group: "g" },
    );
    for (const n of upTo(20)) await one.publish(item, { n }, { key: `${n}` });
    await until(() => runs.length >= 20, "all to have begun");
    for (const p of upTo(16)) await cli("XGROUP", "DESTROY", `{${prefix}}:s:events:${p}`, "g");
    await cli("DEL", `{${prefix}}:groups`, `{${prefix}}:g:g`, `{${prefix}}:g:g:m`);
    for (const n of upTo(20)) await one.publish(item, { n: 20 + n });
    gate.resolve();
    await until(
      () => new Set(runs).size >= 40,
      () => `all 40; ${new Set(runs).size} came`,
    );
  });

  it("consumer groups destroyed alone come back, and lose nothing", async () => {
    const prefix = fresh();
    const one = await bus({ prefix });
    const handled = await new Handled().of(one, "g");
    await publishAll(one, 20);
    await handled.has(20);
    for (const p of upTo(16)) await cli("XGROUP", "DESTROY", `{${prefix}}:s:events:${p}`, "g");
    await publishAll(one, 60);
    await handled.has(60);
    expect(handled.all).toEqual(upTo(60));
  });

  it("a flushed database: streams and groups are made again, and what comes then is handled", async () => {
    const prefix = fresh();
    const [one, two] = [await bus({ prefix }), await bus({ prefix })];
    const handled = await new Handled().of(two, "g");
    await two.subscribe(item, () => undefined); // a tail as well
    await publishAll(one, 20);
    await handled.has(20);
    await cli("FLUSHALL");
    for (const n of upTo(20)) {
      const stored = (): Promise<boolean> =>
        one.publish(item, { n: 20 + n }).then(
          () => true,
          () => false,
        );
      await until(stored, "it to be stored again");
    }
    await handled.has(40);
    expect(handled.all).toEqual(upTo(40));
  });

  it("keys of a stream deleted behind its back: what comes then is handled", async () => {
    const prefix = fresh();
    const one = await bus({ prefix });
    const handled = await new Handled().of(one, "g");
    await publishAll(one, 20);
    await handled.has(20);
    for (const p of upTo(16)) await cli("DEL", `{${prefix}}:s:events:${p}`);
    for (const n of upTo(20)) await one.publish(item, { n: 20 + n });
    await handled.has(40);
    expect(handled.all).toEqual(upTo(40));
  });

  it("a full server refuses to publish, typed, hands out what it has, and goes on when there is room", async () => {
    const prefix = fresh();
    const one = await bus({ prefix });
    await publishAll(one, 100);
    await cli("CONFIG", "SET", "maxmemory", "1");
    try {
      const refused = await one.publish(item, { n: 100 }, { timeoutMs: 300 }).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: "BUS_FULL", outcome: "rejected" });
      await cli("CONFIG", "SET", "maxmemory", "0");
      const handled = await new Handled().of(one, "g", { from: "oldest" });
      await handled.has(1);
      await cli("CONFIG", "SET", "maxmemory", "1");
      await handled.has(100);
      await until(async () => (await one.groups.info("g")).inFlight === 0, "all of it to be settled");
    } finally {
      await cli("CONFIG", "SET", "maxmemory", "0");
    }
    await publishAll(one, 101);
  });

  it("scripts flushed while it runs", async () => {
    const prefix = fresh();
    const [one, two] = [await bus({ prefix }), await bus({ prefix })];
    const handled = await new Handled().of(two, "g", { order: "group" });
    const publishing = publishAll(one, 400);
    for (const count of [50, 150, 300]) {
      await handled.has(count);
      await cli("SCRIPT", "FLUSH");
    }
    await publishing;
    await handled.has(400);
    expect(handled.numbers.length).toBe(400);
  });

  it("a server that is not there yet", async () => {
    await broker!.stop();
    const prefix = fresh();
    const one = createBus({ driver: redis({ url: broker!.url, ...quick }), prefix });
    open.push(one);
    const handled = new Handled();
    const subscribing = handled.of(one, "g");
    await broker!.start();
    await subscribing;
    await publishAll(one, 20);
    await handled.has(20);
    expect(handled.all).toEqual(upTo(20));
  });
});
