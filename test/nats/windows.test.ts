import { describe, expect, it } from "vitest";
import { groupSpec, joinGroup, numbered, publish, until } from "../support/driver-harness.ts";
import { NatsWorld, natsServers } from "../support/nats-world.ts";

describe.each(await natsServers())("the window of a group's member at $name", (server) => {
  describe.skipIf(server.broker === undefined).each(["none", "group"] as const)("(order: %s)", (order) => {
    it("is filled again as soon as there is room, however long it was full", async () => {
      const connection = await new NatsWorld(server).connect();
      await connection.ensureGroup(groupSpec("g", { order }));
      publish(connection, numbered(20));
      const { sink, consumption } = await joinGroup(connection, "g", { messages: 5, bytes: 1_000_000 });
      const handled: string[] = [];
      while (handled.length < 20) {
        await until(
          () => sink.messages.length === 5,
          () => `five more, not ${sink.messages.length}, after ${handled.length}`,
          2_000,
        );
        const from = performance.now();
        await until(() => performance.now() - from > 150, "nothing to be under way");
        expect(sink.messages.length).toBe(5);
        handled.push(...sink.texts);
        consumption.ack(sink.messages.splice(0));
      }
      expect(handled.toSorted()).toEqual(numbered(20).toSorted());
    });
  });
});
