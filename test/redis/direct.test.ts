import { afterEach, describe, expect, it } from "vitest";
import type { Consumption, Window } from "../../src/driver.ts";
import { DirectLane } from "../../src/drivers/redis/direct-lane.ts";
import type { Session } from "../../src/drivers/redis/session.ts";
import { numbered, outgoing, RecordingSink, type Sent, toDirect, wide } from "../support/driver-harness.ts";
import { until } from "../../src/testing/until.ts";
import { freshPrefix, openSession } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const redis = await testBroker("redis");

interface End {
  readonly session: Session;
  readonly lane: DirectLane;
}
const open: End[] = [];

async function end(prefix: string): Promise<End> {
  const session = await openSession(redis!.url, prefix);
  const opened = { session, lane: new DirectLane(session) };
  open.push(opened);
  return opened;
}

async function listen(
  { lane }: End,
  patterns: readonly string[],
  more: { readonly group?: string; readonly answers?: readonly string[]; readonly window?: Window } = {},
): Promise<{ readonly sink: RecordingSink; readonly consumption: Consumption }> {
  const sink = new RecordingSink();
  const consumption = await lane.open({ kind: "direct", group: more.group }, sink, more.window ?? wide);
  await consumption.wants(patterns, more.answers ?? []);
  return { sink, consumption };
}

/** Resolves when all are completed. */
async function send({ lane }: End, sent: readonly Sent[]): Promise<void> {
  lane.send(sent.map(({ message }) => message));
  await until(() => sent.every(({ outcome }) => outcome !== "waiting"), "all to complete");
}

const codeOf = ({ error }: Sent): unknown => (error as { readonly code?: unknown }).code;

afterEach(async () => {
  for (const { lane, session } of open.splice(0)) {
    await lane.close(AbortSignal.timeout(1_000));
    await session.close(AbortSignal.timeout(1_000));
  }
});

