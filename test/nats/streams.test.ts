import { connect as connectClient } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { publish, until } from "../support/driver-harness.ts";
import { natsServers, NatsWorld } from "../support/nats-world.ts";

const servers = await natsServers();

describe.each(servers)("what a publish says of its stream, at $name", (server) => {
  describe.skipIf(server.broker === undefined)("to the server", () => {
    it("its name: another stream that takes its subjects by then stores nothing of it", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      const client = await connectClient({ servers: world.url });
      onTestFinished(() => client.close());
      const ours = `${world.prefix}=s=events`;
      const other = `OTHER-${world.prefix}`;
      const [first] = publish(connection, ["1"]);
      await until(() => first!.outcome === "stored", "the first");
      await client.request(`$JS.API.STREAM.DELETE.${ours}`, undefined, { timeout: 10_000 });
      const config = { name: other, subjects: [`${world.prefix}.s.events.>`] };
      const made = await client.request(`$JS.API.STREAM.CREATE.${other}`, JSON.stringify(config), { timeout: 10_000 });
      expect(made.json()).not.toHaveProperty("error");
      onTestFinished(() =>
        client.request(`$JS.API.STREAM.DELETE.${other}`, undefined, { timeout: 10_000 }).then(() => undefined),
      );
      const [second] = publish(connection, ["2"]);
      await until(() => second!.outcome !== "waiting", "an answer");
      expect([second!.outcome, second!.error]).toMatchObject(["no", { errCode: 10_060 }]);
      const info = await client.request(`$JS.API.STREAM.INFO.${other}`, undefined, { timeout: 10_000 });
      expect(info.json<{ readonly state: { readonly messages: number } }>().state.messages).toBe(0);
    });

    it("ids count for as long as the stream keeps them, two minutes or its age", async () => {
      const world = new NatsWorld(server);
      await world.connect({
        streams: [
          { name: "events", topics: ["a.>"] },
          { name: "short", topics: ["b.>"], maxAgeMs: 5_000 },
        ],
      });
      const client = await connectClient({ servers: world.url });
      onTestFinished(() => client.close());
      const windowMs = async (name: string): Promise<number> => {
        const info = await client.request(`$JS.API.STREAM.INFO.${world.prefix}=s=${name}`, undefined, {
          timeout: 10_000,
        });
        return info.json<{ readonly config: { readonly duplicate_window: number } }>().config.duplicate_window / 1e6;
      };
      expect([await windowMs("events"), await windowMs("short")]).toEqual([120_000, 5_000]);
    });
  });
});
