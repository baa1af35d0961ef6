import { describe, expect, it } from "vitest";
import {
  codeOf,
  consume,
  outgoing,
  type Sent,
  type TestConsumption,
  textOf,
  toDirect,
  toTopic,
  until,
  wide,
} from "../support/driver-harness.ts";
import type { DriverConnection, OutMessage } from "../../src/driver.ts";
import { FaultProxy } from "../../src/testing/index.ts";
import { NatsWorld, natsServers } from "../support/nats-world.ts";

async function listen(
  connection: DriverConnection,
  patterns: readonly string[],
  answers: readonly string[] = [],
  group?: string,
): Promise<TestConsumption> {
  const consumer = await consume(connection, { kind: "direct", group });
  await consumer.consumption.wants(patterns, answers);
  return consumer;
}

function send(connection: DriverConnection, topic: string, text: string, options: Partial<OutMessage> = {}): Sent {
  const sent = outgoing(toDirect(topic), text, { durable: false, ...options });
  connection.send([sent.message]);
  return sent;
}

const completed = (sent: Sent): Promise<void> => until(() => sent.outcome !== "waiting", "the outcome");

describe.each(await natsServers())("the direct lane on $name", (server) => {
  describe.skipIf(server.broker === undefined)("between processes", () => {
    it("reaches each listener once, whatever its patterns, with key and headers", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [await world.connect(), await world.connect()];
      const everything = await listen(one, ["a.*", "a.b", "*.b", "a.>"]);
      const some = await listen(two, ["a.b"]);
      await some.consumption.wants(["a.b", "c.>"], []);
      for (const topic of ["a.b", "c.d", "x"]) send(two, topic, topic, { key: "ä key", headers: [["ce-x", "1"]] });
      await until(() => some.sink.messages.length === 2 && everything.sink.messages.length === 1, "all");
      expect(some.sink.texts).toEqual(["a.b", "c.d"]);
      const [message] = everything.sink.messages;
      expect(message).toMatchObject({ topic: "a.b", key: "ä key", lane: "direct", deliveries: 1, replyTo: undefined });
      expect([message!.header("ce-x"), message!.partition, message!.position]).toEqual(["1", undefined, undefined]);
    });

    it("counts a message once while what is wanted changes", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [await world.connect(), await world.connect()];
      const alone = await listen(one, ["n.*"]);
      const shared = await listen(one, ["n.*"], [], "g");
      let sent = 0;
      const changes = [["n.*", "n.1"], ["n.>", "n.1"], ["*.*"], ["n.*"], [">"], ["n.1", "n.*"]];
      for (const patterns of changes) {
        const changing = [alone.consumption.wants(patterns, []), shared.consumption.wants(patterns, [])];
        for (let n = 0; n < 20; n += 1) send(two, "n.1", String(sent++));
        await Promise.all(changing);
      }
      const expected = Array.from({ length: sent }, (_, n) => String(n));
      for (const { sink } of [alone, shared]) {
        await until(
          () => sink.messages.length >= sent,
          () => `${sink.messages.length} of ${sent}`,
        );
        expect(sink.texts.toSorted((a, b) => Number(a) - Number(b))).toEqual(expected);
      }
    });

    it("shares among a group's listeners", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [await world.connect(), await world.connect()];
      const members = [await listen(one, ["s"], [], "g"), await listen(two, ["s"], [], "g")];
      for (let n = 0; n < 200; n += 1) send(one, "s", String(n));
      const counts = (): number[] => members.map(({ sink }) => sink.messages.length);
      await until(
        () => counts()[0]! + counts()[1]! === 200,
        () => `200, not ${counts().join()}`,
      );
      expect(Math.min(...counts())).toBeGreaterThan(40);
    });

    it("answers a request at its own subject, to whoever asked", async () => {
      const world = new NatsWorld(server);
      const [asking, answering] = [await world.connect(), await world.connect()];
      const inbox = await consume(asking, { kind: "inbox" });
      const listener = await listen(asking, ["double"]); // merely listens: nobody asks it
      const responder = await listen(answering, [], ["double"], "g");
      const requests = ["1", "2"].map((n) => send(asking, "double", n, { replyTo: inbox.consumption.address! }));
      await until(() => responder.sink.messages.length === 2, "the requests");
      for (const message of responder.sink.messages) {
        const answer = outgoing({ kind: "inbox", address: message.replyTo! }, `${textOf(message)}!`, {
          durable: false,
        });
        answering.send([answer.message]);
        await completed(answer);
        expect(answer.outcome).toBe("stored");
      }
      await until(() => inbox.sink.messages.length === 2, "the answers");
      expect(inbox.sink.texts).toEqual(["1!", "2!"]);
      expect(inbox.sink.messages.map(({ lane }) => lane)).toEqual(["inbox", "inbox"]);
      await Promise.all(requests.map(completed));
      expect(requests.map(({ outcome }) => outcome)).toEqual(["stored", "stored"]);
      expect(listener.sink.messages).toEqual([]);
    });

    it("says at once that nobody answers, or waits for an answer any more", async () => {
      const world = new NatsWorld(server);
      const [asking, answering] = [await world.connect(), await world.connect()];
      const inbox = await consume(asking, { kind: "inbox" });
      const responder = await listen(answering, ["x"], ["x"], "g");
      const request = (): Sent => send(asking, "x", "?", { replyTo: inbox.consumption.address! });
      const first = request();
      await completed(first);
      expect(first.outcome).toBe("stored");
      await until(() => responder.sink.messages.length === 1, "the request");
      await responder.consumption.wants(["x"], []);
      const second = request();
      await completed(second);
      expect([second.outcome, (second.error as { code?: string }).code]).toEqual(["no", "BUS_NO_RESPONDER"]);
      for (let times = 0; times < 20; times += 1) {
        const other = await listen(answering, [], ["x"]);
        await other.consumption.close(AbortSignal.abort()); // as the core does when its last responder leaves
        const again = request();
        await completed(again);
        expect([again.outcome, times]).toEqual(["no", times]);
      }
      await inbox.consumption.close(AbortSignal.timeout(1_000));
      const answer = outgoing({ kind: "inbox", address: responder.sink.messages[0]!.replyTo! }, "!");
      answering.send([answer.message]);
      await completed(answer);
      expect([answer.outcome, (answer.error as { code?: string }).code]).toEqual(["no", "BUS_NOT_FOUND"]);
    });

    it("never answers into the server's API, or into a stream of ours", async () => {
      const world = new NatsWorld(server);
      const [asking, answering] = [await world.connect(), await world.connect()];
      const responder = await listen(answering, [], ["x"], "g");
      const client = asking.client as { publish(subject: string, body: string, options: { reply: string }): void };
      for (const reply of ["$JS.API.STREAM.PURGE.x", `${world.prefix}.s.events.0.forged`, "_INBOX.me"])
        client.publish(`${world.prefix}.r.x`, "?", { reply });
      await until(() => responder.sink.messages.length === 1, "the honest one");
      expect(responder.sink.messages[0]!.replyTo).toBe("_INBOX.me");
    });

    it("stores nothing, refuses what is too large or to be delayed, and completes all when it is closed", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      const stored = send(connection, "x", "1");
      const large = send(connection, "x", "x".repeat(1_100_000));
      const later = send(connection, "x", "1", { notBefore: Date.now() + 60_000 });
      const codes = [large, later].map(({ error }) => (error as { code?: string }).code);
      expect([stored.outcome, large.outcome, later.outcome]).toEqual(["stored", "no", "no"]);
      expect(codes).toEqual(["BUS_TOO_LARGE", "BUS_UNSUPPORTED"]);
      const durable = outgoing(toTopic("x"), "2");
      connection.send([durable.message]);
      await completed(durable);
      expect((await connection.admin.streams())[0]?.messages).toBe(1);
      const inbox = await consume(connection, { kind: "inbox" });
      const open = send(connection, "x", "?", { replyTo: inbox.consumption.address! });
      await connection.close(AbortSignal.timeout(2_000));
      await completed(open);
      expect(send(connection, "x", "late").outcome).toBe("no");
    });

    it("keeps what its window has no room for, delivers it as room is made, and nothing after it stopped", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      const { consumption, sink } = await consume(
        connection,
        { kind: "direct", group: undefined },
        { ...wide, messages: 2 },
      );
      await consumption.wants(["n"], []);
      for (let n = 0; n < 5; n += 1) send(connection, "n", String(n));
      await until(() => sink.messages.length === 2, "two");
      await connection.ping(); // answered behind the others
      consumption.ack(sink.messages.slice(0, 1));
      expect(sink.texts).toEqual(["0", "1", "2"]);
      consumption.ack(sink.messages.slice(0, 1)); // again: counts once
      expect(sink.messages).toHaveLength(3);
      consumption.window({ ...wide, messages: 3 });
      expect(sink.texts).toEqual(["0", "1", "2", "3"]);
      expect(await codeOf(consumption.settle([]))).toBe("BUS_UNSUPPORTED");
      await consumption.stop();
      send(connection, "n", "late");
      consumption.ack(sink.messages);
      await connection.ping();
      expect(sink.messages).toHaveLength(4);
    });

    it("leaves nothing pending when the connection is destroyed while the server is silent", async () => {
      const world = new NatsWorld(server);
      await using proxy = await FaultProxy.start(server.broker!.url);
      const connection = await world.connect({ servers: proxy.url(server.broker!.url) });
      const { consumption } = await listen(connection, ["a"]);
      proxy.halfOpen();
      const wanting = codeOf(consumption.wants(["a", "b"], []));
      const from = performance.now();
      await connection.close(AbortSignal.abort());
      await wanting;
      expect(performance.now() - from).toBeLessThan(2_500); // and not the time-out of a request
    });
  });
});
