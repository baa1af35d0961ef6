import { connect as connectClient, headers } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import type { DriverConnection, OutMessage } from "../../src/driver.ts";
import {
  consume,
  outgoing,
  type Sent,
  type TestConsumption,
  toQueue,
  toTopic,
  until,
} from "../support/driver-harness.ts";
import { NatsWorld, natsServers } from "../support/nats-world.ts";

async function sendLater(
  connection: DriverConnection,
  text: string,
  delayMs: number,
  options: Partial<OutMessage> = {},
): Promise<Sent> {
  const sent = outgoing(toTopic("a.b"), text, { notBefore: Date.now() + delayMs, ...options });
  connection.send([sent.message]);
  await until(() => sent.outcome !== "waiting", "the outcome");
  return sent;
}

async function tail(connection: DriverConnection): Promise<TestConsumption> {
  const from = { at: "oldest" } as const;
  const tail = await consume(connection, { kind: "tail", stream: "events", from, resume: undefined });
  await tail.consumption.wants([">"], []);
  return tail;
}

const seen = ({ sink }: TestConsumption, count: number): Promise<void> =>
  until(
    () => sink.messages.length >= count,
    () => `${count} messages, ${sink.texts.join()} came`,
  );

describe.each(await natsServers())("what is due later on $name", (server) => {
  describe.skipIf(server.broker === undefined)("at the server", () => {
    it("is published when it is due, in order of time, as it was sent", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [await world.connect({ member: "b" }), await world.connect({ member: "a" })];
      const { sink } = await tail(one);
      const start = Date.now();
      const came: number[] = [];
      for (const [text, delayMs] of [
        ["3", 3_000],
        ["1", 150],
        ["2", 150],
      ] as const) {
        const sent = await sendLater(text === "2" ? two : one, text, delayMs, { key: "k", headers: [["ce-x", "ü"]] });
        expect([sent.outcome, sent.position]).toEqual(["stored", undefined]);
      }
      await until(() => {
        while (came.length < sink.messages.length) came.push(Date.now() - start);
        return came.length === 3;
      }, "three");
      expect(sink.texts.toSorted()).toEqual(["1", "2", "3"]);
      expect(sink.texts[2]).toBe("3");
      expect(came[0]).toBeGreaterThanOrEqual(150);
      expect(came[1]).toBeLessThan(3_000);
      expect(came[2]).toBeGreaterThanOrEqual(3_000);
      const [first] = sink.messages;
      expect([first!.topic, first!.key, first!.header("ce-x"), first!.headers()]).toEqual([
        "a.b",
        "k",
        "ü",
        [["ce-x", "ü"]],
      ]);
    });

    it("stays away when it is sent once more after it was taken back", async () => {
      const connection = await new NatsWorld(server).connect();
      expect((await sendLater(connection, "1", 60_000, { id: "same", brokerId: "same" })).outcome).toBe("stored");
      expect(await connection.admin.cancelScheduled!(["same"])).toEqual(["same"]);
      expect((await sendLater(connection, "1", 60_000, { id: "same", brokerId: "same" })).outcome).toBe("duplicate");
      expect(await connection.admin.scheduled!(undefined, 9)).toEqual([]);
      const { sink } = await tail(connection); // nor does it come when its time came since its first try
      expect((await sendLater(connection, "1", -1, { id: "same", brokerId: "same" })).outcome).toBe("duplicate");
      expect((await sendLater(connection, "2", -1)).outcome).toBe("stored");
      await until(() => sink.texts.length === 1, "the one that was not taken back");
      expect(sink.texts).toEqual(["2"]);
    });

    it("knows one that was sent for later twice, while it waits and when it was published", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      const { sink } = await tail(connection);
      expect((await sendLater(connection, "1", 150, { brokerId: "same" })).outcome).toBe("stored");
      expect((await sendLater(connection, "1", 150, { brokerId: "same" })).outcome).toBe("duplicate");
      await until(() => sink.messages.length === 1, "the first");
      const again = outgoing(toTopic("a.b"), "1", { brokerId: "same" });
      connection.send([again.message]);
      await until(() => again.outcome !== "waiting", "the outcome");
      expect(again.outcome).toBe("duplicate");
      await sendLater(connection, "1", 50, { brokerId: "same" });
      await sendLater(connection, "2", 100);
      await until(() => sink.texts.includes("2"), "the one behind it");
      expect(sink.texts).toEqual(["1", "2"]);
    });

    it("waits for a process when none is there", async () => {
      const world = new NatsWorld(server);
      const first = await world.connect();
      await sendLater(first, "1", 50);
      await first.close(AbortSignal.timeout(2_000));
      const all = await tail(await world.connect());
      await seen(all, 1);
      expect(all.sink.texts).toEqual(["1"]);
    });

    it("is moved by another process when the one that did it leaves", async () => {
      const world = new NatsWorld(server);
      const [first, second] = [await world.connect({ member: "a" }), await world.connect({ member: "b" })];
      const all = await tail(second);
      for (const delayMs of [50, 400, 1_500]) await sendLater(second, String(delayMs), delayMs);
      await seen(all, 1);
      await first.close(AbortSignal.timeout(2_000));
      await seen(all, 3);
      expect(all.sink.texts).toEqual(["50", "400", "1500"]);
    });

    it("stays where its stream is full, until there is room", async () => {
      const world = new NatsWorld(server);
      const streams = [{ name: "events", topics: [">"], partitions: 1, maxMessages: 1 }];
      const connection = await world.connect({ streams });
      const group = {
        group: "g",
        reads: [{ stream: "events", patterns: ["a.b"] }],
        order: "none",
        live: false,
      } as const;
      await connection.ensureGroup({ ...group, from: { at: "oldest" } });
      const now = outgoing(toTopic("a.b"), "now");
      connection.send([now.message]);
      await until(() => now.outcome === "stored", "the first");
      await sendLater(connection, "later", 50);
      const { sink, consumption } = await consume(connection, { kind: "group", group: "g", resume: undefined });
      await until(() => sink.texts.join() === "now", "the first");
      const untilState = async (wanted: readonly number[]): Promise<void> => {
        for (const start = performance.now(); ;) {
          const [found] = await connection.admin.groups();
          const state = [found!.waiting, found!.scheduled, found!.inFlight];
          if (state.join() === wanted.join()) return;
          if (performance.now() - start > 5_000) expect(state).toEqual(wanted);
        }
      };
      await untilState([1, 0, 1]);
      consumption.ack(sink.messages);
      await until(() => sink.texts.join() === "now,later", "room for the second", 10_000);
    });

    it("of a queue goes to its group, and counts there as scheduled", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      const group = { group: "g", reads: [{ stream: "events", patterns: ["x"] }], order: "none", live: false } as const;
      await connection.ensureGroup({ ...group, from: { at: "oldest" } });
      await sendLater(connection, "soon", 1_500, { to: toQueue("g") });
      await sendLater(connection, "late", 60_000, { to: toQueue("g") });
      await sendLater(connection, "other", 60_000, { to: toQueue("h") });
      await sendLater(connection, "topic", 60_000, { to: toTopic("x") });
      await sendLater(connection, "no topic of it", 60_000, { to: toTopic("y") });
      const [before] = await connection.admin.groups();
      expect([before!.waiting, before!.scheduled, before!.oldestWaitingMs]).toEqual([3, 3, undefined]);
      const { sink, consumption } = await consume(connection, { kind: "group", group: "g", resume: undefined });
      await until(
        () => sink.texts.join() === "soon",
        () => `the first, ${sink.texts.join()} came`,
      );
      expect(sink.messages[0]).toMatchObject({ topic: "jobs", lane: "queue", deliveries: 1 });
      consumption.ack(sink.messages);
      await consumption.flush();
      expect(await connection.admin.deleteGroup("g")).toBe(true);
      await connection.ensureGroup({ ...group, from: { at: "oldest" } });
      const [after] = await connection.admin.groups();
      expect([after!.waiting, after!.scheduled]).toEqual([1, 1]);
    });

    it("that a process took, and died over, is published by another, and can't be cancelled any more", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      await sendLater(connection, "1", 1_000, { id: "one", brokerId: "one" });
      const client = await connectClient({ servers: world.url });
      onTestFinished(() => client.close());
      const subject = `$KV.${world.prefix}.d.s.events.one.a=2Eb`;
      const query = JSON.stringify({ last_by_subj: subject });
      const found = (await client.request(`$JS.API.STREAM.MSG.GET.KV_${world.prefix}`, query)).json<{
        readonly message: { readonly hdrs: string; readonly data: string };
      }>();
      const taken = headers();
      for (const line of Buffer.from(found.message.hdrs, "base64").toString().split("\r\n"))
        if (line.startsWith("Omnibus-")) taken.set(line.split(": ", 1)[0]!, line.slice(line.indexOf(": ") + 2));
      taken.set("Omnibus-Taken", "1");
      await client.request(subject, Buffer.from(found.message.data, "base64"), { headers: taken, timeout: 5_000 });
      expect((await connection.admin.scheduled!(undefined, 10)).map(({ id }) => id)).toEqual(["one"]);
      expect(await connection.admin.cancelScheduled!(["one"])).toEqual([]);
      const { sink } = await tail(connection);
      await until(() => sink.texts.join() === "1", "it all the same", 10_000);
      expect(await connection.admin.scheduled!(undefined, 10)).toEqual([]);
    });

    it("is moved however large it is, once it was taken", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      const { sink } = await tail(connection);
      // what the server takes with all that is noted beside it
      let [most, refused] = [1_000_000, 1_048_576];
      while (refused - most > 1) {
        const size = (most + refused) >> 1;
        const sent = await sendLater(connection, "x".repeat(size), 3_600_000);
        if (sent.outcome === "stored") most = size;
        else refused = size;
      }
      for (const { id } of await connection.admin.scheduled!(undefined, 100))
        await connection.admin.cancelScheduled!([id]);
      expect((await sendLater(connection, "x".repeat(most), 100)).outcome).toBe("stored");
      await until(() => sink.messages[0]?.body.length === most, "the largest", 10_000);
    });

    it("goes with its stream", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      await sendLater(connection, "1", 300);
      expect(await connection.admin.deleteStream("events")).toBe(true);
      await connection.ensureStream({ name: "events", topics: [">"], partitions: 1 });
      const all = await tail(connection);
      await sendLater(connection, "2", 400);
      await seen(all, 1);
      expect(all.sink.texts).toEqual(["2"]);
    });
  });
});
