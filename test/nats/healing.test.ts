import { connect as connectClient, type NatsConnection } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Address, DriverConnection } from "../../src/driver.ts";
import { until } from "../../src/testing/until.ts";
import { outgoing, toQueue, toTopic } from "../support/driver-harness.ts";
import { natsServers, NatsWorld } from "../support/nats-world.ts";

const servers = await natsServers();
const streams = ["keep", "old"].map((name) => ({ name, topics: [`${name}.>`], partitions: 1 }));

describe.each(servers)("what the bus makes again, at $name", (server) => {
  describe.skipIf(server.broker === undefined)("is what somebody publishes to, and nothing else", () => {
    async function raw(): Promise<NatsConnection> {
      const client = await connectClient({ servers: server.broker!.url });
      onTestFinished(() => client.close());
      return client;
    }
    const names = async (client: NatsConnection, { prefix }: NatsWorld): Promise<readonly string[]> => {
      const answer = await client.request("$JS.API.STREAM.NAMES", JSON.stringify({ subject: `${prefix}.s.>` }), {
        timeout: 10_000,
      });
      const found = answer.json<{ readonly streams: readonly string[] | null }>().streams ?? [];
      return found.map((name) => name.split("=s=")[1]!);
    };
    const drop = async (client: NatsConnection, name: string): Promise<void> => {
      expect(
        (await client.request(`$JS.API.STREAM.DELETE.${name}`, undefined, { timeout: 10_000 })).json(),
      ).not.toHaveProperty("error");
    };
    const outcome = async (connection: DriverConnection, to: Address): Promise<string> => {
      const sent = outgoing(to, "x");
      connection.send([sent.message]);
      await until(() => sent.outcome !== "waiting", "an outcome");
      return sent.outcome;
    };
    /** As the core does with what was refused for the moment. */
    const store = async (connection: DriverConnection, to: Address): Promise<void> =>
      await until(async () => (await outcome(connection, to)) === "stored", "that it is stored", 10_000);

    it("a stream that somebody's tool deleted stays away until something is published to it", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect({ streams });
      const client = await raw();
      await drop(client, `${world.prefix}=s=old`);
      await drop(client, `${world.prefix}=s=keep`);
      await store(connection, toTopic("keep.a", "keep"));
      expect(await names(client, world)).toEqual(["keep"]);
      await store(connection, toTopic("old.a", "old"));
      expect((await names(client, world)).toSorted()).toEqual(["keep", "old"]);
    });

    it.each(["here", "by another bus"])("a stream that was deleted on purpose, %s, never comes back", async (where) => {
      const world = new NatsWorld(server);
      const connection = await world.connect({ streams });
      const other = await world.connect({ streams: [] });
      const client = await raw();
      expect(await (where === "here" ? connection : other).admin.deleteStream("old")).toBe(true);
      await until(async () => (await outcome(connection, toTopic("old.late", "old"))) === "no", "that nobody takes it");
      await drop(client, `${world.prefix}=q`); // what is healed for somebody else is no reason either
      await store(connection, toQueue("g"));
      expect(await outcome(connection, toTopic("old.later", "old"))).toBe("no");
      await drop(client, `${world.prefix}=q`);
      await store(connection, toQueue("g"));
      expect(await names(client, world)).toEqual(["keep"]);
    });
  });
});