describe.skipIf(redis === undefined)("the direct lane on redis", () => {
  it("reaches every listener and one of each group, with all that a message has", async () => {
    const prefix = freshPrefix();
    const [one, two, sender] = [await end(prefix), await end(prefix), await end(prefix)];
    const alone = [await listen(one, ["a.>"]), await listen(two, ["a.*"]), await listen(two, ["b.>"])];
    const grouped = [await listen(one, ["a.>"], { group: "g" }), await listen(two, ["a.>"], { group: "g" })];
    const sent = numbered(20).map((text) =>
      outgoing(toDirect("a.b"), text, { key: "k", headers: [["h", "v"]], expiresAt: Date.now() + 60_000 }),
    );
    await send(sender, sent);
    expect(new Set(sent.map(({ outcome }) => outcome))).toEqual(new Set(["stored"]));
    const counts = (): number[] => [...alone, ...grouped].map(({ sink }) => sink.messages.length);
    await until(
      () => counts().reduce((sum, count) => sum + count) === 60,
      () => `60; ${counts().join(" ")}`,
    );
    expect(counts()).toEqual([20, 20, 0, 10, 10]);
    expect(alone[0]!.sink.texts).toEqual(numbered(20));
    const [message] = alone[0]!.sink.messages;
    expect([message!.topic, message!.key, message!.header("h"), message!.lane]).toEqual(["a.b", "k", "v", "direct"]);
    expect([message!.replyTo, message!.position, message!.partition]).toEqual([undefined, undefined, undefined]);
  });

  it("passes a request to those who answer it alone, and the answer to the inbox", async () => {
    const prefix = freshPrefix();
    const [responder, requester] = [await end(prefix), await end(prefix)];
    const listener = await listen(responder, ["a.b"]);
    const answering = await listen(responder, [], { answers: ["a.b"] });
    const inbox = new RecordingSink();
    const { address } = await requester.lane.open({ kind: "inbox" }, inbox, wide);
    const request = outgoing(toDirect("a.b"), "?", { replyTo: address });
    await send(requester, [request]);
    expect(request.outcome).toBe("stored");
    await until(() => answering.sink.messages.length === 1, "the request");
    expect(listener.sink.messages).toEqual([]);
    expect(answering.sink.messages[0]!.replyTo).toBe(address);
    const answer = outgoing({ kind: "inbox", address: address! }, "!");
    await send(responder, [answer]);
    await until(() => inbox.messages.length === 1, "the answer");
    expect([inbox.texts, inbox.messages[0]!.lane]).toEqual([["!"], "inbox"]);
  });

  it("says at once that nobody answers, and that nobody waits for an answer", async () => {
    const prefix = freshPrefix();
    const [one, two] = [await end(prefix), await end(prefix)];
    await listen(two, ["a.b"]);
    const sent = [
      outgoing(toDirect("a.b"), "?", { replyTo: "somewhere" }),
      outgoing(toDirect("x"), "event"),
      outgoing({ kind: "inbox", address: `${"0".repeat(32)}.${"0".repeat(32)}` }, "late"),
      outgoing({ kind: "inbox", address: "{other}:c:x" }, "forged"),
    ];
    await send(one, sent);
    expect(sent.map(({ outcome }) => outcome)).toEqual(["no", "stored", "no", "no"]);
    expect([sent[0]!, sent[2]!, sent[3]!].map(codeOf)).toEqual(["BUS_NO_RESPONDER", "BUS_NOT_FOUND", "BUS_NOT_FOUND"]);
  });

  it("once wants resolved, nobody sends without it; once stop resolved, nobody sends to it", async () => {
    const prefix = freshPrefix();
    const [one, sender] = [await end(prefix), await end(prefix)];
    const { consumption, sink } = await listen(one, ["a"]);
    await send(sender, [outgoing(toDirect("b"), "nobody's")]);
    await consumption.wants(["b"], ["b"]);
    const both = [outgoing(toDirect("b"), "1"), outgoing(toDirect("b"), "2", { replyTo: "r" })];
    await send(sender, both);
    expect(both.map(({ outcome }) => outcome)).toEqual(["stored", "stored"]);
    await until(() => sink.messages.length === 2, "both");
    await consumption.stop();
    const late = outgoing(toDirect("b"), "3", { replyTo: "r" });
    await send(sender, [late]);
    expect([late.outcome, codeOf(late)]).toEqual(["no", "BUS_NO_RESPONDER"]);
    expect(sink.texts).toEqual(["1", "2"]);
  });

  it("takes the next of a group when a process is not there any more", async () => {
    const prefix = freshPrefix();
    const [dead, alive, sender] = [await end(prefix), await end(prefix), await end(prefix)];
    await listen(dead, [], { group: "g", answers: ["a"] });
    const { sink } = await listen(alive, [], { group: "g", answers: ["a"] });
    // as SIGKILL would: it says nothing
    await dead.session.close(AbortSignal.abort());
    const sent = numbered(6).map((text) => outgoing(toDirect("a"), text, { replyTo: "r" }));
    await send(sender, sent);
    expect(sent.map(({ outcome }) => outcome)).toEqual(sent.map(() => "stored"));
    await until(
      () => sink.messages.length === 6,
      () => `all; ${sink.texts.join(" ")}`,
    );
    open.splice(open.indexOf(dead), 1);
    await dead.lane.close(AbortSignal.timeout(1_000));
  });

  it("delivers within the window, and drops what has expired meanwhile", async () => {
    const prefix = freshPrefix();
    const [one, sender] = [await end(prefix), await end(prefix)];
    const { consumption, sink } = await listen(one, ["a"], { window: { messages: 2, bytes: 1_000 } });
    const soon = Date.now() + 50;
    await send(sender, [
      ...numbered(3).map((text) => outgoing(toDirect("a"), text)),
      outgoing(toDirect("a"), "expires", { expiresAt: soon }),
      outgoing(toDirect("a"), "5"),
    ]);
    await until(() => sink.messages.length === 2 && Date.now() > soon + 10, "two, and the end of the fourth");
    consumption.ack(sink.messages.slice(0, 1));
    consumption.ack(sink.messages.slice(0, 1));
    await until(() => sink.messages.length === 3, "one more");
    consumption.window(wide);
    await until(() => sink.messages.length === 4, "the rest");
    expect(sink.texts).toEqual(["1", "2", "3", "5"]);
  });

  it("drops the oldest above its buffer, and says how many", async () => {
    const prefix = freshPrefix();
    const [one, sender] = [await end(prefix), await end(prefix)];
    const { consumption, sink } = await listen(one, ["a"], { window: { messages: 0, bytes: 1 } });
    await send(
      sender,
      numbered(10_050).map((text) => outgoing(toDirect("a"), text)),
    );
    await until(
      () => sink.losses.length > 0 && sink.losses.reduce((sum, { count = 0 }) => sum + count, 0) === 50,
      "50 lost",
    );
    consumption.window({ messages: 1, bytes: 100 });
    await until(() => sink.messages.length === 1, "the oldest that is left");
    expect(sink.texts).toEqual(["51"]);
  });

  it("keeps the order of calls through a change of who listens", async () => {
    const prefix = freshPrefix();
    const [one, sender] = [await end(prefix), await end(prefix)];
    const { sink, consumption } = await listen(one, ["a"]);
    for (let round = 0; round < 20; round += 1) {
      sender.lane.send(numbered(10, round * 10 + 1).map((text) => outgoing(toDirect("a"), text).message));
      if (round % 5 === 0) await consumption.wants(["a", `x${round}`], []);
    }
    await until(
      () => sink.messages.length === 200,
      () => `200; ${sink.messages.length}`,
    );
    expect(sink.texts).toEqual(numbered(200));
  });

  it("fails what is open and says goodbye when it is closed; refuses what comes later", async () => {
    const prefix = freshPrefix();
    const [one, sender] = [await end(prefix), await end(prefix)];
    await listen(one, ["a"]);
    const under = outgoing(toDirect("a"), "1", { replyTo: "r" });
    sender.lane.send([under.message]);
    await sender.lane.close(AbortSignal.timeout(1_000));
    expect(under.outcome).not.toBe("waiting");
    const late = outgoing(toDirect("a"), "2");
    await send(sender, [late]);
    expect([late.outcome, codeOf(late)]).toEqual(["no", "BUS_CLOSED"]);
    await one.lane.close(AbortSignal.timeout(1_000));
    const left = await sender.session.command(["HLEN", sender.session.keys.key("d")]);
    expect(left).toBe(1); // its revision alone
  });

  it("is told of again after its database was flushed", async () => {
    const prefix = freshPrefix();
    const [one, sender] = [await end(prefix), await end(prefix)];
    const { sink } = await listen(one, ["a"]);
    await send(sender, [outgoing(toDirect("a"), "1")]);
    await until(() => sink.messages.length === 1, "the first");
    const all = (await sender.session.command(["KEYS", `{${prefix}}*`])) as readonly Buffer[];
    await sender.session.command(["DEL", ...all]);
    await until(() => {
      const again = outgoing(toDirect("a"), "again");
      sender.lane.send([again.message]);
      one.lane.send([outgoing(toDirect("x"), "x").message]);
      return sink.texts.includes("again");
    }, "it to listen again");
  });
});
