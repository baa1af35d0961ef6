import { afterEach, describe, expect, it } from "vitest";
import type { Consumption, Source, StartAt, Window } from "../../src/driver.ts";
import type { Session } from "../../src/drivers/redis/session.ts";
import { laneInfo } from "../../src/drivers/redis/stream-info.ts";
import { Streams } from "../../src/drivers/redis/streams.ts";
import { openTail } from "../../src/drivers/redis/tail.ts";
import { codeOf, numbered, RecordingSink, turns, wide } from "../support/driver-harness.ts";
import { FaultProxy } from "../../src/testing/index.ts";
import { until } from "../../src/testing/until.ts";
import { freshPrefix, openSession } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const redis = await testBroker("redis");
const open: Session[] = [];

async function world(
  partitions = 1,
  prefix = freshPrefix(),
  options: { readonly blockMs?: number } = {},
): Promise<Session> {
  const session = await openSession(redis!.url, prefix, { options });
  open.push(session);
  await new Streams(session).ensure({ name: "events", topics: [">"], partitions }, false);
  return session;
}

async function add(session: Session, texts: readonly string[], partition = 0, topic = "a.b"): Promise<string> {
  const answers = await Promise.all(
    texts.map((text) =>
      session.command([
        ...["XADD", session.keys.key("s", "events", String(partition)), "*"],
        ...["t", topic, "k", ".key", "h", "", "b", text],
      ]),
    ),
  );
  return String(answers.at(-1));
}

async function tail(
  session: Session,
  from: StartAt,
  more: {
    readonly window?: Window;
    readonly resume?: ReadonlyMap<string, string>;
    readonly patterns?: readonly string[];
  } = {},
): Promise<{ readonly sink: RecordingSink; readonly consumption: Consumption }> {
  const sink = new RecordingSink();
  const source: Source = { kind: "tail", stream: "events", from, resume: more.resume };
  const consumption = await openTail(session, source, sink, more.window ?? wide);
  await consumption.wants(more.patterns ?? [">"], []);
  return { sink, consumption };
}

afterEach(async () => {
  for (const session of open.splice(0)) await session.close(AbortSignal.timeout(1_000));
});

