import { describe, expect, it } from "vitest";
import type { DriverConnection, StoredMessage } from "../../src/driver.ts";
import { consume, outgoing, type Sent, toDirect, toTopic, turns, until } from "../support/driver-harness.ts";
import { NatsWorld } from "../support/nats-world.ts";
import { testBroker } from "../support/test-broker.ts";

const servers = [
  { name: "nats", broker: await testBroker("nats", { own: true }) },
  { name: "nats@2.10", broker: await testBroker("nats", { own: true, release: "2.10" }) },
];
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const options = { leaseMs: 1_000, requestTimeoutMs: 1_000, pingMs: 500, heartbeatMs: 300 };

async function sent(connection: DriverConnection, ...messages: readonly Sent[]): Promise<void> {
  connection.send(messages.map(({ message }) => message));
  await until(() => messages.every(({ outcome }) => outcome !== "waiting"), "the outcomes");
}

/** Until the server answers again. */
async function back(connection: DriverConnection): Promise<void> {
  for (const start = performance.now(); ;) {
    try {
      await connection.ping();
      return;
    } catch (error) {
      if (performance.now() - start > 10_000) throw error;
      await turns(1); // it may reject at once
    }
  }
}

const letter = (id: string): StoredMessage => ({
  id,
  to: toTopic("a"),
  group: undefined,
  topic: "a",
  key: undefined,
  headers: [],
  body: bytes(id),
  storedAt: 0,
  notBefore: undefined,
});

describe.each(servers)("an outage of $name", (server) => {
  describe.skipIf(server.broker === undefined)("with what waits, listens and watches", () => {
    it.each(["killed", "paused"] as const)("is over for all of them by itself (%s)", async (how) => {
      const { broker } = server;
      const world = new NatsWorld(server);
      const [one, two] = [await world.connect(options), await world.connect(options)];
      const listener = await consume(one, { kind: "direct", group: undefined });
      const responder = await consume(one, { kind: "direct", group: "g" });
      const inbox = await consume(two, { kind: "inbox" });
      await listener.consumption.wants(["n.*"], []);
      await responder.consumption.wants([], ["ask"]);
      const changes: string[] = [];
      const abort = new AbortController();
      const watching = (async () => {
        for await (const { key } of one.state!.watch("b", "", abort.signal)) changes.push(key);
      })();
      await two.state!.put("b", "before", bytes("1"), {});
      watching.catch(() => undefined);
      await until(() => changes.join() === "before", "the first change");
      const due = Date.now() + 1_500;
      await sent(two, outgoing(toTopic("a"), "later", { notBefore: due }));

      if (how === "killed") await broker!.kill();
      else await broker!.pause();
      const during = ["1", "2"].map((text) => outgoing(toDirect("n.x"), text, { durable: false }));
      const asked = outgoing(toDirect("ask"), "?", { replyTo: inbox.consumption.address! });
      await sent(two, ...during, asked); // all complete, whatever it is
      const growing = listener.consumption.wants(["n.*", "m"], []).catch(() => "late");
      const reading = one.state!.get("b", "before").catch(() => "late");
      await until(() => Date.now() > due, "it to be due", 3_000);
      if (how === "killed") await broker!.start();
      else await broker!.resume();
      await Promise.all([back(one), back(two)]);
      await Promise.all([growing, reading]);

      await listener.consumption.wants(["n.*", "m"], []);
      const before = listener.sink.messages.length;
      await sent(two, outgoing(toDirect("n.x"), "3"), outgoing(toDirect("m"), "4"));
      await until(() => listener.sink.messages.length >= before + 2, "what is published now");
      const request = outgoing(toDirect("ask"), "now", { replyTo: inbox.consumption.address! });
      await sent(two, request);
      expect(request.outcome).toBe("stored");
      await until(() => responder.sink.texts.includes("now"), "the request");
      const { replyTo } = responder.sink.messages.at(-1)!;
      await sent(one, outgoing({ kind: "inbox", address: replyTo! }, "!"));
      await until(() => inbox.sink.texts.includes("!"), "the answer");

      await two.state!.put("b", "after", bytes("1"), {});
      await until(() => changes.includes("after"), "the change");
      expect(changes).toEqual(["before", "after"]);
      abort.abort();
      await watching;

      const from = { at: "oldest" } as const;
      const tail = await consume(one, { kind: "tail", stream: "events", from, resume: undefined });
      await tail.consumption.wants([">"], []);
      await until(() => tail.sink.messages.length > 0, "what was due meanwhile");
      expect(tail.sink.texts).toEqual(["later"]);
      expect(await one.admin.letters(undefined, undefined, 10)).toEqual([]);
    });

    it("leaves no call open that was made while it lasted, and none that closes", async () => {
      const { broker } = server;
      const world = new NatsWorld(server);
      const connection = await world.connect(options);
      const inbox = await consume(connection, { kind: "inbox" });
      const listener = await consume(connection, { kind: "direct", group: undefined });
      await broker!.pause();
      try {
        const start = performance.now();
        const state = connection.state!;
        const calls = [
          state.get("b", "k"),
          state.put("b", "k", bytes("1"), { expect: null }),
          state.delete("b", "k"),
          state.keys("b", "")[Symbol.asyncIterator]().next(),
          state.watch("b", "", new AbortController().signal)[Symbol.asyncIterator]().next(),
          state.schedule([letter("1")]),
          state.due(0, 1, 1),
          state.scheduled(undefined, 1),
          state.unschedule(["1"]),
          connection.admin.streams(),
          connection.admin.positions("events"),
          connection.admin.trim!("events", { at: "newest" }),
          connection.admin.deleteStream("none"),
          connection.admin.groups(),
          connection.admin.deleteGroup("g"),
          connection.admin.letters(undefined, undefined, 1),
          connection.admin.letter("g/1"),
          connection.admin.countLetters("g"),
          connection.admin.claimLetters(["g/1"], "t", 1),
          connection.admin.removeLetters(["g/1"], "t"),
          listener.consumption.wants(["a"], ["b"]),
          connection.ping(),
        ];
        const messages = [
          outgoing(toTopic("a"), "1", { notBefore: Date.now() + 60_000 }),
          outgoing(toDirect("a"), "1"),
          outgoing(toDirect("a"), "1", { replyTo: inbox.consumption.address! }),
          outgoing({ kind: "inbox", address: `${inbox.consumption.address!}.1` }, "1"),
        ];
        connection.send(messages.map(({ message }) => message));
        const ended = await Promise.allSettled(calls);
        expect(ended.filter(({ status }) => status === "fulfilled")).toEqual([]);
        await until(() => messages.every(({ outcome }) => outcome !== "waiting"), "all to complete");
        expect(performance.now() - start).toBeLessThan(8_000);
        const closing = performance.now();
        await listener.consumption.stop();
        await connection.close(AbortSignal.timeout(500));
        expect(performance.now() - closing).toBeLessThan(3_000);
      } finally {
        await broker!.resume();
      }
    });
  });
});
