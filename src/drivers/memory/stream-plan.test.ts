import { describe, expect, it } from "vitest";
import { codeOf, connectTo, numbered, publish } from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import type { DriverConnection } from "../../driver.ts";
import { memory } from "./index.ts";

async function start(): Promise<{ readonly clock: ManualClock; readonly connection: DriverConnection }> {
  const clock = new ManualClock();
  const { connection } = await connectTo(memory(), { clock });
  await connection.ensureStream({ name: "events", topics: [">"] }, false);
  return { clock, connection };
}

describe("ensureStream", () => {
  it("says what it did, and tells the other connections", async () => {
    const driver = memory();
    const one = await connectTo(driver);
    const two = await connectTo(driver);
    const options = { name: "events", topics: ["a.>"], maxMessages: 5 };
    expect(await one.connection.ensureStream(options, true)).toBe("created");
    expect([await one.connection.admin.streams(), two.changes()]).toEqual([[], 0]);
    expect(await one.connection.ensureStream(options, false)).toBe("created");
    expect(await one.connection.ensureStream({ name: "events", topics: ["a.>"] }, false)).toBe("unchanged");
    expect(await one.connection.ensureStream({ ...options, topics: ["a.>", "b.>"] }, true)).toBe("updated");
    expect(await one.connection.ensureStream({ ...options, topics: ["a.>", "b.>"] }, false)).toBe("updated");
    expect(await one.connection.ensureStream({ ...options, topics: ["b.>", "a.>"], maxMessages: 6 }, false)).toBe(
      "updated",
    );
    expect([one.changes(), two.changes()]).toEqual([0, 3]);
    expect((await two.connection.admin.streams())[0]).toMatchObject({
      name: "events",
      topics: ["b.>", "a.>"],
      partitions: 16,
      messages: 0,
    });
    await two.connection.admin.deleteStream("events");
    expect([one.changes(), two.changes()]).toEqual([1, 3]);
  });

  it("refuses what can't be", async () => {
    const { connection } = await start();
    expect(await codeOf(connection.ensureStream({ name: "events", topics: [">"], partitions: 8 }, false))).toBe(
      "BUS_CONFLICT",
    );
    expect(await codeOf(connection.ensureStream({ name: "second", topics: ["a.*", ">"] }, false))).toBe("BUS_CONFLICT");
    expect(await codeOf(connection.ensureStream({ name: "second", topics: ["a.*"], replicas: 3 }, false))).toBe(
      "BUS_UNSUPPORTED",
    );
    expect(await codeOf(connection.ensureStream({ name: "second", topics: ["a.*"], partitions: 0 }, false))).toBe(
      "BUS_INVALID_OPTION",
    );
    expect((await connection.admin.streams()).length).toBe(1);
  });

  it("shrinks a stream with the next publish", async () => {
    const { connection } = await start();
    publish(connection, numbered(10));
    await connection.ensureStream({ name: "events", topics: [">"], maxMessages: 3 }, false);
    publish(connection, ["11"]);
    expect((await connection.admin.streams())[0]!.messages).toBe(3);
  });
});
