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
      const made = await client.request(`$JS.API.STREAM.CREATE.${stream}`, JSON.stringify(config), { timeout: 10_000 });
      expect(made.json()).not.toHaveProperty("error");
      onTestFinished(async () => {
        await client.request(`$JS.API.STREAM.DELETE.${stream}`, undefined, { timeout: 10_000 });
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
      await client.request(`${before}orders.placed`, JSON.stringify({ from: "outside" }), { timeout: 10_000 });
      await bus.subscribePattern("orders.>", ({ data, topic }) => void got.push(`${topic} ${JSON.stringify(data)}`), {
        group: "g",
      });
      await bus.publishTopic("orders.placed", { from: "inside" });
      await until(() => got.length === 2, "both", 10_000);
      expect(got.toSorted()).toEqual(['orders.placed {"from":"inside"}', 'orders.placed {"from":"outside"}']);
      const info = await client.request(`$JS.API.STREAM.INFO.${stream}`, JSON.stringify({ subjects_filter: ">" }), {
        timeout: 10_000,
      });
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

    describe("with a consumer of somebody else", () => {
      const bare = { durable_name: "BILLING", ack_policy: "explicit", max_deliver: -1, ack_wait: 30e9 };
      const wire = { foreign: [{ topics: "orders.>", format: plainJson({ name: "warehouse" }) }] };

      interface Info {
        readonly config: object;
        readonly num_ack_pending: number;
        readonly ack_floor: { readonly stream_seq: number };
      }

      /** `config` of the subjects' common beginning. */
      async function billing(config: (before: string) => object = () => ({})) {
        const made = await shop();
        const { client, stream, before } = made;
        const body = { stream_name: stream, config: { ...bare, ...config(before) } };
        const answer = await client.request(`$JS.API.CONSUMER.DURABLE.CREATE.${stream}.BILLING`, JSON.stringify(body), {
          timeout: 10_000,
        });
        expect(answer.json()).not.toHaveProperty("error");
        return {
          ...made,
          attach: { shop: { stream, subjectPrefix: before, consumers: { billing: "BILLING" } } },
          info: async () =>
            (
              await client.request(`$JS.API.CONSUMER.INFO.${stream}.BILLING`, undefined, { timeout: 10_000 })
            ).json<Info>(),
        };
      }

      it("option: NatsAttachment.consumers: reads through it from where it is, and leaves it as it was", async () => {
        const { client, stream, before, attach, info } = await billing(() => ({ ack_wait: 900e6 }));
        for (const n of [1, 2, 3])
          await client.request(`${before}orders.placed`, JSON.stringify({ n }), { timeout: 10_000 });
        const inbox = fresh("inbox");
        const delivered = new Promise<string | undefined>((resolve) => {
          client.subscribe(inbox, { max: 1, callback: (_error, { reply }) => resolve(reply) });
        });
        client.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.BILLING`, "1", { reply: inbox });
        await client.request((await delivered)!, "+ACK");
        const { config } = await info();
        const prefix = fresh(`b${process.pid}`);
        const bus = await busOn({ attach }, { wire, prefix });
        const got: number[] = [];
        let failed = false;
        await bus.subscribePattern(
          "orders.>",
          async ({ data }) => {
            const { n } = data as { readonly n: number };
            if (n === 2) await new Promise((resolve) => setTimeout(resolve, 2_000)); // longer than its ack wait
            if (n === 3 && !failed) {
              failed = true;
              throw new Error("once");
            }
            got.push(n);
          },
          { group: "billing", order: "none" },
        );
        await until(() => got.length === 2, "both", 10_000);
        await client.request(`${before}orders.placed`, JSON.stringify({ n: 4 }), { timeout: 10_000 });
        await until(() => got.length === 3, "the next", 10_000);
        expect(got.toSorted()).toEqual([2, 3, 4]);
        await expect(bus.groups.reset("billing", "oldest")).rejects.toMatchObject({ code: "BUS_CONFLICT" });
        await bus.close();
        const after = await info();
        expect([after.config, after.num_ack_pending, after.ack_floor.stream_seq]).toEqual([config, 0, 4]);
        const operator = await busOn({ attach }, { wire, prefix });
        expect((await operator.groups.info("billing")).waiting).toBe(0);
        expect(await operator.groups.delete("billing")).toBe(true);
        const names = (await client.request(`$JS.API.CONSUMER.NAMES.${stream}`, undefined, { timeout: 10_000 })).json<{
          consumers: string[];
        }>();
        expect(names.consumers).toEqual(["BILLING"]);
      });

      it("waits for it when it is deleted, and goes on with the next of its name", async () => {
        const { client, stream, before, attach } = await billing();
        const bus = await busOn({ attach, heartbeatMs: 200 }, { wire });
        const got: number[] = [];
        await bus.subscribePattern("orders.>", ({ data }) => void got.push((data as { readonly n: number }).n), {
          group: "billing",
          order: "none",
        });
        await client.request(`${before}orders.placed`, JSON.stringify({ n: 1 }), { timeout: 10_000 });
        await until(() => got.length === 1, "it", 10_000);
        await client.request(`$JS.API.CONSUMER.DELETE.${stream}.BILLING`, undefined, { timeout: 10_000 });
        await client.request(`${before}orders.placed`, JSON.stringify({ n: 2 }), { timeout: 10_000 });
        const body = {
          stream_name: stream,
          config: { ...bare, deliver_policy: "by_start_sequence", opt_start_seq: 2 },
        };
        await client.request(`$JS.API.CONSUMER.DURABLE.CREATE.${stream}.BILLING`, JSON.stringify(body), {
          timeout: 10_000,
        });
        await until(() => got.length === 2, "the next", 10_000);
        expect(got).toEqual([1, 2]);
      });

      const none = { group: "billing", order: "none" } as const;
      it.each([
        ["pushes", { deliver_subject: "somewhere" }, none, "BUS_UNSUPPORTED", "push consumer"],
        ["acknowledges nothing", { ack_policy: "none", ack_wait: 0 }, none, "BUS_UNSUPPORTED", 'ack policy is "none"'],
        ["acknowledges all before", { ack_policy: "all" }, none, "BUS_UNSUPPORTED", 'ack policy is "all"'],
        ["gives up", { max_deliver: 5 }, none, "BUS_UNSUPPORTED", "max_deliver is 5"],
        ["has a backoff", { max_deliver: -1, backoff: [1e9] }, none, "BUS_UNSUPPORTED", "backoff"],
        ["delivers headers", { headers_only: true }, none, "BUS_UNSUPPORTED", "headers only"],
        ["limits requests", { max_batch: 5 }, none, "BUS_UNSUPPORTED", "max_batch"],
        ["is to be ordered", {}, { group: "billing", order: "group" }, "BUS_UNSUPPORTED", 'needs order "none"'],
        ["is to be ordered by default", {}, { group: "billing" }, "BUS_UNSUPPORTED", 'needs order "none"'],
      ] as const)("is refused when it %s", async (_, config, options, code, message) => {
        const { attach } = await billing(() => config);
        const bus = await busOn({ attach }, { wire });
        const subscribed = bus.subscribePattern("orders.>", () => undefined, options);
        await expect(subscribed).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
      });

      it("is refused where it is not what the group reads", async () => {
        const { attach, client, stream } = await billing((before) => ({ filter_subject: `${before}orders.eu.>` }));
        const bus = await busOn({ attach }, { wire });
        for (const [pattern, problem] of [
          ["orders.>", "does not deliver all"],
          ["orders.eu.placed", "which the group does not read"],
        ] as const)
          await expect(bus.subscribePattern(pattern, () => undefined, none)).rejects.toMatchObject({
            code: "BUS_UNSUPPORTED",
            message: expect.stringContaining(problem),
          });
        const subscription = await bus.subscribePattern("orders.eu.>", () => undefined, none);
        await subscription.unsubscribe();
        const prefix = fresh(`c${process.pid}`);
        const own = { shop: { ...attach.shop, consumers: {} } };
        const before = await busOn({ attach: own }, { wire, prefix });
        await before.subscribePattern("orders.eu.>", () => undefined, none);
        await expect(
          (await busOn({ attach }, { wire, prefix })).subscribePattern("orders.eu.>", () => undefined, none),
        ).rejects.toMatchObject({ code: "BUS_CONFLICT", message: expect.stringContaining("a consumer of its own") });
        await client.request(`$JS.API.CONSUMER.DELETE.${stream}.BILLING`, undefined, { timeout: 10_000 });
        await expect(
          (await busOn({ attach }, { wire })).subscribePattern("orders.eu.>", () => undefined, none),
        ).rejects.toMatchObject({ code: "BUS_NOT_FOUND" });
      });
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
