import { connect as connectClient, type NatsConnection } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { connect, defineRequest, typed, type Bus } from "../../src/index.ts";
import { nats, type NatsOptions } from "../../src/drivers/nats/index.ts";
import { until } from "../../src/testing/until.ts";
import { fresh } from "../support/events.ts";
import { natsServers } from "../support/nats-world.ts";

const servers = await natsServers();
const Get = defineRequest("orders.get", { request: typed<object>(), response: typed<{ readonly ok: boolean }>() });

describe.each(servers)("who names a reply on the direct lane, at $name", (server) => {
  describe.skipIf(server.broker === undefined)("does not make the bus publish where it likes", () => {
    const body = JSON.stringify({
      specversion: "1.0",
      id: "1",
      source: "x",
      type: "orders.get",
      time: "2026-01-01T00:00:00Z",
      datacontenttype: "application/json",
      data: {},
    });

    async function responder(
      options: NatsOptions = {},
      streams?: object,
    ): Promise<{
      readonly bus: Bus;
      readonly client: NatsConnection;
      readonly prefix: string;
      readonly runs: () => number;
    }> {
      const prefix = fresh(`f${process.pid}`);
      const bus = await connect({ driver: nats({ servers: server.broker!.url, ...options }), prefix, ...streams });
      onTestFinished(() => bus.close().then(() => undefined));
      let runs = 0;
      const answer = (): { readonly ok: boolean } => {
        runs += 1;
        return { ok: true };
      };
      await bus.respond(Get, answer, { group: false });
      await bus.subscribePattern("orders.>", () => undefined);
      const client = await connectClient({ servers: server.broker!.url });
      onTestFinished(() => client.close());
      return { bus, client, prefix, runs: () => runs };
    }

    it("a message to listeners is answered to nobody, and a request not into streams or the server's API", async () => {
      const { bus, client, prefix, runs } = await responder();
      const places = [`$JS.API.STREAM.PURGE.${prefix}=s=events`, `${prefix}.s.events.0.orders.new`, `${prefix}.q.g.x`];
      const overheard: string[] = [];
      for (const place of [...places, "business.topic"])
        client.subscribe(place, { callback: (_error, { subject }) => void overheard.push(subject) });
      for (const reply of places)
        for (const lane of ["d", "r"]) client.publish(`${prefix}.${lane}.orders.get`, body, { reply });
      client.publish(`${prefix}.d.orders.get`, body, { reply: "business.topic" });
      const asked = await client.request(`${prefix}.r.orders.get`, body, { timeout: 5_000 });
      expect(asked.json()).toMatchObject({ data: { ok: true } }); // whoever asks properly is answered, after all of them
      await client.flush();
      expect(overheard).toEqual([]);
      expect(runs()).toBe(1);
      expect((await bus.streams.info("events")).messages).toBe(0);
    });

    it("nor into a stream that is attached", async () => {
      const client = await connectClient({ servers: server.broker!.url });
      onTestFinished(() => client.close());
      const stream = fresh(`SHOP${process.pid}`);
      const before = `${stream.toLowerCase()}.`;
      await client.request(
        `$JS.API.STREAM.CREATE.${stream}`,
        JSON.stringify({ name: stream, subjects: [`${before}orders.>`] }),
      );
      onTestFinished(() =>
        client.request(`$JS.API.STREAM.DELETE.${stream}`, undefined, { timeout: 10_000 }).then(() => undefined),
      );
      const { prefix, runs } = await responder(
        { attach: { shop: { stream, subjectPrefix: before } } },
        { streams: [{ name: "shop", topics: ["orders.>"] }] },
      );
      client.publish(`${prefix}.r.orders.get`, body, { reply: `${before}orders.new` });
      const asked = await client.request(`${prefix}.r.orders.get`, body, { timeout: 5_000 });
      expect(asked.json()).toMatchObject({ data: { ok: true } });
      await until(() => runs() === 1, "the one that is answered");
      const info = await client.request(`$JS.API.STREAM.INFO.${stream}`, undefined, { timeout: 10_000 });
      expect(info.json<{ readonly state: { readonly messages: number } }>().state.messages).toBe(0);
    });
  });
});
