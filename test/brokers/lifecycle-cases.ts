import { once } from "node:events";
import { readdirSync } from "node:fs";
import { createServer } from "node:net";
import { describe, expect, it } from "vitest";
import type { Broker } from "../../scripts/brokers/broker.ts";
import { type BrokerName, brokerKinds } from "../../scripts/brokers/broker-name.ts";
import { listInstances } from "../../scripts/brokers/instances.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { until, within } from "../../src/testing/until.ts";
import { ended } from "../support/test-broker.ts";
import { hands, portOf } from "./hands.ts";

/** What holds for every broker of our own. All that one alone can go through is done to `shared`, since starting is slow. */
export function lifecycleOf(name: BrokerName, available: Broker | undefined, home: string): void {
  const shared = available as Broker; // without it all of it is skipped
  const { store, stored, ask, timeout } = hands[name];
  const folders = (): readonly string[] => readdirSync(home).filter((each) => each.startsWith("omnibus-"));
  const port = available === undefined ? 0 : portOf(available);

  describe.skipIf(available === undefined)(`${name}: a broker of our own`, { timeout }, () => {
    it("is another one for each that starts it, ready at once, gone with its folder when it is disposed of, and not in silence when it ended by itself", async () => {
      const before = folders();
      const both = await Promise.all([startBroker(name, { own: true }), startBroker(name, { own: true })]);
      const [one, other] = both;
      try {
        expect(one.url).not.toBe(other.url);
        await store(portOf(one));
        expect([await stored(portOf(one)), await stored(portOf(other))]).toEqual([1, 0]);
        expect(folders()).toHaveLength(before.length + 2);
        const { processes } = listInstances().find(({ ports }) => ports[0]?.includes(portOf(other)))!;
        process.kill(processes[0]!.pid, "SIGKILL");
        await until(async () => (await other.state()) === "down", "its end");
        // What `testBroker` does at the end of a file.
        await expect(ended(name, other)).rejects.toThrow(`${name} ended by itself:\n`);
        await ended(name, one);
      } finally {
        await one[Symbol.asyncDispose]();
      }
      for (const each of both) await expect(ask(portOf(each))).rejects.toThrow("ECONNREFUSED");
      expect(folders()).toEqual(before);
    });

    it("keeps its data and its port when it is killed, stopped and restarted", async () => {
      await store(port);
      await shared.kill();
      expect(await shared.state()).toBe("down");
      await expect(ask(port)).rejects.toThrow("ECONNREFUSED");
      await shared.start();
      expect(await stored(port)).toBe(1);
      await shared.restart();
      expect(await stored(port)).toBe(1);
    });

    it("answers nothing while it is paused, and all of it afterwards", async () => {
      await shared.pause();
      expect(await shared.state()).toBe("paused");
      await expect(within(ask(port), "an answer", 300)).rejects.toThrow("not within 300 ms");
      await shared.resume();
      expect(await shared.state()).toBe("running");
      await ask(port);
    });

    it("is started, stopped and killed while it is paused", async () => {
      await shared.pause();
      await shared.start();
      await ask(port);
      await shared.pause();
      await shared.stop();
      expect(await shared.state()).toBe("down");
      await shared.start();
      await ask(port);
      await shared.pause();
      await shared.kill();
      expect(await shared.state()).toBe("down");
      await shared.start();
    });

    it("knows whether it ended by itself or was told to", async () => {
      const [server] = shared.servers;
      const told = async (): Promise<boolean> => await server!.endedByItself();
      const { processes } = listInstances().find(({ ports }) => ports[0]?.includes(port))!;
      expect(await told()).toBe(false);
      process.kill(processes[0]!.pid, "SIGKILL");
      await until(async () => (await shared.state()) === "down", "its end");
      expect(await told()).toBe(true);
      await shared.start();
      expect(await told()).toBe(false);
      await shared.kill();
      expect(await told()).toBe(false);
      await shared.start();
      await shared.stop();
      expect(await told()).toBe(false);
    });

    it("fails with the server's own words when it can't start", async () => {
      await shared.kill();
      const thief = createServer().listen(port, "127.0.0.1");
      try {
        await once(thief, "listening");
        await expect(shared.start()).rejects.toThrow(
          expect.objectContaining({
            message: expect.stringMatching(/ended instead of starting:\n.*(?:address already in use|eaddrinuse)/is),
            portTaken: true,
          }),
        );
      } finally {
        await thief[Symbol.asyncDispose]();
      }
      await shared.start();
    });

    it("says what the server said", async () => {
      expect(await shared.logs()).toMatch(brokerKinds[name]!.readyLine);
      expect(shared.version).toMatch(/^\d+\.\d+(?:\.\d+)?$/);
    });
  });
}