describe.skipIf(redis === undefined)("a tail on redis", () => {
  it("begins at the newest, the oldest, a time, or behind a position", async () => {
    const session = await world();
    await add(session, ["1"]);
    const second = await add(session, ["2"]);
    await turns(3);
    await until(() => Date.now() > Number(second.split("-")[0]) + 2, "another millisecond");
    const third = await add(session, ["3"]);
    const starts: readonly StartAt[] = [
      { at: "oldest" },
      { at: "newest" },
      { time: Number(third.split("-")[0]) },
      { time: 0 },
      { time: Date.now() + 60_000 },
      { positions: { "events/0": second } },
      { positions: { "events/0": third } },
      { positions: {} },
      { positions: { "events/0": "99999999999999-0" } }, // of another stream that had the name
    ];
    const tails = await Promise.all(starts.map((from) => tail(session, from)));
    await add(session, ["4"]);
    await until(() => tails.every(({ sink }) => sink.texts.includes("4")), "the newest everywhere");
    expect(tails.map(({ sink }) => sink.texts.join(""))).toEqual([
      "1234",
      "4",
      "34",
      "1234",
      "4",
      "34",
      "4",
      "1234",
      "1234",
    ]);
    expect(tails.flatMap(({ sink }) => sink.losses)).toEqual([]);
    const message = tails[0]!.sink.messages[0]!;
    expect([message.topic, message.key, message.lane, message.partition]).toEqual(["a.b", "key", "stream", "events/0"]);
    expect(tails[1]!.sink.messages[0]!.position).toMatch(/^\d+-\d+$/);
  });

  it("refuses a stream that is not there, and a position that is none", async () => {
    const session = await world();
    const sink = new RecordingSink();
    const of = (stream: string, from: StartAt): Promise<Consumption> =>
      openTail(session, { kind: "tail", stream, from, resume: undefined }, sink, wide);
    expect(await codeOf(of("none", { at: "oldest" }))).toBe("BUS_NOT_FOUND");
    expect(await codeOf(of("events", { positions: { "events/0": "third" } }))).toBe("BUS_INVALID_OPTION");
  });

  it("reads all partitions, each in order, within its window", async () => {
    const session = await world(4);
    const { sink, consumption } = await tail(session, { at: "newest" }, { window: { messages: 10, bytes: 100_000 } });
    await Promise.all([0, 1, 2, 3].map((partition) => add(session, numbered(50), partition)));
    let most = 0;
    let acked = 0;
    await until(
      () => {
        most = Math.max(most, sink.messages.length - acked);
        const held = sink.messages.slice(acked);
        if (held.length > 0) consumption.ack([held[0]!]);
        acked += Math.min(held.length, 1);
        return acked === 200;
      },
      () => `200; ${sink.messages.length} came`,
    );
    expect(most).toBeLessThanOrEqual(10);
    for (const partition of ["events/0", "events/3"])
      expect(
        sink.messages.filter((each) => each.partition === partition).map((each) => Buffer.from(each.body).toString()),
      ).toEqual(numbered(50));
  });

  it("counts bytes, pauses a partition alone, and takes a window of 0 for a pause", async () => {
    const session = await world(2);
    const { sink, consumption } = await tail(session, { at: "newest" }, { window: { messages: 100, bytes: 5_000 } });
    await add(
      session,
      numbered(10).map((text) => text.padEnd(4_000)),
    );
    await until(() => sink.messages.length > 0, "the first");
    await turns(20);
    expect(sink.messages.length).toBeLessThanOrEqual(2);
    consumption.window(wide, "events/1");
    consumption.window({ messages: 0, bytes: 1 }, "events/0");
    consumption.window(wide);
    await add(session, ["other"], 1);
    await until(() => sink.texts.includes("other"), "the other partition");
    const before = sink.messages.length;
    consumption.window(wide, "events/0");
    await until(
      () => sink.messages.length === 11,
      () => `all; ${before} and then ${sink.messages.length}`,
    );
    consumption.window({ messages: 0, bytes: 0 });
    consumption.ack(sink.messages);
    await add(session, ["later"], 1);
    await turns(50);
    expect(sink.messages.length).toBe(11);
    consumption.window(wide);
    await until(() => sink.texts.includes("later"), "the rest");
  });

  it("leaves out what nobody wants", async () => {
    const session = await world();
    const { sink, consumption } = await tail(session, { at: "newest" }, { patterns: ["x.*"] });
    await add(session, ["no"]);
    await add(session, ["yes"], 0, "x.y");
    await until(() => sink.messages.length === 1, "the one");
    await consumption.wants(["a.b"], []);
    await add(session, ["1"]);
    await until(() => sink.messages.length === 2, "the other");
    expect(sink.texts).toEqual(["yes", "1"]);
  });

  it("says what was dropped before it came there, with its number", async () => {
    const session = await world(1, freshPrefix(), { blockMs: 100 });
    await add(session, numbered(5));
    const { sink, consumption } = await tail(session, { at: "oldest" }, { window: { messages: 3, bytes: 100_000 } });
    await until(() => sink.messages.length === 3, "three");
    await add(session, numbered(20, 6));
    await session.command(["XTRIM", session.keys.key("s", "events", "0"), "MAXLEN", "=", "10"]);
    consumption.window(wide);
    await until(
      () => sink.messages.length === 13,
      () => `13; ${sink.texts.join(" ")}`,
    );
    await until(() => sink.losses.length > 0, "the loss", 10_000);
    expect(sink.losses.map(({ count }) => count)).toEqual([12]);
    expect(sink.texts).toEqual([...numbered(3), ...numbered(10, 16)]);
  });

  it("ends with its stream, and the others go on", async () => {
    const session = await world();
    await new Streams(session).ensure({ name: "more", topics: ["more.>"], partitions: 1 }, false);
    const { sink } = await tail(session, { at: "newest" });
    const other = new RecordingSink();
    const from = { at: "newest" } as const;
    await openTail(session, { kind: "tail", stream: "more", from, resume: undefined }, other, wide);
    await session.command(["DEL", session.keys.key("s", "events"), session.keys.key("s", "events", "0")]);
    await session.command(["SPUBLISH", session.keys.events, "r someone"]);
    await until(() => sink.ends.length > 0, "the end");
    expect(sink.ends.map(({ error, kept }) => [(error as { code?: string }).code, kept])).toEqual([
      ["BUS_NOT_FOUND", false],
    ]);
    await session.command(["XADD", session.keys.key("s", "more", "0"), "*", "t", "more.x", "k", "", "h", "", "b", "1"]);
    await until(() => other.messages.length === 1, "the other");
    expect(other.ends).toEqual([]);
  });

  it("notices that its stream is gone whenever it is told", async () => {
    const session = await world(1, freshPrefix(), { blockMs: 60_000 });
    const streams = new Streams(session);
    for (let round = 0; round < 24; round += 1) {
      const name = `s${round}`;
      await streams.ensure({ name, topics: [`${name}.>`], partitions: 1 }, false);
      const sink = new RecordingSink();
      await openTail(session, { kind: "tail", stream: name, from: { at: "newest" }, resume: undefined }, sink, wide);
      await turns(round % 8);
      void session.command(["DEL", session.keys.key("s", name), session.keys.key("s", name, "0")]);
      void session.command(["SPUBLISH", session.keys.events, "r someone"]);
      await until(() => sink.ends.length > 0, `the end of round ${round}`);
    }
  });

  it("delivers nothing once it is stopped, and leaves no connection behind", async () => {
    const session = await world();
    const { sink, consumption } = await tail(session, { at: "newest" });
    await add(session, ["1"]);
    await until(() => sink.messages.length === 1, "the first");
    await consumption.stop();
    await add(session, ["2"]);
    await consumption.close(AbortSignal.timeout(100));
    const reading = async (): Promise<boolean> =>
      String(await session.command(["CLIENT", "LIST"])).includes("cmd=xread");
    await until(async () => !(await reading()), "the blocked read to end");
    expect(sink.texts).toEqual(["1"]);
    const again = await tail(session, { at: "oldest" });
    await until(() => again.sink.messages.length === 2, "both, by another");
  });

  it("goes on where it was when its connection was cut", async () => {
    const session = await world();
    const writer = await openSession(redis!.url, freshPrefix());
    open.push(writer);
    const { sink } = await tail(session, { at: "newest" });
    await add(session, ["1"]);
    await until(() => sink.messages.length === 1, "the first");
    await writer.command(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    const key = session.keys.key("s", "events", "0");
    await writer.command(["XADD", key, "*", "t", "a.b", "k", "", "h", "", "b", "2"]);
    await until(() => sink.messages.length === 2, "the second");
    expect(sink.texts).toEqual(["1", "2"]);
    expect(sink.losses).toEqual([]);
  });

  it("reads over a new connection as soon as the line is known to be dead, however long a read may wait", async () => {
    await using proxy = await FaultProxy.start(redis!.url);
    const prefix = freshPrefix();
    const session = await openSession(proxy.url(redis!.url), prefix, {
      options: { blockMs: 60_000, socketTimeoutMs: 300, leaseMs: 600 },
    });
    open.push(session);
    const writer = await world(1, prefix);
    const { sink } = await tail(session, { at: "newest" });
    await add(writer, ["1"]);
    await until(() => sink.messages.length === 1, "the first");
    proxy.halfOpen();
    await add(writer, ["2"]);
    await until(() => sink.messages.length === 2, "the second", 5_000);
    expect(sink.losses).toEqual([]);
  });

  it("knows each partition's first, last and number", async () => {
    const session = await world(3);
    const last = await add(session, numbered(3), 1);
    const { partitions } = await laneInfo(session, "s:events");
    expect(partitions.map(({ ref, length, added }) => [ref, length, added])).toEqual([
      ["s:events:0", 0, 0],
      ["s:events:1", 3, 3],
      ["s:events:2", 0, 0],
    ]);
    expect([partitions[0]!.first, partitions[1]!.last]).toEqual([undefined, last]);
  });
});
