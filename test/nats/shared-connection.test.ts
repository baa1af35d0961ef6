import { connect as connectClient } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { connect } from "../../src/index.ts";
import { nats } from "../../src/drivers/nats/index.ts";
import { fresh } from "../support/events.ts";
import { natsServers } from "../support/nats-world.ts";

const servers = await natsServers();

describe.each(servers)("a connection of the user's, at $name", (server) => {
  describe.skipIf(server.broker === undefined)("that outlives many buses", () => {
    it("keeps nothing of those that were closed: no listener of statuses, no subscription", async () => {
      const client = await connectClient({ servers: server.broker!.url });
      onTestFinished(() => client.close());
      const { protocol } = client as unknown as {
        readonly protocol: { readonly listeners: readonly unknown[]; readonly subscriptions: { size(): number } };
      };
      const kept = (): readonly number[] => [protocol.listeners.length, protocol.subscriptions.size()];
      const before = kept();
      const prefix = fresh(`s${process.pid}`);
      for (let times = 0; times < 5; times += 1) {
        const bus = await connect({ driver: nats({ connection: client }), prefix });
        expect(kept()).not.toEqual(before);
        await bus.close();
      }
      await client.flush();
      expect(kept()).toEqual(before);
    });
  });
});
