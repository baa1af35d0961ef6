import { describe, expect, it } from "vitest";
import {
  consume,
  groupSpec,
  joinGroup,
  numbered,
  outgoing,
  publish,
  toTopic,
  until,
  type Sent,
  type TestConsumption,
} from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { newWorld } from "../../../test/support/sqlite-world.ts";
import type { DriverConnection, StreamOptions } from "../../driver.ts";

const events = (options: Partial<StreamOptions>): readonly StreamOptions[] => [
  { name: "events", topics: [">"], ...options },
];
const outcomes = async (sent: readonly Sent[]): Promise<string> => {
  await until(() => sent.every(({ outcome }) => outcome !== "waiting"), "every outcome");
  return sent.map(({ outcome }) => outcome[0]).join("");
};
const info = async (connection: DriverConnection): Promise<readonly (number | undefined)[]> => {
  const [stream] = await connection.admin.streams();
  return [stream!.messages, stream!.bytes];
};

async function handle({ consumption, sink }: TestConsumption, count: number): Promise<void> {
  await until(
    () => sink.messages.length >= count,
    () => `${count} messages; there are ${sink.messages.length}`,
  );
  consumption.ack(sink.messages.slice(0, count));
  await consumption.flush();
}

describe("a full stream", () => {
  it.each([{ maxMessages: 4 }, { maxBytes: 4 }])(
    "refuses what its groups have not made room for: %j",
    async (limit) => {
      const { connection } = await newWorld().connect({ streams: events(limit) });
      await connection.ensureGroup(groupSpec("g"));
      expect(await outcomes(publish(connection, numbered(6)))).toBe("ssssnn");
      const member = await joinGroup(connection, "g");
      await handle(member, 3);
      expect(await outcomes(publish(connection, ["7", "8", "9", "0"]))).toBe("sssn");
      expect(await info(connection)).toEqual([4, 4]);
      expect(member.sink.losses).toEqual([]);
    },
  );

  it("says that it is full, retryably", async () => {
    const { connection } = await newWorld().connect({ streams: events({ maxMessages: 1 }) });
    await connection.ensureGroup(groupSpec("g"));
    const sent = publish(connection, ["1", "2"]);
    await outcomes(sent);
    expect(sent[1]!.error).toMatchObject({ code: "BUS_FULL", retryable: true });
    const [huge] = publish(connection, ["x".repeat(2 ** 20)]);
    expect(await outcomes([huge!])).toBe("n");
  });

  it("knows a duplicate even then", async () => {
    const { connection } = await newWorld().connect({ streams: events({ maxMessages: 1 }) });
    await connection.ensureGroup(groupSpec("g"));
    expect(await outcomes(publish(connection, ["1"], { brokerId: "b" }))).toBe("s");
    expect(await outcomes(publish(connection, ["1"], { brokerId: "b" }))).toBe("d");
  });

  it("drops the oldest where it may, and says so to those who miss it, once", async () => {
    const { connection } = await newWorld().connect({ streams: events({ maxMessages: 5, whenFull: "drop-oldest" }) });
    for (const order of ["none", "group"] as const)
      await connection.ensureGroup(groupSpec(order, { order, patterns: ["a.*"] }));
    await connection.ensureGroup(groupSpec("elsewhere", { patterns: ["z.>"] }));
    expect(await outcomes(publish(connection, numbered(12)))).toBe("s".repeat(12));
    for (const group of ["none", "group"]) {
      const { sink } = await joinGroup(connection, group);
      await until(() => sink.messages.length === 5, "the rest");
      expect(sink.texts).toEqual(numbered(5, 8));
      expect(sink.losses.map(({ count }) => count)).toEqual([7]);
    }
    const { sink } = await joinGroup(connection, "elsewhere");
    publish(connection, ["x"], { topic: "z.z" });
    await until(() => sink.messages.length === 1, "its own");
    expect(sink.losses).toEqual([]);
  });

  it("knows still what was settled out of turn in a partition that nobody owns", async () => {
    const one = { maxMessages: 6, whenFull: "drop-oldest", partitions: 1 } as const;
    const { connection } = await newWorld().connect({ streams: events(one) });
    await connection.ensureGroup(groupSpec("g", { order: "group" }));
    expect(await outcomes(publish(connection, numbered(6)))).toBe("ssssss");
    const former = await joinGroup(connection, "g");
    await until(() => former.sink.messages.length === 6, "all of them");
    former.consumption.ack(former.sink.messages.filter((_, index) => index === 2 || index === 5));
    await former.consumption.flush();
    await former.consumption.close(AbortSignal.timeout(2_000));
    expect(await outcomes(publish(connection, ["7", "8"]))).toBe("ss");
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.texts.includes("8"), "the last");
    expect(sink.texts).toEqual(["4", "5", "7", "8"]);
    expect(sink.losses.map(({ count }) => count)).toEqual([2]);
  });

  it("drops what nobody is to read without a word", async () => {
    const { connection } = await newWorld().connect({ streams: events({ maxMessages: 3 }) });
    expect(await outcomes(publish(connection, numbered(10)))).toBe("s".repeat(10));
    expect(await info(connection)).toEqual([3, 4]);
  });

  it("is not held by a group that reads nothing of it", async () => {
    const { connection } = await newWorld().connect({ streams: events({ maxMessages: 10 }) });
    for (const order of ["none", "group"] as const) {
      await connection.ensureGroup(groupSpec(order, { order, patterns: ["never"] }));
      await joinGroup(connection, order);
    }
    await outcomes(publish(connection, numbered(10)));
    let sent: readonly Sent[] = [];
    await until(() => {
      if (sent.every(({ outcome }) => outcome !== "waiting") && sent[0]?.outcome !== "stored")
        sent = publish(connection, ["more"]);
      return sent[0]?.outcome === "stored";
    }, "room");
  });

  it("cannot be made to wait, nor to have copies, nor other partitions", async () => {
    const { connection } = await newWorld().connect();
    const ensure = (options: Partial<StreamOptions>): Promise<unknown> =>
      connection.ensureStream({ name: "events", topics: [">"], ...options });
    await expect(ensure({ whenFull: "wait" })).rejects.toMatchObject({ code: "BUS_UNSUPPORTED" });
    await expect(ensure({ replicas: 3 })).rejects.toMatchObject({ code: "BUS_UNSUPPORTED" });
    await expect(ensure({ partitions: 8 })).rejects.toMatchObject({ code: "BUS_CONFLICT" });
    await expect(ensure({ name: "other" })).rejects.toMatchObject({ code: "BUS_CONFLICT" });
    await expect(ensure({ name: "other", topics: ["x"], partitions: 0 })).rejects.toMatchObject({
      code: "BUS_INVALID_OPTION",
    });
  });
});

