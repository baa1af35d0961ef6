import { describe, expect, it } from "vitest";
import {
  codeOf,
  connectTo,
  consume,
  groupSpec,
  joinGroup,
  numbered,
  publish,
  until,
} from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import type { DriverConnection } from "../../driver.ts";
import { memory } from "./index.ts";

async function start(): Promise<{ readonly clock: ManualClock; readonly connection: DriverConnection }> {
  const clock = new ManualClock();
  const { connection } = await connectTo(memory(), { clock });
  await connection.ensureStream({ name: "events", topics: [">"] }, false);
  return { clock, connection };
}

describe("a deleted stream", () => {
  it("is gone for publishers, tails and groups, which are told, and starts anew when it is made again", async () => {
    const { connection } = await start();
    await connection.ensureGroup(groupSpec("g"));
    const tail = await consume(connection, {
      kind: "tail",
      stream: "events",
      from: { at: "newest" },
      resume: undefined,
    });
    const group = await joinGroup(connection, "g", { messages: 1, bytes: 100 });
    publish(connection, numbered(3));
    await until(() => group.sink.messages.length === 1 && tail.sink.messages.length === 3, "both");
    expect(await connection.admin.deleteStream("events")).toBe(true);
    expect(await connection.admin.deleteStream("events")).toBe(false);
    expect(tail.sink.ends).toMatchObject([{ error: { code: "BUS_NOT_FOUND" }, kept: false }]);
    expect(group.sink.revocations).toEqual([{ partition: "events/0" }]);
    await until(() => group.sink.losses.length === 1, "the loss");
    expect(group.sink.losses[0]!.count).toBe(3);
    expect(publish(connection, ["x"])[0]).toMatchObject({ outcome: "no", error: { code: "BUS_NOT_FOUND" } });
    await connection.ensureStream({ name: "events", topics: [">"] }, false);
    publish(connection, ["new"]);
    await until(() => group.sink.messages.length === 2, "the group reads it again");
  });
});

describe("trim", () => {
  it("forgets up to a time or position, and never what a group has not settled", async () => {
    const { connection, clock } = await start();
    publish(connection, numbered(4));
    clock.advance(1_000);
    publish(connection, numbered(4, 5));
    expect(await connection.admin.trim!("events", { positions: { "events/0": "2" } })).toBe(2);
    await connection.ensureGroup(groupSpec("g"));
    const { sink, consumption } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 6, "the rest");
    expect(await connection.admin.trim!("events", { at: "newest" })).toBe(0);
    consumption.ack(sink.messages.slice(0, 3));
    expect(await connection.admin.trim!("events", { time: clock.now() })).toBe(2);
    expect(await connection.admin.trim!("events", { at: "newest" })).toBe(1);
    expect(sink.losses).toEqual([]);
  });
});

describe("streams()", () => {
  it("tells counts, bytes, times and groups", async () => {
    const { connection, clock } = await start();
    const first = new Date(clock.now());
    publish(connection, ["123"]);
    clock.advance(5_000);
    publish(connection, ["4567"], { hash: 1 });
    await connection.ensureGroup(groupSpec("g"));
    expect(await connection.admin.streams()).toEqual([
      {
        name: "events",
        topics: [">"],
        partitions: 16,
        messages: 2,
        bytes: 7,
        first,
        last: new Date(clock.now()),
        groups: ["g"],
      },
    ]);
    expect(await codeOf(connection.admin.positions("nowhere"))).toBe("BUS_NOT_FOUND");
  });
});

describe("cancelling what is published for later", () => {
  it("gives its room to who waits for it", async () => {
    const clock = new ManualClock();
    const { connection } = await connectTo(memory(), { clock });
    await connection.ensureStream({ name: "events", topics: [">"], maxMessages: 1, whenFull: "wait" }, false);
    const [later] = publish(connection, ["later"], { notBefore: clock.now() + 1_000 });
    const [waiting] = publish(connection, ["waiting"]);
    expect([later!.outcome, waiting!.outcome]).toEqual(["stored", "waiting"]);
    expect(await connection.admin.cancelScheduled!([later!.message.id, "none"])).toEqual([later!.message.id]);
    clock.advance(1);
    await until(() => waiting!.outcome === "stored", "the room");
    expect(await connection.admin.scheduled!(undefined, 10)).toEqual([]);
  });
});
