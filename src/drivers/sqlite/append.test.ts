import { describe, expect, it } from "vitest";
import {
  consume,
  groupSpec,
  joinGroup,
  numbered,
  outgoing,
  publish,
  toQueue,
  toTopic,
  until,
  type Sent,
} from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { newWorld } from "../../../test/support/sqlite-world.ts";
import type { DriverConnection } from "../../driver.ts";

async function send(connection: DriverConnection, ...sent: readonly Sent[]): Promise<readonly Sent[]> {
  connection.send(sent.map(({ message }) => message));
  await done(sent);
  return sent;
}

const done = (sent: readonly Sent[]): Promise<void> =>
  until(() => sent.every(({ outcome }) => outcome !== "waiting"), "every outcome");
const codeOf = ({ error }: Sent): string => (error as { readonly code: string }).code;

describe("publishing", () => {
  it("numbers the messages of a stream from 1 on, in the order of the calls", async () => {
    const { connection } = await newWorld().connect();
    const sent = [...publish(connection, numbered(100)), ...publish(connection, numbered(33, 101))];
    await done(sent);
    expect(sent.map(({ position }) => position)).toEqual(numbered(133));
  });

  it("completes each message by itself", async () => {
    const { connection } = await newWorld().connect();
    const sent = await send(
      connection,
      outgoing(toTopic("a"), "1"),
      outgoing(toTopic("a", "none"), "2"),
      outgoing(toQueue("nobody yet"), "3"),
      outgoing(toTopic("a"), "4"),
    );
    expect(sent.map(({ outcome, position }) => [outcome, position])).toEqual([
      ["stored", "1"],
      ["no", undefined],
      ["stored", "1"],
      ["stored", "2"],
    ]);
    expect(codeOf(sent[1]!)).toBe("BUS_NOT_FOUND");
  });

  it("refuses the later ones of a key whose message was refused, and no other key's", async () => {
    const { connection } = await newWorld().connect({ streams: [{ name: "events", topics: [">"], maxBytes: 100 }] });
    const big = (key: string): Sent => outgoing(toTopic("a"), "x".repeat(101), { key });
    const sent = await send(
      connection,
      outgoing(toTopic("a"), "1", { key: "k" }),
      big("k"),
      outgoing(toTopic("a"), "2", { key: "k" }),
      outgoing(toTopic("a"), "3", { key: "other" }),
      outgoing(toTopic("a"), "4"),
    );
    expect(sent.map(({ outcome }) => outcome)).toEqual(["stored", "no", "no", "stored", "stored"]);
  });

  it("keeps what it is told about a message", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    await send(
      connection,
      outgoing(toTopic("a.b"), "body", {
        id: "e1",
        brokerId: "b1",
        key: "k",
        hash: 35,
        headers: [
          ["x", "1"],
          ["y", "é"],
        ],
      }),
    );
    const { consumption, sink } = await consume(connection, {
      kind: "tail",
      stream: "events",
      from: { at: "oldest" },
      resume: undefined,
    });
    await consumption.wants([">"], []);
    await until(() => sink.messages.length === 1, "the message");
    const [message] = sink.messages;
    expect([message!.topic, message!.key, message!.partition, message!.position, message!.lane]).toEqual([
      "a.b",
      "k",
      "events/3",
      "1",
      "stream",
    ]);
    expect([message!.header("x"), message!.header("y"), message!.header("constructor"), message!.headers()]).toEqual([
      "1",
      "é",
      undefined,
      [
        ["x", "1"],
        ["y", "é"],
      ],
    ]);
    expect(world.rows("SELECT event FROM omnibus_log_1")).toEqual([{ event: "e1" }]);
  });
});

