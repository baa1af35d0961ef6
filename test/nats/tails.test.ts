import { connect, type NatsConnection } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import type { DriverConnection, Window } from "../../src/driver.ts";
import { consume, numbered, publish, type TestConsumption, turns, until, wide } from "../support/driver-harness.ts";
import { NatsWorld, natsServers, type NatsServer } from "../support/nats-world.ts";

const oldest = { at: "oldest" } as const;

async function raw(server: NatsServer): Promise<NatsConnection> {
  const client = await connect({ servers: server.broker!.url });
  onTestFinished(() => client.close());
  return client;
}

async function tail(connection: DriverConnection, window: Window = wide): Promise<TestConsumption> {
  return await consume(connection, { kind: "tail", stream: "events", from: oldest, resume: undefined }, window);
}

async function stored(connection: DriverConnection, texts: readonly string[], topics = ["a.b"]): Promise<void> {
  const sent = texts.flatMap((text, index) => publish(connection, [text], { topic: topics[index % topics.length]! }));
  await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
}

/** Settles what came since the last call. */
function take({ sink, consumption }: TestConsumption, from: number): number {
  const to = sink.messages.length;
  if (to > from) consumption.ack(sink.messages.slice(from, to));
  return to;
}

describe.each(await natsServers())("a tail on $name", (server) => {
  describe.skipIf(server.broker === undefined)("that reads a backlog", () => {
    it("delivers each event once, in order, when more patterns are wanted meanwhile", async () => {
      const connection = await new NatsWorld(server).connect();
      const count = 10_000;
      await stored(connection, numbered(count));
      const tailed = await tail(connection, { messages: 2_000, bytes: 5_000_000 });
      const { sink, consumption } = tailed;
      await consumption.wants(["a.*"], []);
      let acked = 0;
      const patterns = ["a.*"];
      for (let step = 1; step <= 8; step += 1) {
        await until(() => ((acked = take(tailed, acked)), sink.messages.length >= step * 800), "more of them");
        patterns.push(`b${step}.*`);
        let done = false;
        const growing = consumption.wants(patterns, []).then(() => (done = true));
        await until(() => ((acked = take(tailed, acked)), done), "the next pattern");
        await growing;
      }
      await until(
        () => ((acked = take(tailed, acked)), sink.texts.at(-1) === String(count)),
        () => `the last, not ${sink.texts.at(-1)}`,
      );
      await turns(20);
      expect(sink.texts).toEqual(numbered(count));
      expect(sink.losses).toEqual([]);
    });

    it("asks for the state of its stream once a second at most, however many of others' events lie between its own", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      await stored(connection, numbered(4_000), ["a.b", "c.d"]);
      const client = await raw(server);
      const tailed = await tail(connection, { messages: 16, bytes: 5_000_000 });
      await tailed.consumption.wants(["a.*"], []);
      let asked = 0;
      client.subscribe(`$JS.API.STREAM.INFO.${world.prefix}=s=events`, { callback: () => void (asked += 1) });
      await client.flush();
      const start = performance.now();
      let acked = 0;
      await until(() => ((acked = take(tailed, acked)), tailed.sink.messages.length === 2_000), "all", 20_000);
      await client.flush();
      expect(asked).toBeLessThanOrEqual(1 + (performance.now() - start) / 1_000);
      expect(tailed.sink.losses).toEqual([]);
    });

    it("says each loss, also when another was said a moment before", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      await stored(connection, numbered(40));
      const client = await raw(server);
      const purge = async (seq: number): Promise<void> =>
        void (await client.request(`$JS.API.STREAM.PURGE.${world.prefix}=s=events`, JSON.stringify({ seq }), {
          timeout: 10_000,
        }));
      const tailed = await tail(connection, { messages: 1, bytes: 5_000_000 });
      const { sink } = tailed;
      await tailed.consumption.wants(["a.*"], []);
      let acked = 0;
      for (const [said, first] of [20, 30].entries()) {
        await until(() => sink.messages.length > acked, "the next");
        await purge(first);
        await until(
          () => ((acked = take(tailed, acked)), sink.texts.includes(String(first))),
          () => `${first}, not ${sink.texts.at(-1)}`,
        );
        acked = sink.messages.length - 1;
        await until(
          () => sink.losses.length === said + 1,
          () => `${said + 1} losses, not ${sink.losses.length}`,
        );
      }
    });
  });
});
