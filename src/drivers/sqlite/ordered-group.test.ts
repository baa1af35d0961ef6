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
import type { DriverConnection } from "../../driver.ts";

const soon = (): AbortSignal => AbortSignal.timeout(5_000);
const all = ({ sink }: TestConsumption, count: number): Promise<void> =>
  until(
    () => sink.messages.length >= count,
    () => `${count} messages; there are ${sink.messages.length}`,
  );

async function started(): Promise<{ readonly world: SqliteWorld; readonly connection: DriverConnection }> {
  const world = newWorld();
  const { connection } = await world.connect();
  await connection.ensureGroup(groupSpec("g", { order: "group" }));
  return { world, connection };
}

const joined = async (world: SqliteWorld): Promise<TestConsumption> =>
  await joinGroup((await world.connect({ streams: [] })).connection, "g");
/** So many messages, one in each of the 16 partitions in turn, keyed by it. */
function spread(connection: DriverConnection, count: number, from = 0): void {
  connection.send(
    Array.from(
      { length: count },
      (_, n) =>
        outgoing({ kind: "topic", stream: "events", topic: "a" }, String(from + n), { hash: n % 16, key: `k${n % 16}` })
          .message,
    ),
  );
}
const owners = (world: SqliteWorld): ReadonlyMap<number, number> => {
  const counts = new Map<number, number>();
  for (const { member } of world.rows("SELECT member FROM omnibus_own WHERE stream = 1 AND member IS NOT NULL"))
    counts.set(member as number, (counts.get(member as number) ?? 0) + 1);
  return counts;
};

async function bury(world: SqliteWorld, process = 1): Promise<void> {
  const database = world.raw();
  database.exec(`UPDATE omnibus_process SET seen = 0 WHERE id = ${process}`);
  database.close();
  const other = (await world.connect({ streams: [] })).connection;
  await other.admin.recoverGroup!("g", 1_000);
}

