import { describe, expect, it } from "vitest";
import {
  groupSpec,
  joinGroup,
  letterOf,
  numbered,
  outgoing,
  publish,
  toQueue,
  until,
} from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { newWorld } from "../../../test/support/sqlite-world.ts";

describe("administration", () => {
  it("counts what waits, what is in hands and what waits for its time, by patterns", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    for (const order of ["none", "group"] as const)
      await connection.ensureGroup(groupSpec(order, { order, patterns: ["a.>"] }));
    publish(connection, numbered(6), { topic: "a.b" });
    publish(connection, numbered(3), { topic: "z" });
    for (const group of ["none", "group"]) {
      connection.send([outgoing(toQueue(group), "q").message]);
      const { consumption, sink } = await joinGroup(connection, group, { messages: 4, bytes: 1e6 });
      await until(() => sink.messages.length === 4, "four");
      consumption.ack(sink.messages.slice(0, 1));
      consumption.window({ messages: 0, bytes: 0 });
      await consumption.flush();
    }
    for (const state of await connection.admin.groups()) {
      expect([state.spec.group, state.waiting + state.inFlight, state.scheduled]).toEqual([state.spec.group, 6, 0]);
      expect(state.inFlight).toBeGreaterThanOrEqual(3);
      expect(state.oldestWaitingMs).toBeGreaterThanOrEqual(0);
      expect(state.oldestWaitingMs).toBeLessThan(10_000);
    }
  });

  it("gives positions from which a group starts", async () => {
    const { connection } = await newWorld().connect();
    publish(connection, numbered(3), { hash: 2 });
    await connection.ping();
    const positions = await connection.admin.positions("events");
    expect(positions["events/2"]).toBe("3");
    publish(connection, ["4"], { hash: 2 });
    publish(connection, ["5"], { hash: 9 });
    for (const order of ["none", "group"] as const) {
      await connection.ensureGroup(groupSpec(order, { order, from: { positions } }));
      const { sink } = await joinGroup(connection, order);
      await until(() => sink.messages.length === 2, "two");
      expect(sink.texts).toEqual(["4", "5"]);
      const uneven = `${order}-uneven`;
      await connection.ensureGroup(
        groupSpec(uneven, { order, from: { positions: { ...positions, "events/2": "1", "events/9": "5" } } }),
      );
      const other = await joinGroup(connection, uneven);
      await until(() => other.sink.messages.length === 3, "three");
      expect(other.sink.texts.toSorted()).toEqual(["2", "3", "4"]);
    }
    await expect(connection.admin.positions("none")).rejects.toMatchObject({ code: "BUS_NOT_FOUND" });
  });

  it("starts a group at a time", async () => {
    const { connection } = await newWorld().connect();
    publish(connection, numbered(2));
    await connection.ping();
    await new Promise((resolve) => setTimeout(resolve, 5));
    const time = Date.now();
    publish(connection, numbered(2, 3));
    await connection.ensureGroup(groupSpec("g", { from: { time } }));
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 2, "two");
    expect(sink.texts).toEqual(["3", "4"]);
  });

  it("trims what every group has handled, and no more", async () => {
    const { connection } = await newWorld().connect();
    publish(connection, numbered(2_500));
    for (const order of ["none", "group"] as const) await connection.ensureGroup(groupSpec(order, { order }));
    const members = await Promise.all(
      ["none", "group"].map((group) => joinGroup(connection, group, { messages: 5_000, bytes: 1e9 })),
    );
    for (const { sink } of members) await until(() => sink.messages.length === 2_500, "all");
    members[0]!.consumption.ack(members[0]!.sink.messages);
    members[1]!.consumption.ack(members[1]!.sink.messages.slice(0, 2_100));
    for (const { consumption } of members) await consumption.flush();
    expect(await connection.admin.trim!("events", { at: "newest" })).toBe(2_100);
    expect(await connection.admin.trim!("events", { at: "newest" })).toBe(0);
    expect((await connection.admin.streams())[0]!.messages).toBe(400);
  });

  it("resets a group without members, forwards and back", async () => {
    const { connection } = await newWorld().connect();
    publish(connection, numbered(4));
    for (const order of ["none", "group"] as const) {
      await connection.ensureGroup(groupSpec(order, { order }));
      const first = await joinGroup(connection, order);
      await until(() => first.sink.messages.length === 4, "all");
      await expect(connection.admin.resetGroup!(order, { at: "oldest" })).rejects.toMatchObject({
        code: "BUS_CONFLICT",
      });
      first.consumption.ack(first.sink.messages);
      await first.consumption.close(AbortSignal.timeout(1_000));
      await connection.admin.resetGroup!(order, { positions: { "events/0": "2" } });
      const second = await joinGroup(connection, order);
      await until(() => second.sink.messages.length >= 2, "the last two");
      expect(second.sink.texts).toEqual(["3", "4"]);
      await second.consumption.close(AbortSignal.timeout(1_000));
      await connection.admin.resetGroup!(order, { at: "newest" });
      expect((await connection.admin.groups()).find(({ spec }) => spec.group === order)!.waiting).toBe(0);
    }
    await expect(connection.admin.resetGroup!("nobody", { at: "oldest" })).rejects.toMatchObject({
      code: "BUS_NOT_FOUND",
    });
  });

  it("takes patterns and streams away by updateGroup only", async () => {
    const { connection } = await newWorld().connect({
      streams: [
        { name: "events", topics: [">"] },
        { name: "b", topics: ["b.>"] },
      ],
    });
    await connection.ensureGroup({
      ...groupSpec("g"),
      reads: [
        { stream: "events", patterns: ["a.*", "c"] },
        { stream: "b", patterns: [">"] },
      ],
    });
    const grown = await connection.ensureGroup(groupSpec("g", { patterns: ["d"] }));
    expect(grown.reads).toEqual([
      { stream: "b", patterns: [">"] },
      { stream: "events", patterns: ["a.*", "c", "d"] },
    ]);
    const { sink } = await joinGroup(connection, "g");
    await connection.admin.updateGroup("g", [{ stream: "events", patterns: ["c"] }]);
    expect(sink.specs.at(-1)!.reads).toEqual([{ stream: "events", patterns: ["c"] }]);
    publish(connection, ["no"], { topic: "a.x" });
    publish(connection, ["yes"], { topic: "c" });
    await until(() => sink.messages.length === 1, "the one");
    expect(sink.texts).toEqual(["yes"]);
    await expect(connection.ensureGroup(groupSpec("g", { order: "group" }))).rejects.toMatchObject({
      code: "BUS_CONFLICT",
    });
    await expect(connection.ensureGroup(groupSpec("g", { live: true }))).rejects.toMatchObject({
      code: "BUS_CONFLICT",
    });
    await expect(connection.ensureGroup(groupSpec("h", { stream: "none" }))).rejects.toMatchObject({
      code: "BUS_NOT_FOUND",
    });
  });

  it("deletes a group with its lane and its letters, and a stream with its groups' places in it", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    await connection.ensureGroup(groupSpec("g"));
    publish(connection, ["1"]);
    connection.send([outgoing(toQueue("g"), "q").message]);
    const { consumption, sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 2, "both");
    await consumption.settle([{ how: "dead", message: sink.messages[0]!, letter: letterOf(sink.messages[0]!, "g") }]);
    await consumption.close(AbortSignal.timeout(1_000));
    expect(await connection.admin.deleteGroup("g")).toBe(true);
    expect(await connection.admin.deleteGroup("g")).toBe(false);
    expect(["grp", "cursor", "claim", "held", "letter", "member"].map((table) => world.count(table))).toEqual([
      0, 0, 0, 0, 0, 0,
    ]);
    expect(world.rows("SELECT name, queue FROM omnibus_stream")).toEqual([{ name: "events", queue: 0 }]);
    expect(await connection.admin.deleteStream("events")).toBe(true);
    expect(await connection.admin.deleteStream("events")).toBe(false);
    expect(world.rows("SELECT name FROM sqlite_schema WHERE name LIKE '%log%'")).toEqual([]);
  });
});

