import { connect as connectClient, headers as newHeaders, type NatsConnection } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import type { DriverConnection } from "../../src/driver.ts";
import { until as untilAsync } from "../../src/testing/until.ts";
import { groupSpec, joinGroup, letterOf, publish, textOf, until } from "../support/driver-harness.ts";
import { natsServers, NatsWorld } from "../support/nats-world.ts";

const servers = await natsServers();
const window = { messages: 10, bytes: 8_388_608 };

describe.each(servers)("a message near max_payload that fails for good, at $name", (server) => {
  describe.skipIf(server.broker === undefined)("becomes a letter", () => {
    async function raw(): Promise<NatsConnection> {
      const client = await connectClient({ servers: server.broker!.url });
      onTestFinished(() => client.close());
      return client;
    }

    async function pieces(client: NatsConnection, { prefix }: NatsWorld): Promise<number> {
      const info = await client.request(`$JS.API.STREAM.INFO.${prefix}=p`, undefined, { timeout: 10_000 });
      return info.json<{ readonly state: { readonly messages: number } }>().state.messages;
    }

    async function removed(connection: DriverConnection, id: string): Promise<readonly string[]> {
      expect(await connection.admin.claimLetters([id], "token", 10_000)).toEqual([id]);
      return await connection.admin.removeLetters([id], "token");
    }

    it.each(["none", "group"] as const)("with its whole body, and a group of order %s goes on", async (order) => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      await connection.ensureGroup(groupSpec("g", { order }));
      const { sink, consumption } = await joinGroup(connection, "g", window);
      const client = await raw();
      const size = client.info!.max_payload;
      const body = Uint8Array.from({ length: size }, (_, index) => index % 251);
      await client.request(`${world.prefix}.s.events.0.a.b`, body);
      publish(connection, ["next"]);
      await until(() => sink.messages.length >= 1, "the large one", 10_000);
      const [message] = sink.messages;
      expect(message!.body.byteLength).toBe(size);
      const letter = { ...letterOf(message!, "g", "g/1"), headers: [["why", "x".repeat(2_000)]] as const };
      expect(await consumption.settle([{ how: "dead", message: message!, letter }])).toEqual(["done"]);
      await until(() => sink.messages.some((each) => textOf(each) === "next"), "the next one", 10_000);
      consumption.ack(sink.messages.slice(1));
      expect(await connection.admin.countLetters("g")).toBe(1);
      const [listed] = await connection.admin.letters("g", undefined, 10);
      expect(Buffer.compare(listed!.body, body)).toBe(0);
      expect(listed).toMatchObject({ id: "g/1", group: "g", topic: "a.b", headers: letter.headers });
      expect(await connection.admin.letter("g/1")).toEqual(listed);
      expect(await pieces(client, world)).toBeGreaterThan(1);
      expect(await removed(connection, "g/1")).toEqual(["g/1"]);
      expect(await connection.admin.letter("g/1")).toBeUndefined();
      expect(await pieces(client, world)).toBe(0);
    });

    it("with headers that fill what the server takes; a later failure leaves no pieces of the first, nor does its group", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      await connection.ensureGroup(groupSpec("g"));
      const { sink, consumption } = await joinGroup(connection, "g", window);
      const client = await raw();
      const headers = newHeaders();
      for (let index = 0; index < 60; index += 1) headers.append(`Much-${index}`, `"${"\\".repeat(998)}"`);
      for (const text of ["a", "b"])
        await client.request(`${world.prefix}.s.events.0.a.b`, text, { headers, timeout: 5_000 });
      await until(() => sink.messages.length === 2, "both", 10_000);
      const counts: number[] = [];
      for (const message of sink.messages) {
        const letter = { ...letterOf(message, "g", "g/same"), headers: message.headers() };
        expect(await consumption.settle([{ how: "dead", message, letter }])).toEqual(["done"]);
        counts.push(await pieces(client, world));
      }
      expect(counts[1]).toBe(counts[0]);
      const found = await connection.admin.letter("g/same");
      expect(textOf(found!)).toBe("b");
      expect(found!.headers).toEqual(sink.messages[1]!.headers());
      await consumption.close(AbortSignal.timeout(2_000));
      expect(await connection.admin.deleteGroup("g")).toBe(true);
      await untilAsync(async () => (await pieces(client, world)) === 0, "that nothing is left of it");
    });
  });
});
