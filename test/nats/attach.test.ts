import { connect as connectClient, type NatsConnection } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { connect, type BusOptions, type Bus } from "../../src/index.ts";
import { nats, type NatsOptions } from "../../src/drivers/nats/index.ts";
import { plainJson } from "../../src/wire.ts";
import { until } from "../support/driver-harness.ts";
import { fresh, Tick } from "../support/events.ts";
import { natsServers } from "../support/nats-world.ts";

const servers = await natsServers();
const streams = [{ name: "shop", topics: ["orders.>"] }] as const;

describe.each(servers)("what is there already, at $name", (server) => {
  describe.skipIf(server.broker === undefined)("a stream of somebody else", () => {
    /** A stream of orders, under a subject of its own, and a client that knows nothing of the bus. */
    async function shop(
      more: object = {},
    ): Promise<{ readonly client: NatsConnection; readonly stream: string; readonly before: string }> {
      const client = await connectClient({ servers: server.broker!.url });
      const stream = fresh(`SHOP${process.pid}`);
      const before = `${stream.toLowerCase()}.`;
      const config = { name: stream, subjects: [`${before}orders.>`], storage: "file", retention: "limits", ...more };
      const made = await client.request(`$JS.API.STREAM.CREATE.${stream}`, JSON.stringify(config));
      expect(made.json()).not.toHaveProperty("error");
      onTestFinished(async () => {
        await client.request(`$JS.API.STREAM.DELETE.${stream}`);
        await client.close();
      });
      return { client, stream, before };
    }

    async function busOn(options: NatsOptions, more: BusOptions = {}): Promise<Bus> {
      const driver = nats({ servers: server.broker!.url, ...options });
      const bus = await connect({ driver, prefix: fresh(`a${process.pid}`), streams, ...more });
      onTestFinished(() => bus.close().then(() => undefined));
      return bus;
    }

    it("option: NatsOptions.attach, NatsAttachment.stream, NatsAttachment.subjectPrefix: is read and written by its own names", async () => {
      const { client, stream, before } = await shop();
      const attach = { shop: { stream, subjectPrefix: before } };
      const format = plainJson({ name: "warehouse" });
      const bus = await busOn({ attach }, { wire: { foreign: [{ topics: "orders.>", format, write: true }] } });
      const got: string[] = [];
      await client.request(`${before}orders.placed`, JSON.stringify({ from: "outside" }));
      await bus.subscribePattern("orders.>", ({ data, topic }) => void got.push(`${topic} ${JSON.stringify(data)}`), {
        group: "g",
      });
      await bus.publishTopic("orders.placed", { from: "inside" });
      await until(() => got.length === 2, "both", 10_000);
      expect(got.toSorted()).toEqual(['orders.placed {"from":"inside"}', 'orders.placed {"from":"outside"}']);
      const info = await client.request(`$JS.API.STREAM.INFO.${stream}`, JSON.stringify({ subjects_filter: ">" }));
      expect(info.json<{ state: { subjects: object } }>().state.subjects).toEqual({ [`${before}orders.placed`]: 2 });
      expect((await bus.streams.info("shop")).topics).toEqual(["orders.>"]);
    });

    it("is never changed: what would have to be is refused", async () => {
      const { stream, before } = await shop();
      const attach = { shop: { stream, subjectPrefix: before } };
      const bus = await busOn({ attach });
      for (const [options, code] of [
        [{ topics: ["orders.>"], maxBytes: 5_000 }, "BUS_CONFLICT"],
        [{ topics: ["invoices.>"] }, "BUS_CONFLICT"],
      ] as const)
        await expect(bus.streams.ensure({ name: "shop", ...options })).rejects.toMatchObject({ code });
      await expect(busOn({ attach: { shop: { stream: "NONE" } } })).rejects.toMatchObject({ code: "BUS_NOT_FOUND" });
    });

    it("is refused where groups could not share it", async () => {
      const { stream, before } = await shop({ retention: "workqueue" });
      await expect(busOn({ attach: { shop: { stream, subjectPrefix: before } } })).rejects.toMatchObject({
        code: "BUS_UNSUPPORTED",
      });
    });
  });

  describe.skipIf(server.broker === undefined)("a connection of somebody else", () => {
    it("option: NatsOptions.connection is shared by several buses and closed by none", async () => {
      const client = await connectClient({ servers: server.broker!.url });
      const buses = await Promise.all(
        ["one", "two"].map((name) =>
          connect({ driver: nats({ connection: client }), prefix: fresh(`${name}${process.pid}`) }),
        ),
      );
      const got: string[] = [];
      for (const [index, bus] of buses.entries())
        await bus.subscribe(Tick, ({ data }) => void got.push(`${index} ${data.n}`), { group: "g" });
      await Promise.all(buses.map((bus, n) => bus.publish(Tick, { n })));
      await until(() => got.length === 2, "one each", 10_000);
      expect(got.toSorted()).toEqual(["0 0", "1 1"]);
      await buses[0]!.close();
      expect((await buses[1]!.publish(Tick, { n: 2 })).stream).toBe("events");
      await until(() => got.includes("1 2"), "the other still works", 10_000);
      await buses[1]!.close();
      expect(client.isClosed()).toBe(false);
      await client.flush();
      await client.close();
    });

    it("that is closed under the bus is said", async () => {
      const client = await connectClient({ servers: server.broker!.url });
      const bus = await connect({ driver: nats({ connection: client }), prefix: fresh(`c${process.pid}`) });
      const said: string[] = [];
      bus.onStatus(({ type }) => void said.push(type));
      await client.close();
      await until(() => said.includes("disconnected"), "that it is gone", 10_000);
      await expect(bus.publish(Tick, { n: 1 }, { timeoutMs: 500 })).rejects.toMatchObject({ outcome: "rejected" });
      await bus.close();
    });
  });
});
