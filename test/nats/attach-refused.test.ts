import { connect as connectClient } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { connect, type Bus } from "../../src/index.ts";
import { nats } from "../../src/drivers/nats/index.ts";
import { fresh } from "../support/events.ts";
import { natsServers } from "../support/nats-world.ts";

const servers = await natsServers();

describe.each(servers)("a stream that can't be worked with, at $name", (server) => {
  describe.skipIf(server.broker === undefined)("is not attached", () => {
    async function attach(config: object, topics: readonly string[]): Promise<Bus> {
      const client = await connectClient({ servers: server.broker!.url });
      const stream = fresh(`T${process.pid}`);
      const before = `${stream.toLowerCase()}.`;
      const made = await client.request(
        `$JS.API.STREAM.CREATE.${stream}`,
        JSON.stringify({ name: stream, subjects: [`${before}orders.eu.>`], ...config }),
      );
      expect(made.json()).not.toHaveProperty("error");
      onTestFinished(async () => {
        await client.request(`$JS.API.STREAM.DELETE.${stream}`, undefined, { timeout: 10_000 });
        await client.close();
      });
      const driver = nats({ servers: server.broker!.url, attach: { shop: { stream, subjectPrefix: before } } });
      const bus = await connect({ driver, prefix: fresh(`t${process.pid}`), streams: [{ name: "shop", topics }] });
      onTestFinished(() => bus.close().then(() => undefined));
      return bus;
    }

    it("one that answers no publish", async () => {
      await expect(attach({ no_ack: true }, ["orders.eu.>"])).rejects.toMatchObject({
        code: "BUS_UNSUPPORTED",
        message: expect.stringContaining("no_ack"),
      });
    });

    it("one that mirrors another, whose subjects it can't have", async () => {
      const mirror = { mirror: { name: fresh("NONE") }, subjects: undefined };
      await expect(attach(mirror, ["orders.eu.>"])).rejects.toMatchObject({ code: "BUS_UNSUPPORTED" });
    });

    it("one that takes only a part of a topic's subjects", async () => {
      await expect(attach({}, ["orders.>"])).rejects.toMatchObject({ code: "BUS_CONFLICT" });
      const bus = await attach({}, ["orders.eu.>", "orders.eu.placed"]);
      expect((await bus.publishTopic("orders.eu.placed", {})).stream).toBe("shop");
    });
  });
});
