import { rmSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  consume,
  numbered,
  outgoing,
  textOf,
  toDirect,
  turns,
  until,
  wide,
  type Sent,
  type TestConsumption,
} from "../../../test/support/driver-harness.ts";
import { newWorld } from "../../../test/support/sqlite-world.ts";
import type { Consumption, DriverConnection, OutMessage, Window } from "../../driver.ts";

async function listen(
  connection: DriverConnection,
  patterns: readonly string[],
  answers: readonly string[] = [],
  group?: string,
  window: Window = wide,
): Promise<TestConsumption> {
  const listener = await consume(connection, { kind: "direct", group }, window);
  await listener.consumption.wants(patterns, answers);
  return listener;
}

function send(connection: DriverConnection, topic: string, text: string, options: Partial<OutMessage> = {}): Sent {
  const sent = outgoing(toDirect(topic), text, options);
  connection.send([sent.message]);
  return sent;
}

const ask = (connection: DriverConnection, topic: string, inbox: Consumption): Sent =>
  send(connection, topic, "?", { replyTo: inbox.address!, expiresAt: Date.now() + 10_000 });
const outcome = (sent: Sent): Promise<void> => until(() => sent.outcome !== "waiting", "an outcome");

describe.each(["one process", "two processes"])("the direct lane, %s", (where) => {
  async function pair(): Promise<readonly [DriverConnection, DriverConnection]> {
    const world = newWorld();
    const { connection } = await world.connect();
    return [connection, where === "one process" ? connection : (await world.connect({ streams: [] })).connection];
  }

  it("reaches everybody who listens, and one of each group", async () => {
    const [from, to] = await pair();
    const alone = await listen(to, ["a.*"]);
    const shared = [await listen(to, ["a.>"], [], "g"), await listen(from, ["a.>"], [], "g")];
    const elsewhere = await listen(to, ["b"]);
    for (const text of numbered(10)) send(from, "a.x", text);
    await until(
      () =>
        alone.sink.messages.length === 10 && shared[0]!.sink.messages.length + shared[1]!.sink.messages.length === 10,
      "all",
    );
    await turns(10);
    expect(alone.sink.texts).toEqual(numbered(10));
    expect(shared.map(({ sink }) => sink.messages.length)).toEqual([5, 5]);
    expect(elsewhere.sink.messages).toEqual([]);
    expect(alone.sink.messages[0]).toMatchObject({ lane: "direct", topic: "a.x", deliveries: 1, position: undefined });
  });

  it("brings a request to one who answers, and the answer to whoever asked", async () => {
    const [from, to] = await pair();
    const inbox = await consume(from, { kind: "inbox" });
    const responder = await listen(to, [], ["sum.*"]);
    const listener = await listen(to, ["sum.*"]);
    const request = ask(from, "sum.of", inbox.consumption);
    await until(() => responder.sink.messages.length === 1, "the request");
    const { replyTo } = responder.sink.messages[0]!;
    expect(replyTo).toBe(inbox.consumption.address);
    const answer = outgoing({ kind: "inbox", address: replyTo! }, "42", { headers: [["id", "7"]] });
    to.send([answer.message]);
    await until(() => inbox.sink.messages.length === 1, "the answer");
    expect([inbox.sink.texts, inbox.sink.messages[0]!.lane, inbox.sink.messages[0]!.header("id")]).toEqual([
      ["42"],
      "inbox",
      "7",
    ]);
    await outcome(request);
    expect([request.outcome, listener.sink.messages.length]).toEqual(["stored", 0]);
  });

  it("says at once that nobody answers, whoever merely listens", async () => {
    const [from, to] = await pair();
    const inbox = await consume(from, { kind: "inbox" });
    await listen(to, ["sum.*"]);
    const responder = await listen(to, [], ["sum.*"]);
    await responder.consumption.close(AbortSignal.timeout(1_000));
    const request = ask(from, "sum.of", inbox.consumption);
    await outcome(request);
    expect([request.outcome, (request.error as { readonly code: string }).code]).toEqual(["no", "BUS_NO_RESPONDER"]);
    const publish = send(from, "nobody.listens", "1");
    await outcome(publish);
    expect(publish.outcome).toBe("stored");
  });

  it("refuses an answer to an inbox that is gone", async () => {
    const [from, to] = await pair();
    const inbox = await consume(from, { kind: "inbox" });
    const address = inbox.consumption.address!;
    await inbox.consumption.close(AbortSignal.timeout(1_000));
    const answer = outgoing({ kind: "inbox", address }, "late");
    to.send([answer.message]);
    await outcome(answer);
    expect([answer.outcome, inbox.sink.messages.length]).toEqual(["no", 0]);
  });

  it("keeps the window, and drops what expired meanwhile", async () => {
    const [from, to] = await pair();
    const listener = await listen(to, ["a"], [], undefined, { messages: 2, bytes: 1e6 });
    for (const text of numbered(3)) send(from, "a", text);
    send(from, "a", "late", { expiresAt: Date.now() + 30 });
    send(from, "a", "last");
    await until(() => listener.sink.messages.length === 2, "two");
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(listener.sink.texts).toEqual(["1", "2"]);
    listener.consumption.ack(listener.sink.messages);
    await until(() => listener.sink.messages.length === 4, "the rest");
    expect(listener.sink.texts).toEqual(["1", "2", "3", "last"]);
  });
});