describe("age", () => {
  it("takes what is too old, handled or not, and says the latter", async () => {
    const world = newWorld();
    const clock = new ManualClock();
    const { connection } = await world.connect({ clock, streams: events({ maxAgeMs: 60_000 }) });
    await connection.ensureGroup(groupSpec("g"));
    await outcomes(publish(connection, numbered(1_500)));
    clock.advance(30_000);
    await outcomes(publish(connection, ["young"]));
    await until(() => {
      clock.advance(1_000);
      return world.count("log_1") === 1;
    }, "the old ones to go");
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 1, "the young one");
    expect([sink.texts, sink.losses.map(({ count }) => count)]).toEqual([["young"], [1_500]]);
    expect(await info(connection)).toEqual([1, 5]);
  });

  it("is measured by a clock that never goes back within a stream", async () => {
    const world = newWorld();
    const clock = new ManualClock();
    const { connection } = await world.connect({ clock });
    await outcomes(publish(connection, ["1"]));
    clock.advance(0);
    const late = clock.now();
    Object.defineProperty(clock, "now", { value: () => late - 3_600_000 });
    await outcomes(publish(connection, ["2"]));
    expect(world.rows("SELECT at FROM omnibus_log_1")).toEqual([{ at: late }, { at: late }]);
  });
});

describe("a group without members", () => {
  it("holds nothing back after idleGroupMs, and is told when it comes back", async () => {
    const clock = new ManualClock();
    const { connection } = await newWorld().connect({
      clock,
      streams: events({ maxMessages: 3, idleGroupMs: 60_000 }),
    });
    await connection.ensureGroup(groupSpec("g"));
    expect(await outcomes(publish(connection, numbered(4)))).toBe("sssn");
    clock.advance(60_001);
    expect(await outcomes(publish(connection, numbered(2, 5)))).toBe("ss");
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 3, "what is left");
    expect([sink.texts, sink.losses.map(({ count }) => count)]).toEqual([["3", "5", "6"], [2]]);
  });
});

describe("what a dead member held when its messages went", () => {
  it("is said to whoever takes over", async () => {
    const { connection } = await newWorld().connect({ streams: events({ maxMessages: 4, whenFull: "drop-oldest" }) });
    await connection.ensureGroup(groupSpec("g"));
    const first = await joinGroup(connection, "g");
    await outcomes(publish(connection, numbered(4)));
    await until(() => first.sink.messages.length === 4, "all");
    await first.consumption.settle([
      { how: "retry", message: first.sink.messages[3]!, delayMs: 0, attempts: 1, headers: [] },
    ]);
    await first.consumption.stop();
    await outcomes(publish(connection, numbered(4, 5)));
    await first.consumption.close(AbortSignal.timeout(1_000));
    const second = await joinGroup(connection, "g");
    await until(() => second.sink.messages.length === 4, "the new ones");
    expect(second.sink.texts).toEqual(numbered(4, 5));
    expect(second.sink.losses.reduce((sum, { count }) => sum + (count ?? 0), 0)).toBe(4);
  });

  it("lets what is due for other streams pass what is due for a full one", async () => {
    const { connection } = await newWorld().connect({
      streams: [
        { name: "full", topics: ["full"], partitions: 1, maxMessages: 3, whenFull: "reject" },
        { name: "other", topics: ["other"], partitions: 1 },
      ],
    });
    const { sink, consumption } = await consume(connection, {
      kind: "tail",
      stream: "other",
      from: { at: "oldest" },
      resume: undefined,
    });
    await consumption.wants([">"], []);
    await connection.ensureGroup(groupSpec("g", { reads: [{ stream: "full", patterns: [">"] }] }));
    const due = Date.now() + 1_500;
    const full = toTopic("full", "full");
    const late = numbered(600).map((text) => outgoing(full, text, { notBefore: due }));
    const filling = numbered(3).map((text) => outgoing(full, text));
    const behind = outgoing(toTopic("other", "other"), "here", { notBefore: due + 10 });
    for (const sent of [late, filling, [behind]]) {
      connection.send(sent.map(({ message }) => message));
      expect(new Set(await outcomes(sent))).toEqual(new Set("s"));
    }
    await until(() => sink.texts.length === 1, "the event behind them");
    expect(await connection.admin.scheduled!(undefined, 1_000)).toHaveLength(600);
  });
});
