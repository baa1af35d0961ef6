import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { consume, groupSpec, joinGroup, publish, until } from "../../../test/support/driver-harness.ts";
import { newWorld, type SqliteWorld } from "../../../test/support/sqlite-world.ts";

/** The file as version 1 of the layout had it, with a message in the log and one that waits for its retry. */
async function layoutOne(world: SqliteWorld): Promise<void> {
  const { connection } = await world.connect();
  publish(connection, ["first", "the largest"]);
  await connection.ensureGroup(groupSpec("g"));
  const { consumption, sink } = await joinGroup(connection, "g");
  await until(() => sink.messages.length === 2, "both");
  await consumption.settle([{ how: "retry", message: sink.messages[0]!, delayMs: 0, attempts: 3, headers: [] }]);
  await connection.close(AbortSignal.timeout(5_000));
  const database = world.raw();
  database.exec("ALTER TABLE omnibus_held DROP COLUMN avoid");
  database.exec("ALTER TABLE omnibus_stream DROP COLUMN largest");
  database.exec("DROP INDEX omnibus_delayed_event");
  database.exec("UPDATE omnibus_meta SET value = 1 WHERE key = 'layout'");
  database.close();
}

const layoutOf = (world: SqliteWorld): unknown =>
  world.rows("SELECT value FROM omnibus_meta WHERE key = 'layout'")[0]!["value"];

describe("the layout", () => {
  it("is brought up to date, with everything that was in it", async () => {
    const world = newWorld();
    await layoutOne(world);
    const { connection } = await world.connect();
    expect(layoutOf(world)).toBe(3);
    expect(world.rows("SELECT largest FROM omnibus_stream WHERE queue = 0")).toEqual([{ largest: 11 }]);
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 2, "both messages again");
    expect(sink.messages.map((message) => message.attempts).toSorted()).toEqual([0, 3]);
  });

  it("is only looked at with manage verify, which says what to do", async () => {
    const world = newWorld();
    await layoutOne(world);
    const { connection } = await world.connect({ manage: "verify", streams: [] });
    await expect(connection.ensureStream({ name: "events", topics: [">"] })).rejects.toThrow(
      /layout 1.*needs 3.*manage "create"/,
    );
    expect(layoutOf(world)).toBe(1);
  });

  it("is refused when it is newer, and left as it is", async () => {
    const world = newWorld();
    await (await world.connect()).connection.close(AbortSignal.timeout(5_000));
    const database = world.raw();
    database.exec("UPDATE omnibus_meta SET value = 4 WHERE key = 'layout'");
    database.close();
    for (const manage of ["create", "verify"] as const) {
      await expect(world.connect({ manage, streams: [] })).rejects.toMatchObject({
        code: "BUS_CONFLICT",
        message: expect.stringMatching(/layout 4.*knows 3.*newer version/),
      });
    }
    expect(layoutOf(world)).toBe(4);
  });

  it("is made once by many who come at the same time", async () => {
    const world = newWorld();
    const all = await Promise.all(Array.from({ length: 8 }, () => world.connect()));
    expect(world.count("process")).toBe(8);
    expect(world.count("stream")).toBe(1);
    expect(all.every(({ statuses }) => statuses.length === 0)).toBe(true);
  });

  it("is corrupt when a table is missing", async () => {
    const world = newWorld();
    await (await world.connect()).connection.close(AbortSignal.timeout(5_000));
    const database = world.raw();
    database.exec("DROP TABLE omnibus_letter");
    database.close();
    await expect(world.connect()).rejects.toMatchObject({
      code: "BUS_CORRUPT",
      message: expect.stringContaining("letter"),
    });
  });
});

describe("manage verify", () => {
  it("names what is missing and makes nothing", async () => {
    const world = newWorld();
    const { connection } = await world.connect({ manage: "verify", streams: [] });
    expect(await connection.admin.streams()).toEqual([]);
    await expect(connection.ensureStream({ name: "orders", topics: [">"] })).rejects.toMatchObject({
      code: "BUS_NOT_FOUND",
      message: expect.stringMatching(/does not exist.*manage "create".*stream "orders"/),
    });
    const [sent] = publish(connection, ["1"]);
    expect(sent!.outcome).toBe("no");
    await expect(connection.ensureGroup(groupSpec("g"))).rejects.toMatchObject({ code: "BUS_NOT_FOUND" });
    await expect(consume(connection, { kind: "inbox" })).rejects.toMatchObject({ code: "BUS_NOT_FOUND" });
    expect(existsSync(world.path)).toBe(false);
  });

  it("takes what is there, and names a stream that isn't", async () => {
    const world = newWorld();
    await world.connect();
    const { connection } = await world.connect({ manage: "verify", streams: [] });
    expect(await connection.ensureStream({ name: "events", topics: [">"] })).toBe("unchanged");
    await expect(connection.ensureStream({ name: "other", topics: ["x.>"] })).rejects.toThrow(
      /stream "other" is missing/,
    );
    await expect(connection.ensureStream({ name: "events", topics: ["y.>"] })).rejects.toThrow(/doesn't capture y\.>/);
    expect(world.count("stream")).toBe(1);
  });
});
