import { once } from "node:events";
import { readdirSync } from "node:fs";
import { createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { listInstances } from "../../scripts/brokers/instances.ts";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import type { Broker } from "../../scripts/brokers/broker.ts";
import { until } from "../../src/testing/until.ts";
import { brokersHome } from "../support/brokers-home.ts";
import { LineSocket } from "../support/line-socket.ts";
import { NatsLines } from "../support/nats-lines.ts";
import { testBroker } from "../support/test-broker.ts";

const home = brokersHome();
const folders = (): readonly string[] => readdirSync(home).filter((name) => name.startsWith("omnibus-"));
const portOf = (broker: Broker): number => Number(new URL(broker.url).port);

/** What a test does to a broker and its data, by hand. */
interface Hands {
  readonly store: (port: number) => Promise<void>;
  readonly stored: (port: number) => Promise<number>;
  readonly ask: (port: number, withinMs?: number) => Promise<string>;
}

const hands: Record<"nats" | "redis", Hands> = {
  nats: {
    store: async (port) => {
      using nats = await NatsLines.connect(port);
      const stream = { name: "kept", subjects: ["kept.>"], storage: "file" };
      expect(await nats.request("$JS.API.STREAM.CREATE.kept", JSON.stringify(stream))).toContain('"did_create":true');
      expect(await nats.request("kept.one", "a message")).toContain('"seq":1');
    },
    stored: async (port) => {
      using nats = await NatsLines.connect(port);
      const info = JSON.parse(await nats.request("$JS.API.STREAM.INFO.kept", "")) as { state?: { messages: number } };
      return info.state?.messages ?? 0;
    },
    ask: async (port, withinMs) => {
      using socket = LineSocket.plain(port);
      return await socket.next(withinMs);
    },
  },
  redis: {
    store: async (port) => void (await redisCommand(port, "SET", "kept", "1")),
    stored: async (port) => Number((await redisCommand(port, "GET", "kept")).split("\r\n")[1] ?? 0),
    ask: async (port, withinMs) => {
      using socket = LineSocket.plain(port);
      socket.send("PING");
      return await socket.next(withinMs);
    },
  },
};

describe.each(["nats", "redis"] as const)("%s", async (name) => {
  const shared = await testBroker(name, { own: true });
  describe.skipIf(shared === undefined)("a broker of our own", () => {
    const { store, stored, ask } = hands[name];

    it("takes connections as soon as it is started, and is gone with its folder when it is disposed of", async () => {
      const before = folders();
      const broker = await startBroker(name, { own: true });
      const port = portOf(broker);
      await ask(port);
      expect(folders()).toHaveLength(before.length + 1);
      await broker[Symbol.asyncDispose]();
      await expect(ask(port)).rejects.toThrow("ECONNREFUSED");
      expect(folders()).toEqual(before);
    });

    it("is another one for each that starts it at the same time", async () => {
      const both = await Promise.all([startBroker(name, { own: true }), startBroker(name, { own: true })]);
      await using one = both[0];
      await using other = both[1];
      expect(one.url).not.toBe(other.url);
      await store(portOf(one));
      expect([await stored(portOf(one)), await stored(portOf(other))]).toEqual([1, 0]);
    });

    it("keeps its data and its port when it is killed, stopped and restarted", async () => {
      await using broker = await startBroker(name, { own: true });
      const port = portOf(broker);
      await store(port);
      await broker.kill();
      expect(await broker.state()).toBe("down");
      await expect(ask(port)).rejects.toThrow("ECONNREFUSED");
      await broker.start();
      expect(await stored(port)).toBe(1);
      await broker.restart();
      expect(await stored(port)).toBe(1);
      await broker.stop();
      expect(await broker.state()).toBe("down");
      await broker.start();
      expect(await stored(port)).toBe(1);
    });

    it("answers nothing while it is paused, and all of it afterwards", async () => {
      await using broker = await startBroker(name, { own: true });
      const port = portOf(broker);
      await broker.pause();
      expect(await broker.state()).toBe("paused");
      await expect(ask(port, 300)).rejects.toThrow("not within 300 ms");
      await broker.resume();
      expect(await broker.state()).toBe("running");
      await ask(port);
    });

    it("is killed and started while it is paused", async () => {
      await using broker = await startBroker(name, { own: true });
      await broker.pause();
      await broker.stop();
      await broker.start();
      await broker.pause();
      await broker.start();
      await ask(portOf(broker));
      await broker.pause();
      await broker.kill();
      expect(await broker.state()).toBe("down");
    });

    it("knows whether it ended by itself or was told to", async () => {
      await using broker = await startBroker(name, { own: true });
      const [server] = broker.servers;
      const told = async (): Promise<boolean> => await server!.endedByItself();
      const { processes } = listInstances().find(({ ports }) => ports[0]?.includes(portOf(broker)))!;
      expect(await told()).toBe(false);
      process.kill(processes[0]!.pid, "SIGKILL");
      await until(async () => (await broker.state()) === "down", "its end");
      expect(await told()).toBe(true);
      await broker.start();
      expect(await told()).toBe(false);
      await broker.kill();
      expect(await told()).toBe(false);
      await broker.start();
      await broker.stop();
      expect(await told()).toBe(false);
    });

    it("fails with the server's own words when it can't start", async () => {
      await using broker = await startBroker(name, { own: true });
      await broker.kill();
      await using thief = createServer().listen(portOf(broker), "127.0.0.1");
      await once(thief, "listening");
      await expect(broker.start()).rejects.toThrow(/ended instead of starting:\n.*address already in use/is);
    });

    it("says what the server said", async () => {
      expect(await shared?.logs()).toMatch(name === "nats" ? /Server is ready/ : /Ready to accept connections/);
      expect(shared?.version).toMatch(/^\d+\.\d+\.\d+$/);
    });
  });
});
