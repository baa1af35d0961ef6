import { describe, expect, it } from "vitest";
import {
  connectTo,
  consume,
  letterOf,
  numbered,
  outgoing,
  toDirect,
  toTopic,
  turns,
  until,
  wide,
  type Sent,
  type TestConsumption,
} from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import type { DriverConnection, OutMessage } from "../../driver.ts";
import { memory } from "./index.ts";

const live = new AbortController().signal;

async function start(): Promise<{
  readonly clock: ManualClock;
  readonly connection: DriverConnection;
  readonly other: DriverConnection;
}> {
  const clock = new ManualClock();
  const driver = memory();
  const { connection } = await connectTo(driver, { clock });
  const { connection: other } = await connectTo(driver, { clock });
  return { clock, connection, other };
}

async function listen(
  connection: DriverConnection,
  patterns: readonly string[],
  answers: readonly string[] = [],
  group?: string,
  window = wide,
): Promise<TestConsumption> {
  const listener = await consume(connection, { kind: "direct", group }, window);
  await listener.consumption.wants(patterns, answers);
  return listener;
}

function sendDirect(
  connection: DriverConnection,
  topic: string,
  text: string,
  options: Partial<OutMessage> = {},
): Sent {
  const sent = outgoing(toDirect(topic), text, options);
  connection.send([sent.message]);
  return sent;
}

describe("the direct lane", () => {
  it("reaches everyone who listens now, and one of each group in turn", async () => {
    const { connection, other } = await start();
    const alone = await listen(connection, ["a.>"]);
    const elsewhere = await listen(connection, ["b.>"]);
    const one = await listen(connection, ["a.>"], [], "g");
    const two = await listen(other, ["a.b"], [], "g");
    for (const text of numbered(4))
      expect(sendDirect(connection, "a.b", text)).toMatchObject({ outcome: "stored", position: undefined });
    await until(() => alone.sink.messages.length === 4, "all");
    expect([one.sink.texts, two.sink.texts]).toEqual([
      ["1", "3"],
      ["2", "4"],
    ]);
    expect(alone.sink.messages[0]).toMatchObject({
      lane: "direct",
      topic: "a.b",
      partition: undefined,
      position: undefined,
      deliveries: 1,
    });
    sendDirect(connection, "a.c", "5");
    await until(() => one.sink.messages.length === 3, "the only one of the group that wants it");
    expect(elsewhere.sink.messages).toEqual([]);
  });

  it("takes what nobody wants, and keeps it for nobody", async () => {
    const { connection } = await start();
    expect(sendDirect(connection, "a.b", "1").outcome).toBe("stored");
    const late = await listen(connection, [">"]);
    await turns();
    expect(late.sink.messages).toEqual([]);
  });

  it("gives requests to those who answer and nothing else to them, and refuses a request that nobody answers", async () => {
    const { connection } = await start();
    const listener = await listen(connection, [">"]);
    expect(sendDirect(connection, "sum", "1", { replyTo: "me" })).toMatchObject({
      outcome: "no",
      error: { code: "BUS_NO_RESPONDER" },
    });
    const responder = await listen(connection, [], ["sum"]);
    expect(sendDirect(connection, "sum", "2", { replyTo: "me" }).outcome).toBe("stored");
    sendDirect(connection, "sum", "3");
    await until(() => responder.sink.messages.length === 1 && listener.sink.messages.length === 1, "both");
    expect([responder.sink.texts, listener.sink.texts, responder.sink.messages[0]!.replyTo]).toEqual([
      ["2"],
      ["3"],
      "me",
    ]);
    await responder.consumption.wants([], []);
    expect(sendDirect(connection, "sum", "4", { replyTo: "me" }).outcome).toBe("no");
    await responder.consumption.wants([], ["sum"]);
    await responder.consumption.stop();
    expect(sendDirect(connection, "sum", "5", { replyTo: "me" }).outcome).toBe("no");
  });

  it("drops what has expired before it could be handed out", async () => {
    const { connection, clock } = await start();
    const { sink, consumption } = await listen(connection, ["a"], [], undefined, { messages: 1, bytes: 100 });
    for (const text of ["1", "2"]) sendDirect(connection, "a", text, { expiresAt: clock.now() + 100 });
    sendDirect(connection, "a", "3", { expiresAt: clock.now() + 10_000 });
    await until(() => sink.messages.length === 1, "the first");
    clock.advance(100);
    consumption.ack(sink.messages);
    await until(() => sink.messages.length === 2, "the third");
    expect(sink.texts).toEqual(["1", "3"]);
  });

  it("keeps to windows with a bounded buffer, and says what it dropped", async () => {
    const { connection } = await start();
    const { sink, consumption } = await listen(connection, ["a"], [], undefined, { messages: 0, bytes: 100 });
    connection.send(numbered(10_003).map((text) => outgoing(toDirect("a"), text).message));
    await until(() => sink.losses.length === 1, "said");
    expect(sink.losses[0]!.count).toBe(3);
    consumption.window({ messages: 2, bytes: 100 });
    await until(() => sink.messages.length === 2, "two");
    await turns();
    expect(sink.texts).toEqual(["4", "5"]);
    expect(
      await consumption.settle([{ how: "retry", message: sink.messages[0]!, delayMs: 0, attempts: 1, headers: [] }]),
    ).toEqual(["stale"]);
    await until(() => sink.messages.length === 3, "one more");
  });

  it("passes what a closing member of a group had not delivered to another", async () => {
    const { connection, other } = await start();
    const one = await listen(connection, ["a"], ["q"], "g", { messages: 0, bytes: 0 });
    for (const text of ["1", "2"]) sendDirect(connection, "a", text);
    sendDirect(connection, "q", "3", { replyTo: "me" });
    const two = await listen(other, ["a"], ["q"], "g");
    await one.consumption.close(live);
    await until(() => two.sink.messages.length === 3, "all");
    expect(two.sink.texts).toEqual(["1", "2", "3"]);
  });

  it("keeps a letter", async () => {
    const { connection } = await start();
    const { sink, consumption } = await listen(connection, ["a"], [], "g");
    sendDirect(connection, "a", "bad");
    await until(() => sink.messages.length === 1, "it");
    const message = sink.messages[0]!;
    expect(await consumption.settle([{ how: "dead", message, letter: letterOf(message, "g") }])).toEqual(["done"]);
    expect(await consumption.settle([{ how: "dead", message, letter: letterOf(message, "g") }])).toEqual(["stale"]);
    expect(await connection.admin.countLetters("g")).toBe(1);
  });

  it("delivers later what is due later", async () => {
    const { connection, clock } = await start();
    const { sink } = await listen(connection, ["a"]);
    expect(sendDirect(connection, "a", "1", { notBefore: clock.now() + 100 }).outcome).toBe("stored");
    await turns();
    expect(sink.messages).toEqual([]);
    clock.advance(100);
    await until(() => sink.messages.length === 1, "it");
  });
});