describe("the direct file", () => {
  it("may be deleted at any time: those who listen are found again", async () => {
    const world = newWorld();
    const [from, to] = [(await world.connect()).connection, (await world.connect({ streams: [] })).connection];
    const listener = await listen(to, ["a"]);
    const inbox = await consume(from, { kind: "inbox" });
    const address = inbox.consumption.address!;
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${world.path}-direct${suffix}`);
    await until(
      () => {
        send(from, "a", "x");
        return listener.sink.messages.length > 0;
      },
      "the listener",
      10_000,
    );
    to.send([outgoing({ kind: "inbox", address }, "answer").message]);
    await until(() => inbox.sink.messages.length === 1, "the inbox under its old address");
  });

  it("holds nothing once it was read, expired, or left by who listened", async () => {
    const world = newWorld();
    const [from, to] = [(await world.connect()).connection, (await world.connect({ streams: [] })).connection];
    const listener = await listen(to, ["a"]);
    for (const text of numbered(20)) send(from, "a", text);
    await until(() => listener.sink.messages.length === 20, "all");
    await listener.consumption.close(AbortSignal.timeout(1_000));
    send(from, "a", "for nobody");
    const direct = (table: string): unknown => {
      const database = world.raw();
      database.exec(`ATTACH '${world.path}-direct' AS direct`);
      const { count } = database.prepare(`SELECT count(*) AS count FROM direct.omnibus_direct_1_${table}`).get() as {
        readonly count: number;
      };
      database.close();
      return count;
    };
    expect([direct("message"), direct("consumer")]).toEqual([0, 0]);
  });

  it("mints addresses that can't be guessed", async () => {
    const { connection } = await newWorld().connect();
    const inboxes = await Promise.all(Array.from({ length: 20 }, () => consume(connection, { kind: "inbox" })));
    const addresses = inboxes.map(({ consumption }) => consumption.address!);
    expect(new Set(addresses).size).toBe(20);
    expect(addresses.every((address) => /^inbox\.[0-9a-f]{40}$/.test(address))).toBe(true);
  });

  it("carries a delayed one at its time", async () => {
    const { connection } = await newWorld().connect();
    const listener = await listen(connection, ["a"]);
    const before = performance.now();
    const sent = send(connection, "a", "later", { notBefore: Date.now() + 50 });
    expect(sent.outcome).toBe("stored");
    await until(() => listener.sink.messages.length === 1, "it");
    expect(performance.now() - before).toBeGreaterThanOrEqual(48);
    expect(textOf(listener.sink.messages[0]!)).toBe("later");
  });
});
