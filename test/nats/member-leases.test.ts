import { describe, expect, it } from "vitest";
import { silence } from "../../src/testing/until.ts";
import { groupSpec, joinGroup, publish, until } from "../support/driver-harness.ts";
import { natsServers, NatsWorld } from "../support/nats-world.ts";

const servers = await natsServers();
const streams = [{ name: "events", topics: [">"], partitions: 4 }];

describe.each(servers)("members with different leases, at $name", (server) => {
  describe.skipIf(server.broker === undefined)("of one ordered group", () => {
    it("each is given its own: nobody who lives loses what it holds", { timeout: 30_000 }, async () => {
      const world = new NatsWorld(server);
      const slow = await world.connect({ leaseMs: 6_000, member: "a", streams });
      await slow.ensureGroup(groupSpec("g", { order: "group" }));
      const held = await joinGroup(slow, "g");
      for (const hash of [0, 1, 2, 3]) publish(slow, [`p${hash}`], { hash });
      await until(() => held.sink.messages.length === 4, "one of each partition", 10_000);
      const quick = await world.connect({ leaseMs: 300, member: "b", streams: [] });
      const { sink } = await joinGroup(quick, "g");
      await silence(() => sink.messages.length, "what the other is handling", 3_000); // ten of its leases
      expect(held.sink.revocations).toEqual([]);
      held.consumption.ack(held.sink.messages);
      publish(slow, ["p0", "p1", "p2", "p3"].map(String));
      await until(() => held.sink.messages.length + sink.messages.length === 8, "the next ones", 10_000);
    });
  });
});