describe("a second send of one broker id", () => {
  it("is recognised in its own batch, in a later one, and in another process", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    const { connection: other } = await world.connect({ streams: [] });
    const twice = (n: number): Sent => outgoing(toTopic("a"), `${n}`, { brokerId: `b${n}` });
    const first = await send(connection, ...Array.from({ length: 64 }, (_, n) => twice(n % 50)));
    expect(first.map(({ outcome }) => outcome)).toEqual([
      ...Array.from({ length: 50 }).fill("stored"),
      ...Array.from({ length: 14 }).fill("duplicate"),
    ]);
    const again = [
      ...(await send(connection, ...Array.from({ length: 40 }, (_, n) => twice(n)))),
      ...(await send(other, twice(49), twice(50))),
    ];
    expect(again.map(({ outcome, position }) => [outcome, position])).toEqual([
      ...numbered(40).map((position) => ["duplicate", position]),
      ["duplicate", "50"],
      ["stored", "51"],
    ]);
    expect(world.count("log_1")).toBe(51);
  });

  it("is new to another stream", async () => {
    const { connection } = await newWorld().connect();
    const sent = await send(
      connection,
      outgoing(toTopic("a"), "1", { brokerId: "b" }),
      outgoing(toQueue("g"), "1", { brokerId: "b" }),
      outgoing(toQueue("h"), "1", { brokerId: "b" }),
    );
    expect(sent.map(({ outcome }) => outcome)).toEqual(["stored", "stored", "stored"]);
  });

  it("is recognised for 120 s and forgotten after 240, with one row for each message of that time", async () => {
    const world = newWorld();
    const clock = new ManualClock();
    const { connection } = await world.connect({ clock });
    const outcomeOf = async (id: string): Promise<string> =>
      (await send(connection, outgoing(toTopic("a"), id, { brokerId: id })))[0]!.outcome;
    expect(await outcomeOf("x")).toBe("stored");
    clock.advance(119_999);
    expect(await outcomeOf("x")).toBe("duplicate");
    expect(await outcomeOf("late")).toBe("stored");
    clock.advance(2);
    expect(await outcomeOf("x")).toBe("duplicate"); // the windows have turned over: it is in the former one
    const many = [
      ...(await send(
        connection,
        ...numbered(64).map((n) => outgoing(toTopic("a"), n, { brokerId: `m${n}` })),
        outgoing(toTopic("a"), "x", { brokerId: "x" }),
      )),
    ];
    expect(many.map(({ outcome }) => outcome).filter((outcome) => outcome !== "stored")).toEqual(["duplicate"]);
    clock.advance(119_900);
    expect(await outcomeOf("late")).toBe("duplicate");
    clock.advance(120_001);
    expect(await outcomeOf("x")).toBe("stored");
    clock.advance(240_002);
    expect(await outcomeOf("x")).toBe("stored");
    expect(world.count("seen_a") + world.count("seen_b")).toBeLessThanOrEqual(2);
  });
});

describe("a delayed publish", () => {
  it("comes at its time, by whichever process is there, and once", async () => {
    const world = newWorld();
    const clock = new ManualClock();
    const { connection } = await world.connect({ clock });
    const sent = await send(
      connection,
      outgoing(toTopic("a"), "later", { notBefore: clock.now() + 60_000, brokerId: "b" }),
      outgoing(toTopic("a"), "now"),
      outgoing(toQueue("g"), "queued", { notBefore: clock.now() + 30_000 }),
    );
    expect(sent.map(({ outcome, position }) => [outcome, position])).toEqual([
      ["stored", undefined],
      ["stored", "1"],
      ["stored", undefined],
    ]);
    const again = await send(
      connection,
      outgoing(toTopic("a"), "later", { notBefore: clock.now() + 60_000, brokerId: "b" }),
    );
    expect(again[0]!.outcome).toBe("duplicate");
    await connection.close(AbortSignal.timeout(5_000));
    const { connection: other } = await world.connect({ clock });
    await other.ensureGroup(groupSpec("g"));
    const { sink } = await joinGroup(other, "g");
    await until(() => sink.texts.length === 1, "what is not delayed");
    clock.advance(29_999);
    expect((await other.admin.groups())[0]).toMatchObject({ waiting: 2, scheduled: 2, inFlight: 1 });
    clock.advance(60);
    await until(() => sink.texts.length === 2, "what was queued");
    clock.advance(30_000);
    await until(() => sink.texts.length === 3, "the last");
    expect(sink.texts).toEqual(["now", "queued", "later"]);
    expect(world.count("delayed")).toBe(0);
  });

  it("is moved once when several processes are there", async () => {
    const world = newWorld();
    const clock = new ManualClock();
    const all = await Promise.all(Array.from({ length: 3 }, () => world.connect({ clock })));
    await send(
      all[0]!.connection,
      ...numbered(20).map((n) => outgoing(toTopic("a"), n, { notBefore: clock.now() + 1_000 })),
    );
    // The others look for it at their next poll.
    clock.advance(100);
    clock.advance(1_000);
    await until(() => world.count("delayed") === 0, "all to be moved");
    expect(world.count("log_1")).toBe(20);
  });
});
