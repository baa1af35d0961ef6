import { describe, expect, it } from "vitest";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { defineEvent, typed, type Bus } from "../../src/index.ts";
import { FaultProxy } from "../../src/testing/fault-proxy.ts";
import { until } from "../../src/testing/until.ts";
import { type BrokerWorld, freshName, natsWorld, openBus, redisWorld } from "../support/broker-worlds.ts";
import { failureOf } from "../support/events.ts";
import { reloadNats } from "../support/reload-nats.ts";

const Blob = defineEvent("blob", { schema: typed<Uint8Array>() });
const worlds = [await natsWorld(), await redisWorld()] as const;
const mega = 1_048_576;

/** The sizes of what a group of its own was given so far. */
async function sizesOf(bus: Bus): Promise<() => readonly number[]> {
  const sizes: number[] = [];
  await bus.subscribe(Blob, ({ data }) => void sizes.push(data.byteLength), { group: "g" });
  return () => sizes.toSorted((a, b) => a - b);
}

async function outcomeOf(bus: Bus, bytes: number): Promise<string> {
  const data = new Uint8Array(bytes);
  return bus.publish(Blob, data).then(
    () => "stored",
    ({ code }: { readonly code: string }) => code,
  );
}

describe.each(worlds)("messages that are too large for $name", (world: BrokerWorld) => {
  describe.skipIf(world.broker === undefined)("by the limit of its server", () => {
    it("are refused for certain, and those beside them are stored", async () => {
      const bus = await openBus(world, { prefix: freshName("l"), maxMessageBytes: 64 * mega });
      const got = await sizesOf(bus);
      let [fits, tooLarge] = world.name === "nats" ? [0, 24 * mega] : [11 * mega, 13 * mega];
      expect([await outcomeOf(bus, fits), await outcomeOf(bus, tooLarge)]).toEqual(["stored", "BUS_TOO_LARGE"]);
      const stored = [fits];
      const near = world.name === "nats" ? 1 : 524_288; // Redis's to the byte: test/redis/bad-input.test.ts
      while (tooLarge - fits > near) {
        const middle = Math.floor((fits + tooLarge) / 2);
        const outcome = await outcomeOf(bus, middle);
        if (outcome === "stored") stored.push((fits = middle));
        else {
          expect([middle, outcome]).toEqual([middle, "BUS_TOO_LARGE"]);
          tooLarge = middle;
        }
      }
      expect(fits).toBeGreaterThanOrEqual(world.name === "nats" ? 0.7 * mega : 11 * mega); // as base64
      const beside = await Promise.all([1, tooLarge, 2, fits, tooLarge, 3].map((bytes) => outcomeOf(bus, bytes)));
      expect(beside).toEqual(["stored", "BUS_TOO_LARGE", "stored", "stored", "BUS_TOO_LARGE", "stored"]);
      const all = [...stored, 1, 2, 3, fits].toSorted((a, b) => a - b);
      await until(
        () => got().length >= all.length,
        () => `${got().length} of ${all.length}`,
        15_000,
      );
      expect(got()).toEqual(all);
    });

    it("are certainly not stored, and told without what is in them", async () => {
      const bus = await openBus(world, { maxMessageBytes: 64 * mega });
      const Secret = defineEvent("secret", { schema: typed<string>() });
      const error = await failureOf(bus.publish(Secret, "4111-hidden ".repeat(2 * mega)));
      expect(error).toMatchObject({ code: "BUS_TOO_LARGE", retryable: false });
      expect(error).not.toHaveProperty("outcome", "unknown");
      expect(`${error.message}${JSON.stringify(error)}`).not.toContain("4111");
      expect((await bus.streams.info("events")).messages).toBe(0);
    });
  });
});

describe.skipIf(worlds[0].broker === undefined)("a limit of NATS that changes while the bus is connected", () => {
  it("is the one that counts: lower at once, higher when it is told, which is at the next connection", async () => {
    const [world] = worlds;
    const { url } = world.broker!;
    await using proxy = await FaultProxy.start(url);
    const bus = await openBus(world, { maxMessageBytes: 64 * mega }, proxy.url(url));
    const got = await sizesOf(bus);
    expect(await outcomeOf(bus, 500_000)).toBe("stored");
    await reloadNats(world.broker!, (config) => `${config}max_payload: 65536\n`);
    await until(async () => (await outcomeOf(bus, 100_000)) === "BUS_TOO_LARGE", "the lower limit", 10_000);
    await until(async () => (await outcomeOf(bus, 10_000)) === "stored", "that the rest goes on", 10_000);
    await reloadNats(world.broker!, (config) => `${config}max_payload: ${4 * mega}\n`);
    proxy.reset();
    await until(async () => (await outcomeOf(bus, 2_000_000)) === "stored", "the higher limit", 10_000);
    expect(await outcomeOf(bus, 4 * mega)).toBe("BUS_TOO_LARGE"); // base64
    await until(
      () => [10_000, 500_000, 2_000_000].every((size) => got().includes(size)),
      () => `what was stored: ${got().join()}`,
      10_000,
    );
    await reloadNats(world.broker!, (config) => `${config}max_payload: ${mega}\n`);
    await bus.close();
  });
});

describe.skipIf(worlds[1].broker === undefined)("a limit of Redis that is lower than ours", () => {
  it("refuses what is larger, and the next one is stored", async () => {
    const [, world] = worlds;
    const port = world.broker!.servers[0]!.port;
    await redisCommand(port, "CONFIG", "SET", "proto-max-bulk-len", String(mega));
    try {
      const bus = await openBus(world, { maxMessageBytes: 64 * mega, publishing: {} });
      const got = await sizesOf(bus);
      expect(await outcomeOf(bus, 1)).toBe("stored");
      expect(await outcomeOf(bus, 3 * mega)).toMatch(/^BUS_(TOO_LARGE|SERVER)$/);
      expect(await outcomeOf(bus, 2)).toBe("stored");
      await until(() => got().length >= 2, "the others", 10_000);
      expect(got()).toEqual([1, 2]);
    } finally {
      await redisCommand(port, "CONFIG", "SET", "proto-max-bulk-len", "512mb");
    }
  });
});