describe("dead letters", () => {
  it("are listed oldest first, page by page, even when the last of a page has gone meanwhile", async () => {
    const { connection } = await newWorld().connect();
    await connection.ensureGroup(groupSpec("g"));
    publish(connection, numbered(7));
    const { consumption, sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 7, "all");
    await consumption.settle(
      sink.messages.map((message) => ({ how: "dead" as const, message, letter: letterOf(message, "g") })),
    );
    const { admin } = connection;
    const first = await admin.letters("g", undefined, 3);
    expect(first.map(({ id }) => id)).toEqual(["g/1", "g/2", "g/3"]);
    expect(await admin.claimLetters(["g/3", "g/none"], "me", 1_000)).toEqual(["g/3"]);
    expect(await admin.removeLetters(["g/3"], "another")).toEqual([]);
    expect(await admin.removeLetters(["g/3"], "me")).toEqual(["g/3"]);
    expect((await admin.letters("g", "g/3", 3)).map(({ id }) => id)).toEqual(["g/4", "g/5", "g/6"]);
    expect([await admin.countLetters("g"), await admin.countLetters(undefined), await admin.countLetters("h")]).toEqual(
      [6, 6, 0],
    );
  });

  it("are claimed by one of two operators, until the claim runs out", async () => {
    const world = newWorld();
    const clock = new ManualClock();
    const [one, two] = [
      (await world.connect({ clock })).connection.admin,
      (await world.connect({ clock, streams: [] })).connection.admin,
    ];
    const database = world.raw();
    database.exec(
      "INSERT INTO omnibus_letter (id, address, grp, topic, headers, body, stored_at) VALUES ('g/1', '{}', 'g', 'a', '[]', x'', 1)",
    );
    database.close();
    expect(
      (await Promise.all([one.claimLetters(["g/1"], "one", 60), two.claimLetters(["g/1"], "two", 60)])).flat(),
    ).toEqual(["g/1"]);
    clock.advance(59);
    expect(await two.claimLetters(["g/1"], "three", 60)).toEqual([]);
    clock.advance(2);
    expect(await two.claimLetters(["g/1"], "two", 60_000)).toEqual(["g/1"]);
    expect(await one.removeLetters(["g/1"], "one")).toEqual([]);
  });
});
