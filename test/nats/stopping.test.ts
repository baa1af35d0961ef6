import { connect } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import type { DriverConnection, StreamOptions } from "../../src/driver.ts";
import {
  groupSpec,
  joinGroup,
  numbered,
  outgoing,
  publish,
  type TestConsumption,
  toTopic,
  turns,
  until,
} from "../support/driver-harness.ts";
import { NatsWorld, natsServers } from "../support/nats-world.ts";

const two: StreamOptions = { name: "events", topics: [">"], partitions: 2, maxBytes: 10_000_000 };
const ordered = (...patterns: readonly string[]): ReturnType<typeof groupSpec> =>
  groupSpec("g", { order: "group", patterns });

async function stored(connection: DriverConnection, texts: readonly string[], topic: string): Promise<void> {
  const sent = texts.map((text) => outgoing(toTopic(topic), text, { hash: Number(text) % 2 }));
  connection.send(sent.map(({ message }) => message));
  await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
}

describe.each(await natsServers())("a member that stops on $name", (server) => {
  describe.skipIf(server.broker === undefined)("while a handler of it runs", () => {
    it("leaves what it had fetched and not handed out to the others at once", async () => {
      const world = new NatsWorld(server);
      const [one, other] = [await world.connect({ leaseMs: 20_000 }), await world.connect({ leaseMs: 20_000 })];
      await one.ensureGroup(groupSpec("g"));
      const sent = publish(one, numbered(1_500));
      await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
      const { sink, consumption } = await joinGroup(one, "g", { messages: 300, bytes: 1_000_000 });
      await until(() => sink.messages.length >= 200, "some");
      consumption.ack(sink.messages.slice(1));
      await turns(1); // more is asked for
      const before = sink.messages.length;
      await consumption.stop();
      consumption.ack(sink.messages.slice(before));
      const next = await joinGroup(other, "g", { messages: 2_000, bytes: 1_000_000 });
      await until(
        () => sink.messages.length + next.sink.messages.length >= 1_500,
        () => `all of them, not ${sink.messages.length} and ${next.sink.messages.length}`,
      );
      expect([...sink.texts, ...next.sink.texts].map(Number).toSorted((a, b) => a - b)).toEqual(
        numbered(1_500).map(Number),
      );
      expect(next.sink.messages.every(({ deliveries }) => deliveries === 1)).toBe(true);
    });

    it("stops although its client is closed meanwhile", async () => {
      const world = new NatsWorld(server);
      const client = await connect({ servers: server.broker!.url });
      onTestFinished(() => client.close());
      const connection = await world.connect({ servers: undefined, connection: client });
      await connection.ensureGroup(groupSpec("g"));
      const { sink, consumption } = await joinGroup(connection, "g");
      publish(connection, ["1"]);
      await until(() => sink.messages.length === 1, "one");
      const idle = performance.now() + 200;
      await until(() => performance.now() > idle, "nothing to be under way");
      let stopped = false;
      void consumption.stop().then(() => (stopped = true));
      await client.close();
      await until(() => stopped, "it to stop");
    });

    it.each(["stops", "hands a partition over"] as const)(
      "lets the group grow before the handler ends, and what is added comes to the next owner (it %s)",
      async (how) => {
        const world = new NatsWorld(server);
        const [one, other] = [await world.connect({ streams: [two] }), await world.connect({ streams: [] })];
        await one.ensureGroup(ordered("a.*"));
        const first = await joinGroup(one, "g");
        await stored(one, ["1", "2"], "a.b");
        await until(() => first.sink.messages.length === 2, "both partitions");
        let next: TestConsumption | undefined;
        if (how === "stops") await first.consumption.stop();
        else {
          next = await joinGroup(other, "g");
          const idle = performance.now() + 500;
          await until(() => performance.now() > idle, "it to be asked for one");
        }
        let grown = false;
        const growing = other.ensureGroup(ordered("a.*", "b.*")).then(() => (grown = true));
        await until(() => grown, "the group to grow", 3_000);
        await growing;
        expect(first.sink.revocations).not.toContainEqual({ partition: expect.stringContaining("events") as string });
        await stored(other, ["3", "4"], "b.c");
        first.consumption.ack(first.sink.messages.slice(0, 2));
        next ??= await joinGroup(other, "g");
        const all = (): readonly string[] => [...first.sink.texts, ...next!.sink.texts];
        await until(
          () => all().length >= 4,
          () => `what was added, not ${all().join()}`,
        );
        expect(all().toSorted()).toEqual(numbered(4));
      },
    );
  });
});