describe("a member of an ordered group", () => {
  it("owns every partition when it is alone, of both lanes, and says where each stands", async () => {
    const { world, connection } = await started();
    const member = await joinGroup(connection, "g");
    spread(connection, 32);
    connection.send([outgoing(toQueue("g"), "queued").message]);
    await all(member, 33);
    member.consumption.ack(member.sink.messages);
    await member.consumption.flush();
    await until(
      () => member.sink.floors.get("events/15") === "32" && member.sink.floors.get("queue:g/0") === "1",
      "the floors",
    );
    expect((await connection.admin.members("g"))[0]!.partitions).toEqual(Array.from({ length: 16 }, (_, n) => n));
    expect(world.rows("SELECT DISTINCT done FROM omnibus_own")).toEqual([{ done: null }]);
  });

  it("writes what is settled above the oldest that isn't, and only that comes again", async () => {
    const { connection } = await started();
    publish(connection, numbered(8));
    const first = await joinGroup(connection, "g");
    await all(first, 8);
    first.consumption.ack([1, 2, 5].map((index) => first.sink.messages[index]!));
    await first.consumption.close(soon());
    const second = await joinGroup(connection, "g");
    await all(second, 5);
    await turns(10);
    expect(second.sink.texts).toEqual(["1", "4", "5", "7", "8"]);
    expect(second.sink.messages.map(({ deliveries }) => deliveries)).toEqual([1, 1, 1, 1, 1]);
    second.consumption.ack(second.sink.messages);
    await second.consumption.flush();
    expect(second.sink.floors.get("events/0")).toBe("8");
  });

  it("counts what an owner that died had handed out, and nothing else", async () => {
    const { world, connection } = await started();
    publish(connection, numbered(6));
    const dead = await joinGroup(connection, "g", { messages: 4, bytes: 1e6 });
    await all(dead, 4);
    dead.consumption.ack([dead.sink.messages[1]!]);
    dead.consumption.window({ messages: 0, bytes: 0 });
    await dead.consumption.flush();
    await connection.close(AbortSignal.abort()); // or it would come back, and could take its place again
    const next = await joined(world);
    await bury(world);
    await all(next, 5);
    expect(next.sink.messages.map(({ position, deliveries }) => `${position}:${deliveries}`)).toEqual([
      "1:2",
      "3:2",
      "4:2",
      "5:1",
      "6:1",
    ]);
  });

  it("keeps notes beside a message, through its owner's death", async () => {
    const { world, connection } = await started();
    publish(connection, numbered(3), { key: "k" });
    const dead = await joinGroup(connection, "g");
    await all(dead, 3);
    const note = { message: dead.sink.messages[1]!, attempts: 2, notBefore: 77, headers: [["n", "1"]] } as const;
    expect(await dead.consumption.record([note])).toEqual(["done"]);
    expect(note.message.header("n")).toBe("1");
    await connection.close(AbortSignal.abort());
    const next = await joined(world);
    await bury(world);
    await all(next, 3);
    expect(next.sink.messages.map(({ attempts, notBefore }) => [attempts, notBefore])).toEqual([
      [0, undefined],
      [2, 77],
      [0, undefined],
    ]);
    expect(next.sink.messages[1]!.header("n")).toBe("1");
    next.consumption.ack(next.sink.messages);
    await next.consumption.flush();
    expect(world.count("held")).toBe(0);
  });

  it("is fenced off: what a former owner settles changes nothing", async () => {
    const { world, connection } = await started();
    publish(connection, numbered(2));
    const former = await joinGroup(connection, "g");
    await all(former, 2);
    await bury(world);
    const [one, two] = former.sink.messages;
    former.consumption.ack([one!]);
    const results = await Promise.all([
      former.consumption.settle([{ how: "dead", message: two!, letter: letterOf(two!, "g") }]),
      former.consumption.record([{ message: two!, attempts: 1, notBefore: undefined, headers: [] }]),
    ]);
    expect(results).toEqual([["stale"], ["stale"]]);
    expect(world.count("letter")).toBe(0);
    await until(() => former.sink.revocations.length > 0, "to be told");
    expect(former.sink.revocations).toContainEqual({ partition: "events/0" });
    await all(former, 4); // it has a seat again, and everything comes once more
    expect(former.sink.texts).toEqual(["1", "2", "1", "2"]);
  });

  it("shares the partitions evenly among members, and takes back those of one that leaves", async () => {
    const { world } = await started();
    const members = [await joined(world), await joined(world), await joined(world)];
    await until(
      () => [...owners(world).values()].toSorted().join() === "5,5,6",
      () => [...owners(world).values()].join(),
    );
    await members[1]!.consumption.close(soon());
    await until(
      () => [...owners(world).values()].join() === "8,8",
      () => [...owners(world).values()].join(),
    );
  });

  it("hands a partition over only when nothing of it is with the old owner", async () => {
    const { world, connection } = await started();
    const first = await joinGroup(connection, "g");
    spread(connection, 16);
    await all(first, 16);
    const second = await joined(world);
    spread(connection, 16, 100);
    await until(() => first.sink.messages.length + second.sink.messages.length >= 16 + 8, "those that stay");
    await turns(30);
    expect(second.sink.messages).toEqual([]);
    first.consumption.ack(first.sink.messages);
    await all(second, 8);
    expect(first.sink.revocations).toHaveLength(16); // eight of each lane
    const moved = new Set(second.sink.messages.map(({ partition }) => partition));
    expect(first.sink.messages.slice(16).every(({ partition }) => !moved.has(partition))).toBe(true);
    expect(second.sink.messages.every(({ deliveries }) => deliveries === 1)).toBe(true);
  });

  it("hands over a partition whose messages only wait for their next attempt, with the rest of that key", async () => {
    const { world, connection } = await started();
    const first = await joinGroup(connection, "g");
    for (let partition = 0; partition < 16; partition += 1)
      publish(connection, ["1", "2"], { hash: partition, key: `k${partition}` });
    await all(first, 32);
    const due = Date.now() + 3_600_000;
    await first.consumption.record(
      first.sink.messages
        .filter((_, index) => index % 2 === 0)
        .map((message) => ({ message, attempts: 1, notBefore: due, headers: [] })),
    );
    const second = await joined(world);
    await all(second, 16);
    expect(second.sink.messages.map(({ attempts, notBefore }) => `${attempts} ${String(notBefore)}`)).toEqual(
      Array.from({ length: 16 }, (_, index) => (index % 2 === 0 ? `1 ${due}` : "0 undefined")),
    );
    expect(first.sink.revocations).toHaveLength(16);
  });

  it("pauses one partition at its bound, not the others", async () => {
    const { connection } = await started();
    const member = await joinGroup(connection, "g");
    member.consumption.window({ messages: 0, bytes: 0 }, "events/1");
    spread(connection, 64);
    await all(member, 60);
    await turns(20);
    expect(member.sink.messages.some(({ partition }) => partition === "events/1")).toBe(false);
    member.consumption.window(wide, "events/1");
    await all(member, 64);
    expect(member.sink.messages.slice(60).map(({ position }) => position)).toEqual(["2", "18", "34", "50"]);
  });

  it("reads on in a paused partition that was lost and gained again in one turn, when losing it lifted the bound", async () => {
    const { world, connection } = await started();
    const member = await joinGroup(connection, "g");
    member.consumption.window({ messages: 0, bytes: 0 }, "events/1");
    spread(connection, 32);
    await all(member, 30);
    const revoked = member.sink.revoked.bind(member.sink);
    member.sink.revoked = (which) => {
      revoked(which);
      if ("partition" in which) member.consumption.window(wide, which.partition); // as run-ahead does
    };
    const database = world.raw(); // another has taken all and left again
    database.exec(
      "UPDATE omnibus_own SET member = NULL, epoch = epoch + 1; UPDATE omnibus_grp SET roster = roster + 2",
    );
    database.close();
    const ofOne = (): number => member.sink.messages.filter(({ partition }) => partition === "events/1").length;
    await until(() => ofOne() === 2, "what was paused");
  });

  it("refuses to retry or release a single message: it keeps its place", async () => {
    const { connection } = await started();
    const member = await joinGroup(connection, "g");
    publish(connection, ["1"]);
    await all(member, 1);
    const [message] = member.sink.messages;
    await expect(
      member.consumption.settle([{ how: "retry", message: message!, delayMs: 0, attempts: 1, headers: [] }]),
    ).rejects.toMatchObject({ code: "BUS_UNSUPPORTED" });
    await expect(
      member.consumption.settle([{ how: "release", message: message!, delayMs: 0, headers: [] }]),
    ).rejects.toMatchObject({ code: "BUS_UNSUPPORTED" });
  });

  it("starts again where its other members stood too", async () => {
    const { world, connection } = await started();
    const members = [await joinGroup(connection, "g"), await joined(world)];
    await until(() => [...owners(world).values()].join() === "8,8", "the shares");
    spread(connection, 32);
    await until(() => members.every(({ sink }) => sink.messages.length === 16), "all");
    for (const { consumption, sink } of members) {
      consumption.ack(sink.messages.slice(0, 8));
      await consumption.flush();
    }
    await connection.ping();
    const other = (await world.connect({ streams: [] })).connection;
    await other.admin.deleteGroup("g");
    await until(() => members.every(({ sink }) => sink.ends.length === 1), "the end");
    await connection.ensureGroup(groupSpec("g", { order: "group", from: { at: "newest" } }));
    const again = await consume(connection, { kind: "group", group: "g", resume: members[0]!.sink.floors });
    await until(() => again.sink.messages.length >= 16, "what was not settled");
    const unsettled = members.flatMap(({ sink }) => sink.texts.slice(8));
    expect(unsettled.every((text) => again.sink.texts.includes(text))).toBe(true);
  });

  it("starts again before its oldest unsettled when the group was deleted", async () => {
    const { world, connection } = await started();
    const member = await joinGroup(connection, "g");
    spread(connection, 48);
    await all(member, 48);
    member.consumption.ack(member.sink.messages.filter(({ partition }) => partition !== "events/3"));
    await member.consumption.flush();
    const other = (await world.connect({ streams: [] })).connection;
    await other.admin.deleteGroup("g");
    await until(() => member.sink.ends.length === 1, "the end");
    await connection.ensureGroup(groupSpec("g", { order: "group", from: { at: "newest" } }));
    const again = await consume(connection, { kind: "group", group: "g", resume: member.sink.floors });
    await all(again, 3);
    await turns(20);
    const missing = ["3", "19", "35"];
    expect(again.sink.texts.filter((text) => missing.includes(text))).toEqual(missing);
  });

  it("lets go of what a member that comes back took to an earlier place, and is not held up by it", async () => {
    const { world, connection } = await started();
    spread(connection, 32);
    await connection.admin.deleteGroup("g");
    await connection.ensureGroup(groupSpec("g", { order: "group", from: { at: "newest" } }));
    const first = await joinGroup(connection, "g", { messages: 1, bytes: 1e6 });
    await until(() => owners(world).size === 1, "the first to have all");
    const resume = new Map(Array.from({ length: 16 }, (_, n) => [`events/${n}`, n < 8 ? "16" : "32"] as const));
    const other = (await world.connect({ streams: [] })).connection;
    const second = await consume(other, { kind: "group", group: "g", resume });
    const shares = "SELECT count(*) AS count FROM omnibus_own GROUP BY member";
    await until(() => world.rows(shares).every(({ count }) => count === 16), "the shares");
    spread(connection, 32, 32);
    const settled = new Map([first, second].map((member) => [member, 0]));
    await until(
      () => {
        for (const [{ consumption, sink }, count] of settled) consumption.ack(sink.messages.slice(count));
        for (const member of settled.keys()) settled.set(member, member.sink.messages.length);
        return first.sink.messages.length + second.sink.messages.length >= 40;
      },
      () => `40; the first had ${first.sink.texts.join()}, the second ${second.sink.texts.join()}`,
    );
    const texts = [first, second].flatMap(({ sink }) => sink.texts.map(Number)).toSorted((a, b) => a - b);
    expect(texts).toEqual(Array.from({ length: 40 }, (_, n) => (n < 8 ? 16 + n : 24 + n)));
  });
});
