import { connect as connectClient, type NatsConnection } from "@nats-io/transport-node";
import { Kvm } from "@nats-io/kv";
import { describe, expect, it, onTestFinished } from "vitest";
import { connect } from "../../src/index.ts";
import { nats } from "../../src/drivers/nats/index.ts";
import { fresh } from "../support/events.ts";
import { natsServers } from "../support/nats-world.ts";

const servers = await natsServers();

describe.each(servers)("what the user has under the prefix's name, at $name", (server) => {
  describe.skipIf(server.broker === undefined)("is not the bus's", () => {
    async function raw(): Promise<NatsConnection> {
      const client = await connectClient({ servers: server.broker!.url });
      onTestFinished(() => client.close());
      return client;
    }
    const config = async (client: NatsConnection, stream: string): Promise<object> =>
      (await client.request(`$JS.API.STREAM.INFO.${stream}`, undefined, { timeout: 10_000 })).json<{
        readonly config: object;
      }>().config;

    it.each(["create", "verify"] as const)(
      "manage: %s refuses a bucket of that name and leaves its history",
      async (manage) => {
        const client = await raw();
        const prefix = fresh(`shop${process.pid}`);
        const bucket = await new Kvm(client).create(prefix, { history: 5 });
        onTestFinished(() => bucket.destroy().then(() => undefined));
        for (const colour of ["red", "green", "blue"]) await bucket.put("colour", colour);
        const before = await config(client, `KV_${prefix}`);
        if (manage === "verify") {
          // all else that the driver wants is there
          const elsewhere = fresh(`shop${process.pid}`);
          const bus = await connect({ driver: nats({ servers: server.broker!.url }), prefix: elsewhere });
          await bus.close();
          for (const name of ["q", "l", "n", "p"]) {
            const { ...ours } = await config(client, `${elsewhere}=${name}`);
            const body = JSON.stringify(ours).replaceAll(elsewhere, prefix);
            const made = await client.request(`$JS.API.STREAM.CREATE.${prefix}=${name}`, body, { timeout: 10_000 });
            expect(made.json()).not.toHaveProperty("error");
          }
        }
        const driver = nats({ servers: server.broker!.url });
        await expect(connect({ driver, prefix, manage, streams: [] })).rejects.toMatchObject({ code: "BUS_CONFLICT" });
        expect(await config(client, `KV_${prefix}`)).toEqual(before);
        const history: string[] = [];
        for await (const entry of await bucket.history({ key: "colour" })) history.push(entry.string());
        expect(history).toEqual(["red", "green", "blue"]);
      },
    );

    it("a stream of one's own that has a stream's name and subjects is refused and left as it is", async () => {
      const client = await raw();
      const prefix = fresh(`shop${process.pid}`);
      const name = `${prefix}=s=events`;
      const wanted = { name, subjects: [`${prefix}.s.events.>`], retention: "limits", max_msgs: 7 };
      expect(
        (await client.request(`$JS.API.STREAM.CREATE.${name}`, JSON.stringify(wanted), { timeout: 10_000 })).json(),
      ).not.toHaveProperty("error");
      onTestFinished(() =>
        client.request(`$JS.API.STREAM.DELETE.${name}`, undefined, { timeout: 10_000 }).then(() => undefined),
      );
      const before = await config(client, name);
      const driver = nats({ servers: server.broker!.url });
      await expect(connect({ driver, prefix })).rejects.toMatchObject({ code: "BUS_CONFLICT" });
      expect(await config(client, name)).toEqual(before);
    });
  });
});
