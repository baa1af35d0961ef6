import { describe, expect, it } from "vitest";
import {
  codeOf,
  connectTo,
  consume,
  letterOf,
  numbered,
  publish,
  turns,
  until,
  wide,
  type TestConsumption,
} from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import type { DriverConnection, Source, StreamOptions } from "../../driver.ts";
import { memory } from "./index.ts";

const live = new AbortController().signal;

async function start(
  stream: Partial<StreamOptions> = {},
): Promise<{ readonly clock: ManualClock; readonly connection: DriverConnection }> {
  const clock = new ManualClock();
  const { connection } = await connectTo(memory(), { clock });
  await connection.ensureStream({ name: "events", topics: [">"], ...stream }, false);
  return { clock, connection };
}

const tail = (
  connection: DriverConnection,
  options: Partial<Extract<Source, { readonly kind: "tail" }>> = {},
  window = wide,
): Promise<TestConsumption> =>
  consume(
    connection,
    { kind: "tail", stream: "events", from: { at: "oldest" }, resume: undefined, ...options },
    window,
  );

describe("a tail", () => {
  it("starts at the oldest, the newest, a time, behind positions", async () => {
    const { connection, clock } = await start();
    publish(connection, ["1"]);
    clock.advance(1_000);
    const positions = await connection.admin.positions("events");
    const time = clock.now();
    publish(connection, ["2"]);
    const tails = await Promise.all([
      tail(connection),
      tail(connection, { from: { at: "newest" } }),
      tail(connection, { from: { time } }),
      tail(connection, { from: { positions } }),
    ]);
    publish(connection, ["3"], { hash: 1 });
    await until(() => tails.every(({ sink }) => sink.texts.at(-1) === "3"), "the last");
    expect(tails.map(({ sink }) => sink.texts)).toEqual([["1", "2", "3"], ["3"], ["2", "3"], ["2", "3"]]);
    expect(tails[0]!.sink.messages[0]).toMatchObject({
      lane: "stream",
      partition: "events/0",
      position: "1",
      deliveries: 1,
    });
  });

  it("sees a copy of its own, in the order of publishing", async () => {
    const { connection } = await start();
    const one = await tail(connection);
    const two = await tail(connection);
    for (const [index, text] of numbered(40).entries()) publish(connection, [text], { hash: index * 5 });
    await until(() => one.sink.messages.length === 40 && two.sink.messages.length === 40, "all");
    expect([one.sink.texts, two.sink.texts]).toEqual([numbered(40), numbered(40)]);
  });

  it("gets what it wants, and what it wants now", async () => {
    const { connection } = await start();
    const { sink, consumption } = await tail(connection);
    await consumption.wants(["a.*", "x.>"], []);
    for (const topic of ["a.b", "b.c", "x.y.z", "a.b.c"]) publish(connection, [topic], { topic });
    await until(() => sink.messages.length === 2, "two");
    await turns();
    expect(sink.texts).toEqual(["a.b", "x.y.z"]);
    await consumption.wants(["b.>"], []);
    for (const topic of ["a.b", "b.c"]) publish(connection, [topic], { topic });
    await until(() => sink.messages.length === 3, "the third");
    expect(sink.texts[2]).toBe("b.c");
  });

  it("keeps to its window, and an ack makes room", async () => {
    const { connection } = await start();
    const { sink, consumption } = await tail(connection, {}, { messages: 2, bytes: 100 });
    publish(connection, numbered(5));
    await until(() => sink.messages.length === 2, "two");
    await turns();
    expect(sink.messages).toHaveLength(2);
    consumption.ack([sink.messages[0]!, sink.messages[0]!]);
    await until(() => sink.messages.length === 3, "one more");
    await turns();
    expect(sink.messages).toHaveLength(3);
    expect(
      await consumption.settle([{ how: "dead", message: sink.messages[1]!, letter: letterOf(sink.messages[1]!, "g") }]),
    ).toEqual(["done"]);
    await until(() => sink.messages.length === 4, "and one more");
    consumption.window({ messages: 0, bytes: 0 });
    consumption.ack(sink.messages);
    await turns();
    expect(sink.messages).toHaveLength(4);
  });

  it("pauses one partition by its own window, what is in hand counted", async () => {
    const { connection } = await start();
    const { sink, consumption } = await tail(connection);
    publish(connection, ["1"], { hash: 0 });
    await until(() => sink.messages.length === 1, "the first");
    consumption.window({ messages: 1, bytes: 100 }, "events/0");
    publish(connection, ["2"], { hash: 0 });
    publish(connection, ["3"], { hash: 1 });
    await until(() => sink.messages.length === 2, "the other partition");
    await turns();
    expect(sink.texts).toEqual(["1", "3"]);
    consumption.ack([sink.messages[0]!]);
    await until(() => sink.messages.length === 3, "room again");
  });

  it("goes on behind what was settled", async () => {
    const { connection } = await start();
    publish(connection, numbered(4), { hash: 0 });
    publish(connection, ["other"], { hash: 1 });
    const { sink } = await tail(connection, { from: { at: "newest" }, resume: new Map([["events/0", "2"]]) });
    await until(() => sink.messages.length === 2, "two");
    await turns();
    expect(sink.texts).toEqual(["3", "4"]);
  });

  it("says what was gone before it could go on", async () => {
    const { connection } = await start();
    publish(connection, numbered(6));
    await connection.admin.trim!("events", { positions: { "events/0": "4" } });
    const { sink } = await tail(connection, { resume: new Map([["events/0", "1"]]) });
    await until(() => sink.messages.length === 2 && sink.losses.length === 1, "the rest");
    expect([sink.texts, sink.losses[0]!.count]).toEqual([["5", "6"], 3]);
  });

  it("holds nothing back, and is told what it missed of what it wants", async () => {
    const { connection } = await start({ maxMessages: 3 });
    const { sink, consumption } = await tail(connection, { from: { at: "newest" } }, { messages: 1, bytes: 100 });
    await consumption.wants(["a.>"], []);
    publish(connection, ["1"]);
    await until(() => sink.messages.length === 1, "the first");
    publish(connection, ["x"], { topic: "b.c" });
    expect(publish(connection, numbered(5, 2)).every(({ outcome }) => outcome === "stored")).toBe(true);
    await until(() => sink.losses.length > 0, "said");
    expect(sink.losses).toEqual([{ count: 2, reason: "full" }]);
    consumption.window(wide);
    await until(() => sink.messages.length === 4, "the rest");
    expect(sink.texts).toEqual(["1", "4", "5", "6"]);
  });

  it("ends with close, for itself alone", async () => {
    const { connection } = await start();
    const one = await tail(connection);
    const two = await tail(connection);
    await one.consumption.close(live);
    await one.consumption.close(live);
    publish(connection, ["1"]);
    await until(() => two.sink.messages.length === 1, "the other");
    expect(one.sink.messages).toEqual([]);
  });

  it("needs a stream", async () => {
    const { connection } = await start();
    expect(await codeOf(tail(connection, { stream: "nowhere" }))).toBe("BUS_NOT_FOUND");
  });
});
