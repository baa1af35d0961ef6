import { describe, expect, it, onTestFinished } from "vitest";
import type { DriverConnection } from "../../src/driver.ts";
import type { NatsClient } from "../../src/drivers/nats/client.ts";
import { nats, type NatsOptions } from "../../src/drivers/nats/index.ts";
import { ClockAhead } from "../support/clock-ahead.ts";
import {
  connectTo,
  consume,
  groupSpec,
  joinGroup,
  outgoing,
  publish,
  type Sent,
  type TestConsumption,
  toQueue,
  toTopic,
  until,
} from "../support/driver-harness.ts";
import { SlowConnection } from "../support/slow-connection.ts";
import { NatsWorld, natsServers } from "../support/nats-world.ts";

const wide = { messages: 100, bytes: 1_000_000 };

async function looks(): Promise<void> {
  const from = performance.now();
  await until(() => performance.now() - from > 2_500, "two looks");
}
const stored = (sent: readonly Sent[]): Promise<void> =>
  until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");

describe.each(await natsServers())("what a server has stored, at $name", (server) => {
  describe.skipIf(server.broker === undefined)("an ordered group's look at its stream", () => {
    /** A member of a group, by whose clock it can be later, with one of each of four partitions handled. */
    async function member(options: NatsOptions): Promise<
      TestConsumption & {
        readonly clock: ClockAhead;
        /** All that the stream has, at the server. */
        readonly purge: () => Promise<void>;
        readonly handled: string[];
        readonly publishEach: (texts: readonly string[]) => Promise<void>;
        readonly handle: () => void;
      }
    > {
      const clock = new ClockAhead();
      const { prefix } = new NatsWorld(server);
      const { connection } = await connectTo(nats({ ...options, leaseMs: 120_000 }), { prefix, clock });
      onTestFinished(() => connection.close(AbortSignal.timeout(2_000)));
      await connection.ensureStream({ name: "events", topics: [">"], partitions: 4 });
      await connection.ensureGroup(groupSpec("g", { order: "group" }));
      const { sink, consumption } = await joinGroup(connection, "g", wide);
      const publishEach = async (texts: readonly string[]): Promise<void> => {
        const sent = texts.map((text, hash) => outgoing(toTopic("a.b"), text, { hash, key: `k${hash}` }));
        connection.send(sent.map(({ message }) => message));
        await stored(sent);
      };
      const purge = async (): Promise<void> => {
        const client = connection.client as {
          request(subject: string, body: undefined, options: object): Promise<{ json<Answer>(): Answer }>;
        };
        const answer = await client.request(`$JS.API.STREAM.PURGE.${prefix}=s=events`, undefined, { timeout: 10_000 });
        expect(answer.json()).toMatchObject({ success: true });
      };
      const handled: string[] = [];
      const handle = (): void => {
        handled.push(...sink.texts);
        consumption.ack(sink.messages.splice(0));
      };
      await publishEach(["a0", "a1", "a2", "a3"]);
      await until(() => (handle(), handled.length === 4), "one of each partition");
      return { purge, sink, consumption, clock, handled, publishEach, handle };
    }

    it("passes nothing by that came and waits for room", { timeout: 30_000 }, async () => {
      const { sink, consumption, clock, handled, publishEach, handle } = await member({ servers: server.broker!.url });
      consumption.window({ messages: 1, bytes: 1_000_000 }); // what was asked for before comes all the same
      await publishEach(["b0", "b1", "b2", "b3"]);
      await until(() => sink.messages.length > 0, "one of them");
      clock.ms += 11_000;
      await looks();
      expect(sink.messages).toHaveLength(1);
      await until(
        () => (handle(), handled.length === 8),
        () => `all of them; ${handled.join()}`,
      );
      expect(handled.toSorted()).toEqual(["a0", "a1", "a2", "a3", "b0", "b1", "b2", "b3"]);
    });

    it("passes nothing by that waits for room and is gone from its stream meanwhile", { timeout: 30_000 }, async () => {
      const { purge, sink, consumption, clock, handled, publishEach, handle } = await member({
        servers: server.broker!.url,
      });
      consumption.window({ messages: 1, bytes: 1_000_000 });
      await publishEach(["b0", "b1", "b2", "b3"]);
      await until(() => sink.messages.length > 0, "one of them");
      await looks(); // the others have come too by then
      await purge();
      clock.ms += 11_000;
      await looks();
      await until(
        () => (handle(), handled.length === 8),
        () => `all of them; ${handled.join()}`,
      );
    });

    it("passes nothing by that is stored and not counted yet", { timeout: 30_000 }, async () => {
      const slow = await SlowConnection.open(server.broker!.url);
      const { sink, clock, handled, publishEach, handle } = await member({ connection: slow.client as never });
      clock.ms += 11_000;
      await looks(); // at what is said again below
      slow.behind = "late";
      await publishEach(["b0", "b1", "b2", "b3"]);
      clock.ms += 11_000;
      await looks();
      expect(sink.messages).toHaveLength(0);
      slow.catchUp();
      await until(
        () => (handle(), handled.length === 8),
        () => `all of them; ${handled.join()}`,
      );
      expect(handled.toSorted()).toEqual(["a0", "a1", "a2", "a3", "b0", "b1", "b2", "b3"]);
    });
  });

  describe.skipIf(server.broker === undefined)("where something is stored that is not counted yet", () => {
    const texts = (consumption: TestConsumption): readonly string[] => consumption.sink.texts;

    async function slowly(
      cluster = false,
    ): Promise<{ readonly slow: SlowConnection; readonly connection: DriverConnection }> {
      const slow = await SlowConnection.open(server.broker!.url, cluster);
      const { prefix } = new NatsWorld(server);
      const driver = nats({ connection: slow.client as never, leaseMs: 3_000 });
      const { connection } = await connectTo(driver, { prefix });
      onTestFinished(() => connection.close(AbortSignal.timeout(2_000)));
      await connection.ensureStream({ name: "events", topics: [">"], partitions: 1 });
      return { slow, connection };
    }

    it("a group that grows keeps what it was to read before", { timeout: 30_000 }, async () => {
      const { slow, connection } = await slowly();
      await connection.ensureGroup(groupSpec("g", { patterns: ["a"] }));
      const member = await joinGroup(connection, "g", wide);
      await stored(publish(connection, ["1"], { topic: "a" }));
      await until(() => texts(member).length === 1, "the first");
      member.consumption.ack(member.sink.messages);
      await looks();
      slow.behind = "deaf";
      await stored(publish(connection, ["2"], { topic: "a" }));
      await connection.ensureGroup(groupSpec("g", { patterns: ["a", "b"] }));
      await looks();
      slow.catchUp();
      await until(() => texts(member).includes("2"), "what was stored before it grew", 10_000);
      await stored(publish(connection, ["3"], { topic: "b" }));
      await until(() => texts(member).includes("3"), "what came after it");
    });

    it("a group counts as waiting what was acknowledged to its publisher", { timeout: 30_000 }, async () => {
      const { slow, connection } = await slowly();
      await connection.ensureGroup(groupSpec("g"));
      const member = await joinGroup(connection, "g", wide);
      await stored(publish(connection, ["1"]));
      await until(() => texts(member).length === 1, "the first");
      member.consumption.ack(member.sink.messages);
      await member.consumption.flush();
      const state = async (): Promise<readonly number[]> => {
        const [{ waiting, inFlight } = { waiting: -1, inFlight: -1 }] = await connection.admin.groups();
        return [waiting, inFlight];
      };
      expect(await state()).toEqual([0, 0]);
      slow.behind = "late";
      const jobs = ["4", "5", "6"].map((text) => outgoing(toQueue("g"), text));
      connection.send(jobs.map(({ message }) => message));
      await stored([...publish(connection, ["2", "3"]), ...jobs]);
      expect(await state()).toEqual([5, 0]);
      slow.catchUp();
      await until(() => texts(member).length === 6, "the others");
    });

    it("what is listed in a cluster is what the leader has", { timeout: 30_000 }, async () => {
      const { slow, connection } = await slowly(true);
      const state = connection.state!;
      for (const key of ["a", "b"]) await state.put("b", key, Buffer.from("1"), {});
      slow.behind = "follower";
      let listed: readonly string[] | undefined;
      const list = async (): Promise<void> => {
        const keys: string[] = [];
        for await (const key of state.keys("b", "")) keys.push(key);
        listed = keys;
      };
      const listing = list();
      const from = performance.now();
      await until(() => performance.now() - from > 300, "an answer that is short");
      expect(listed).toBeUndefined();
      slow.catchUp();
      await listing;
      expect(listed).toEqual(["a", "b"]);
    });

    it.each(["group", "none"] as const)(
      "a trim keeps what no member of a group of order %s was there to handle",
      { timeout: 30_000 },
      async (order) => {
        const { slow, connection } = await slowly();
        await connection.ensureGroup(groupSpec("g", { order }));
        slow.behind = "counting";
        await stored(publish(connection, ["1", "2", "3"]));
        expect(await connection.admin.trim!("events", { at: "newest" })).toBe(0);
        slow.catchUp();
        const member = await joinGroup(connection, "g", wide);
        await until(() => texts(member).length === 3, "all of them");
        member.consumption.ack(member.sink.messages);
        await member.consumption.flush();
        expect(await connection.admin.trim!("events", { at: "newest" })).toBeGreaterThan(0);
      },
    );

    it("a tail that wants more keeps what it wanted before", { timeout: 30_000 }, async () => {
      const { slow, connection } = await slowly();
      const source = { kind: "tail", stream: "events", from: { at: "newest" }, resume: undefined } as const;
      const tail = await consume(connection, source, wide);
      await tail.consumption.wants(["a"], []);
      await stored(publish(connection, ["1"], { topic: "a" }));
      await until(() => texts(tail).length === 1, "the first");
      await (connection.client as NatsClient).flush();
      slow.behind = "deaf";
      await stored(publish(connection, ["2"], { topic: "a" }));
      await tail.consumption.wants(["a", "b"], []);
      slow.catchUp();
      await until(() => texts(tail).includes("2"), "what was stored before it wanted more", 10_000);
      await stored(publish(connection, ["3"], { topic: "b" }));
      await until(() => texts(tail).includes("3"), "what came after it");
      expect(texts(tail)).toEqual(["1", "2", "3"]);
    });
  });
});