describe("an inbox", () => {
  it("has an address of its own that nobody can guess, and gets what is sent to it", async () => {
    const { connection, other } = await start();
    const one = await consume(connection, { kind: "inbox" });
    const two = await consume(connection, { kind: "inbox" });
    expect(one.consumption.address).toMatch(/^[0-9a-f]{32}$/);
    expect(two.consumption.address).not.toBe(one.consumption.address);
    const answer = outgoing({ kind: "inbox", address: one.consumption.address! }, "answer", { headers: [["of", "1"]] });
    other.send([answer.message]);
    await until(() => one.sink.messages.length === 1, "it");
    expect(answer.outcome).toBe("stored");
    expect(one.sink.messages[0]).toMatchObject({ lane: "inbox", replyTo: undefined });
    expect(one.sink.messages[0]!.header("of")).toBe("1");
    expect(two.sink.messages).toEqual([]);
  });

  it("is unknown once it is closed", async () => {
    const { connection } = await start();
    const { consumption } = await consume(connection, { kind: "inbox" });
    await consumption.close(live);
    const answer = outgoing({ kind: "inbox", address: consumption.address! }, "late");
    connection.send([answer.message]);
    expect(answer).toMatchObject({ outcome: "no", error: { code: "BUS_NOT_FOUND" } });
    expect(String(answer.error)).not.toContain(consumption.address);
  });
});

describe("a closed connection", () => {
  it("takes its listeners and inboxes with it, and sends nothing", async () => {
    const { connection, other } = await start();
    await listen(connection, [], ["q"]);
    const { consumption } = await consume(connection, { kind: "inbox" });
    await connection.close(live);
    await connection.close(live);
    expect(sendDirect(other, "q", "1", { replyTo: "me" }).error).toMatchObject({ code: "BUS_NO_RESPONDER" });
    const answer = outgoing({ kind: "inbox", address: consumption.address! }, "late");
    other.send([answer.message]);
    expect(answer.outcome).toBe("no");
    const sent = outgoing(toTopic("a"), "x");
    connection.send([sent.message]);
    expect(sent).toMatchObject({ outcome: "no", error: { code: "BUS_CLOSED" } });
  });
});
