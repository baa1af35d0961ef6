import { describe, expect, it } from "vitest";
import {
  consume,
  groupSpec,
  joinGroup,
  letterOf,
  numbered,
  outgoing,
  publish,
  toQueue,
  turns,
  until,
  wide,
  type TestConsumption,
} from "../../../test/support/driver-harness.ts";
import { newWorld, type SqliteWorld } from "../../../test/support/sqlite-world.ts";
import type { DriverConnection, GroupSpec } from "../../driver.ts";

const soon = (): AbortSignal => AbortSignal.timeout(5_000);
const all = ({ sink }: TestConsumption, count: number): Promise<void> =>
  until(
    () => sink.messages.length >= count,
    () => `${count} messages; there are ${sink.messages.length}`,
  );
const deliveries = ({ sink }: TestConsumption): readonly number[] => sink.messages.map((message) => message.deliveries);

async function started(
  spec: Partial<GroupSpec> = {},
): Promise<{ readonly world: SqliteWorld; readonly connection: DriverConnection }> {
  const world = newWorld();
  const { connection } = await world.connect();
  await connection.ensureGroup(groupSpec("g", spec));
  return { world, connection };
}

/** Another process that takes this member for dead. */
async function bury(world: SqliteWorld, connection: DriverConnection): Promise<void> {
  const other = (await world.connect({ streams: [] })).connection;
  await until(() => world.count("process") >= 2, "two rows");
  const database = world.raw();
  database.exec("UPDATE omnibus_process SET seen = 0 WHERE id = 1");
  database.close();
  await other.admin.recoverGroup!("g", 1_000);
  void connection;
}

