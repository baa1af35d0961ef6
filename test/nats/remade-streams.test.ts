import { connect } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import type { DriverConnection, StartAt, StreamOptions } from "../../src/driver.ts";
import { consume, groupSpec, joinGroup, numbered, outgoing, toTopic, until } from "../support/driver-harness.ts";
import { NatsWorld, natsServers } from "../support/nats-world.ts";

const events: StreamOptions = { name: "events", topics: [">"], partitions: 2, maxBytes: 10_000_000 };

interface Requester {
  request(subject: string): Promise<unknown>;
}

async function stored(connection: DriverConnection, texts: readonly string[]): Promise<void> {
  const sent = texts.map((text, index) => outgoing(toTopic("a.b"), text, { hash: index % 2 }));
  connection.send(sent.map(({ message }) => message));
  await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
}

async function remake({ prefix }: NatsWorld, connection: DriverConnection): Promise<void> {
  await (connection.client as Requester).request(`$JS.API.STREAM.DELETE.${prefix}=s=events`);
  await connection.ensureStream(events);
}

describe.each(await natsServers())("a stream that was made again on $name", (server) => {
  describe.skipIf(server.broker === undefined)("and what began in the one before it", () => {
    it.each(["newest", "position", "reset"] as const)(
      "an ordered group gets all that is new, in a partition that nobody had read too (%s)",
      async (how) => {
        const world = new NatsWorld(server);
        const connection = await world.connect({ streams: [events], heartbeatMs: 200 });
        await stored(connection, numbered(300));
        const from: StartAt =
          how === "newest" ? { at: "newest" } : how === "reset" ? { at: "oldest" } : { positions: { events: "290" } };
        await connection.ensureGroup(groupSpec("g", { order: "group", from }));
        if (how === "reset") await connection.admin.resetGroup!("g", { at: "newest" });
        await remake(world, connection);
        await stored(connection, numbered(20, 1_001));
        const [state] = await connection.admin.groups();
        expect(state!.waiting).toBe(20);
        const { sink } = await joinGroup(connection, "g");
        await until(
          () => sink.messages.length === 20,
          () => `20, not ${sink.messages.length}`,
        );
        expect(sink.texts.toSorted()).toEqual(numbered(20, 1_001));
      },
    );

    it("an ordered group's members get all that is new", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect({ streams: [events], heartbeatMs: 200 });
      await stored(connection, numbered(300));
      await connection.ensureGroup(groupSpec("g", { order: "group", from: { at: "newest" } }));
      const { sink, consumption } = await joinGroup(connection, "g");
      await stored(connection, ["old-1", "old-2"]);
      await until(() => sink.messages.length === 2, "those that are published now");
      consumption.ack(sink.messages);
      await remake(world, connection);
      await stored(connection, numbered(20, 1_001));
      await until(
        () => sink.messages.length === 22,
        () => `20 more, not ${sink.messages.length - 2}`,
        10_000,
      );
      expect(sink.texts.slice(2).toSorted()).toEqual(numbered(20, 1_001));
    });

    it.each([3, 50])(
      "a tail that was disconnected meanwhile hears of it, and goes on with what is new (%i)",
      async (count) => {
        const world = new NatsWorld(server);
        const own = await connect({
          servers: server.broker!.url,
          reconnectTimeWait: 1_000,
          reconnectJitter: 0,
          maxReconnectAttempts: -1,
        });
        onTestFinished(() => own.close());
        const other = await world.connect({ streams: [events] });
        const connection = await world.connect({ servers: undefined, connection: own, streams: [] });
        await stored(other, numbered(20));
        const source = { kind: "tail", stream: "events", from: { at: "newest" }, resume: undefined } as const;
        const { sink, consumption } = await consume(connection, source);
        await consumption.wants([">"], []);
        await stored(other, ["old"]);
        await until(() => sink.messages.length === 1, "the one that is published now");
        // as when a cable is pulled: the client comes back after a second
        const { protocol } = own as unknown as {
          readonly protocol: { readonly transport: { readonly socket: { destroy(): void } } };
        };
        protocol.transport.socket.destroy();
        await remake(world, other);
        await stored(other, numbered(count, 1_001));
        await until(() => sink.ends.length === 1, "to be told", 10_000);
        expect((sink.ends[0]!.error as { readonly code: string }).code).toBe("BUS_NOT_FOUND");
        const position = sink.messages[0]!.position!;
        const again = await consume(connection, {
          ...source,
          from: { positions: { events: position } },
          resume: new Map([["events", position]]),
        });
        await until(
          () => again.sink.messages.length === count,
          () => `${count}, not ${again.sink.texts.join()}`,
        );
        expect(again.sink.texts).toEqual(numbered(count, 1_001));
      },
    );
  });
});