describe("a member of an unordered group", () => {
  it("claims five hundred messages with one row, and writes what is done once a turn", async () => {
    const { world, connection } = await started();
    const member = await joinGroup(connection, "g");
    publish(connection, numbered(500));
    await all(member, 500);
    expect(world.count("claim")).toBe(1);
    expect(member.sink.texts).toEqual(numbered(500));
    member.consumption.ack(member.sink.messages.filter((_, index) => index % 2 === 0));
    await member.consumption.flush();
    expect(world.rows("SELECT low, first, last FROM omnibus_claim")).toEqual([{ low: 2, first: 1, last: 500 }]);
    member.consumption.ack(member.sink.messages);
    await member.consumption.flush();
    expect([world.count("claim"), world.count("held")]).toEqual([0, 0]);
    expect(member.sink.floors.get("events/3")).toBe("500");
  });

  it("never holds more than its window, by messages and by bytes, and takes more as it acknowledges", async () => {
    const { connection } = await started();
    publish(
      connection,
      numbered(30).map((text) => text.padEnd(100, ".")),
    );
    const member = await joinGroup(connection, "g", { messages: 10, bytes: 450 });
    await all(member, 5);
    await turns(20);
    expect(member.sink.messages).toHaveLength(5); // 450 bytes are passed by one message
    member.consumption.ack(member.sink.messages.slice(0, 3));
    await all(member, 8);
    member.consumption.window({ messages: 0, bytes: 0 });
    member.consumption.ack(member.sink.messages);
    await member.consumption.flush();
    await turns(20);
    expect(member.sink.messages).toHaveLength(8);
    member.consumption.window(wide);
    await all(member, 30);
  });

  it("leaves the rest to others", async () => {
    const { world, connection } = await started();
    const other = (await world.connect({ streams: [] })).connection;
    const [first, second] = [
      await joinGroup(connection, "g", { messages: 4, bytes: 1e6 }),
      await joinGroup(other, "g", { messages: 4, bytes: 1e6 }),
    ];
    publish(connection, numbered(10));
    await all(first, 4);
    await all(second, 4);
    await turns(20);
    expect([...first.sink.texts, ...second.sink.texts].toSorted()).toEqual(numbered(8));
  });

  it("delivers only what its patterns match, from both lanes", async () => {
    const { connection } = await started({ reads: [{ stream: "events", patterns: ["a.*", "b.>"] }] });
    const member = await joinGroup(connection, "g");
    for (const topic of ["a.x", "a.x.y", "b.x.y", "c", "a"]) publish(connection, [topic], { topic });
    connection.send([outgoing(toQueue("g", "anything"), "queued").message]);
    await all(member, 3);
    await turns(10);
    expect(member.sink.messages.map(({ topic, lane }) => `${topic} ${lane}`)).toEqual([
      "a.x stream",
      "b.x.y stream",
      "anything queue",
    ]);
    expect(member.sink.messages.at(-1)!.partition).toBe("queue:g/0");
  });

  it("brings a retry back after its delay, with its attempts and headers, as if it were new", async () => {
    const { connection } = await started();
    publish(connection, ["1", "2"], {
      headers: [
        ["a", "1"],
        ["b", "1"],
      ],
    });
    const member = await joinGroup(connection, "g");
    await all(member, 2);
    const before = performance.now();
    const headers = [
      ["b", "2"],
      ["c", "2"],
    ] as const;
    const results = await member.consumption.settle([
      { how: "retry", message: member.sink.messages[0]!, delayMs: 600, attempts: 1, headers },
    ]);
    expect(results).toEqual(["done"]);
    expect((await connection.admin.groups())[0]).toMatchObject({ waiting: 1, scheduled: 1, inFlight: 1 });
    await all(member, 3);
    expect(performance.now() - before).toBeGreaterThanOrEqual(599);
    const again = member.sink.messages[2]!;
    expect([again.attempts, again.deliveries, again.position]).toEqual([1, 1, "1"]);
    expect([again.header("a"), again.header("b"), again.header("c")]).toEqual(["1", "2", "2"]);
    expect(again.headers()).toEqual([
      ["a", "1"],
      ["b", "2"],
      ["c", "2"],
    ]);
    expect(
      await member.consumption.settle([
        { how: "retry", message: member.sink.messages[0]!, delayMs: 0, attempts: 9, headers: [] },
      ]),
    ).toEqual(["stale"]);
  });

  it("stores a letter with the settlement of its message, one for each id", async () => {
    const { world, connection } = await started();
    publish(connection, ["1", "2"]);
    const member = await joinGroup(connection, "g");
    await all(member, 2);
    const [one, two] = member.sink.messages;
    await member.consumption.settle([{ how: "dead", message: one!, letter: letterOf(one!, "g", "g/x") }]);
    expect([world.count("letter"), world.rows("SELECT low FROM omnibus_claim")]).toEqual([1, [{ low: 2 }]]);
    await member.consumption.settle([{ how: "dead", message: two!, letter: letterOf(two!, "g", "g/x") }]);
    expect([world.count("letter"), world.count("claim")]).toEqual([1, 0]);
    expect(Buffer.from((await connection.admin.letter("g/x"))!.body).toString()).toBe("2");
  });

  it("hands a released message to another member first, uncounted", async () => {
    const { world, connection } = await started();
    const first = await joinGroup(connection, "g");
    publish(connection, ["1"]);
    await all(first, 1);
    const other = (await world.connect({ streams: [] })).connection;
    const second = await joinGroup(other, "g");
    await first.consumption.settle([
      { how: "release", message: first.sink.messages[0]!, delayMs: 0, headers: [["hops", "1"]] },
    ]);
    await all(second, 1);
    const message = second.sink.messages[0]!;
    expect([first.sink.messages.length, message.deliveries, message.attempts, message.header("hops")]).toEqual([
      1,
      1,
      0,
      "1",
    ]);
  });

  it("has a released message back after a while when nobody else takes it", async () => {
    const { connection } = await started();
    const member = await joinGroup(connection, "g");
    publish(connection, ["1"]);
    await all(member, 1);
    await member.consumption.settle([{ how: "release", message: member.sink.messages[0]!, delayMs: 0, headers: [] }]);
    await all(member, 2);
    expect(deliveries(member)).toEqual([1, 1]);
  });

  it("passes on what it had when it closes: noted attempts kept, deliveries uncounted", async () => {
    const { world, connection } = await started();
    publish(connection, numbered(6));
    const first = await joinGroup(connection, "g");
    await all(first, 6);
    first.consumption.ack([first.sink.messages[1]!]);
    await first.consumption.record([
      { message: first.sink.messages[2]!, attempts: 2, notBefore: 5, headers: [["n", "1"]] },
    ]);
    expect(first.sink.messages[2]!.header("n")).toBe("1");
    await first.consumption.close(soon());
    expect(world.count("member")).toBe(0);
    const second = await joinGroup(connection, "g");
    await all(second, 5);
    expect(
      second.sink.messages.map((each) => [each.position, each.deliveries, each.attempts, each.notBefore]).toSorted(),
    ).toEqual([
      ["1", 1, 0, undefined],
      ["3", 1, 2, 5],
      ["4", 1, 0, undefined],
      ["5", 1, 0, undefined],
      ["6", 1, 0, undefined],
    ]);
  });

  it("takes over what a dead member had, counted, in parts as its window has room", async () => {
    const { world, connection } = await started();
    publish(connection, numbered(9));
    const dead = await joinGroup(connection, "g");
    await all(dead, 9);
    dead.consumption.ack([dead.sink.messages[0]!, dead.sink.messages[4]!]);
    await dead.consumption.flush();
    await dead.consumption.record([
      { message: dead.sink.messages[8]!, attempts: 1, notBefore: undefined, headers: [] },
    ]);
    const other = (await world.connect({ streams: [] })).connection;
    const next = await joinGroup(other, "g", { messages: 3, bytes: 1e6 });
    dead.consumption.window({ messages: 0, bytes: 0 });
    await bury(world, connection);
    await all(next, 3);
    expect(deliveries(next)).toEqual([2, 2, 2]);
    next.consumption.ack(next.sink.messages);
    await all(next, 6);
    next.consumption.ack(next.sink.messages);
    await all(next, 7);
    expect(next.sink.texts.toSorted()).toEqual(["2", "3", "4", "6", "7", "8", "9"]);
    expect(next.sink.messages.find((message) => message.position === "9")).toMatchObject({
      attempts: 1,
      deliveries: 2,
    });
    next.consumption.ack(next.sink.messages);
    await next.consumption.flush();
    expect([world.count("claim"), world.count("held")]).toEqual([0, 0]);
  });

  it("is told that what it had is no longer its own, may settle nothing of it, and goes on", async () => {
    const { world, connection } = await started();
    publish(connection, numbered(3));
    const member = await joinGroup(connection, "g");
    await all(member, 3);
    await bury(world, connection);
    const [one, two, three] = member.sink.messages;
    member.consumption.ack([one!]);
    const results = await Promise.all([
      member.consumption.settle([{ how: "dead", message: two!, letter: letterOf(two!, "g") }]),
      member.consumption.record([{ message: three!, attempts: 1, notBefore: undefined, headers: [] }]),
    ]);
    expect(results).toEqual([["stale"], ["stale"]]);
    await until(() => member.sink.revocations.length === 1, "to be told");
    expect(world.count("letter")).toBe(0);
    await all(member, 6);
    expect(deliveries(member)).toEqual([1, 1, 1, 2, 2, 2]);
    expect(member.sink.ends).toEqual([]);
  });

  it("writes one outcome for a message that was noted and settled in one turn", async () => {
    const { world, connection } = await started();
    publish(connection, numbered(3));
    const member = await joinGroup(connection, "g");
    await all(member, 3);
    const [one, two, three] = member.sink.messages;
    const note = (message: typeof one) =>
      member.consumption.record([{ message: message!, attempts: 1, notBefore: undefined, headers: [] }]);
    const noted = [note(one), note(two), note(three)];
    member.consumption.ack([one!]);
    const settled = member.consumption.settle([{ how: "retry", message: two!, delayMs: 0, attempts: 1, headers: [] }]);
    await Promise.all([...noted, settled]);
    member.consumption.ack([three!]);
    await member.consumption.flush();
    await all(member, 4);
    expect(member.sink.messages[3]).toMatchObject({ position: "2", attempts: 1 });
    member.consumption.ack([member.sink.messages[3]!]);
    await member.consumption.flush();
    expect([world.count("claim"), world.count("held")]).toEqual([0, 0]);
  });

  it("does not deliver after stop, and keeps what it has", async () => {
    const { world, connection } = await started();
    const member = await joinGroup(connection, "g");
    publish(connection, ["1"]);
    await all(member, 1);
    await member.consumption.stop();
    publish(connection, ["2"]);
    await turns(20);
    expect(member.sink.texts).toEqual(["1"]);
    member.consumption.ack(member.sink.messages);
    await member.consumption.flush();
    expect(world.count("claim")).toBe(0);
  });

  it("stops before a partition that is paused, and goes on when it is not", async () => {
    const { connection } = await started();
    const member = await joinGroup(connection, "g");
    member.consumption.window({ messages: 0, bytes: 0 }, "events/2");
    publish(connection, ["1"], { hash: 1 });
    publish(connection, ["2"], { hash: 2 });
    publish(connection, ["3"], { hash: 3 });
    await all(member, 1);
    await turns(10);
    expect(member.sink.texts).toEqual(["1"]);
    member.consumption.window(wide, "events/2");
    await all(member, 3);
  });

  it("ends when its group is deleted, and starts again before its oldest unsettled, never at now", async () => {
    const { world, connection } = await started({ from: { at: "newest" } });
    const member = await joinGroup(connection, "g");
    publish(connection, numbered(6));
    await all(member, 6);
    member.consumption.ack(member.sink.messages.slice(0, 2));
    await member.consumption.flush();
    member.consumption.ack(member.sink.messages.slice(2, 3));
    await until(
      () => member.sink.floors.get("events/0") === "2" || member.sink.floors.get("events/0") === "3",
      "a floor",
    );
    const other = (await world.connect({ streams: [] })).connection;
    expect(await other.admin.deleteGroup("g")).toBe(true);
    await until(() => member.sink.ends.length === 1, "the end");
    expect(member.sink.ends[0]).toMatchObject({ error: { code: "BUS_NOT_FOUND" }, kept: false });
    publish(connection, ["7"]);
    await connection.ensureGroup(groupSpec("g", { from: { at: "newest" } }));
    const again = await consume(connection, { kind: "group", group: "g", resume: member.sink.floors });
    await until(() => again.sink.texts.includes("7"), "the newest");
    expect(again.sink.texts).toEqual(numbered(7).slice(Number(member.sink.floors.get("events/0"))));
  });

  it.each(["none", "group"] as const)("knows where it stood before it settled anything (order %s)", async (order) => {
    const { world, connection } = await started({ order, from: { at: "newest" } });
    const member = await joinGroup(connection, "g");
    publish(connection, numbered(3));
    await all(member, 3);
    const other = (await world.connect({ streams: [] })).connection;
    await other.admin.deleteGroup("g");
    await until(() => member.sink.ends.length === 1, "the end");
    await connection.ensureGroup(groupSpec("g", { order, from: { at: "newest" } }));
    const again = await consume(connection, { kind: "group", group: "g", resume: member.sink.floors });
    await all(again, 3);
    expect(again.sink.texts).toEqual(numbered(3));
  });

  it("is not thrown back by an old position when the group is still there", async () => {
    const { connection } = await started();
    const member = await joinGroup(connection, "g");
    publish(connection, numbered(3));
    await all(member, 3);
    member.consumption.ack(member.sink.messages);
    await member.consumption.close(soon());
    const again = await consume(connection, { kind: "group", group: "g", resume: new Map([["events/0", "1"]]) });
    publish(connection, ["4"]);
    await all(again, 1);
    expect(again.sink.texts).toEqual(["4"]);
  });

  it("passes over what expired, and says so", async () => {
    const { connection } = await started();
    publish(connection, ["1"], { expiresAt: Date.now() - 1 });
    publish(connection, ["2"], { expiresAt: Date.now() + 60_000 });
    const member = await joinGroup(connection, "g");
    await all(member, 1);
    expect([member.sink.texts, member.sink.losses]).toEqual([
      ["2"],
      [{ count: 1, reason: expect.stringContaining("expired") as string }],
    ]);
  });
});
