import { describe, expect, it } from "vitest";
import type { Bus, StreamOptions } from "../../src/index.ts";
import { memory, type MemoryOptions } from "../../src/drivers/memory/index.ts";
import { connect } from "../../src/index.ts";
import { silence, until } from "../../src/testing/until.ts";
import { failureOf, fresh, gate, onMemory, Seen, Tick } from "../support/events.ts";

const onStream = (stream: Partial<StreamOptions>): Promise<Bus> =>
  onMemory({ streams: [{ name: "events", topics: [">"], partitions: 1, ...stream }] });
/** A group that reads nothing for now, so that nothing is forgotten as read. */
const heldBack = async (bus: Bus): Promise<void> => {
  const subscription = await bus.subscribe(Tick, () => undefined, { group: "slow" });
  await subscription.unsubscribe();
};
const fill = async (bus: Bus, count: number): Promise<void> => {
  for (let n = 0; n < count; n += 1) await bus.publish(Tick, { n });
};

describe("the options of a stream", () => {
  it("option: StreamOptions.name, StreamOptions.topics, StreamOptions.partitions are what it is called, captures and is divided into", async () => {
    await using bus = await onMemory();
    await bus.streams.ensure({ name: "orders", topics: ["orders.>", "returns"], partitions: 5 });
    expect(await bus.streams.info("orders")).toMatchObject({
      name: "orders",
      topics: ["orders.>", "returns"],
      partitions: 5,
    });
    expect((await bus.streams.info("events")).partitions).toBe(16);
    expect([(await bus.publishTopic("returns", 1)).stream, (await bus.publishTopic("return", 1)).stream]).toEqual([
      "orders",
      "events",
    ]);
  });

  it("option: StreamOptions.maxAgeMs lets go what is older, handled or not, and says what was not", async () => {
    await using bus = await onStream({ maxAgeMs: 100 });
    const lost: string[] = [];
    bus.onStatus((status) => {
      if (status.type === "messages-lost") lost.push(status.reason);
    });
    const open = gate();
    const seen = new Seen();
    await bus.subscribe(Tick, (event) => (seen.handle(event), open.opened), {
      group: "g",
      concurrency: 1,
      order: "none",
    });
    await fill(bus, 10);
    await until(async () => (await bus.streams.info("events")).messages === 0, "the end of them");
    open.open();
    await until(() => lost.length > 0, "that it is said");
  });

  it("option: StreamOptions.maxMessages refuses what is too many", async () => {
    await using bus = await onStream({ maxMessages: 3 });
    await heldBack(bus);
    await fill(bus, 3);
    expect(await failureOf(bus.publish(Tick, { n: 4 }, { timeoutMs: 200 }))).toMatchObject({ outcome: "rejected" });
    expect((await bus.streams.info("events")).messages).toBe(3);
  });

  it("option: StreamOptions.maxBytes refuses what is too large together", async () => {
    await using bus = await onStream({ maxBytes: 3_000 });
    await heldBack(bus);
    await bus.publishTopic("tick", "x".repeat(2_000));
    expect(await failureOf(bus.publishTopic("tick", "x".repeat(2_000), { timeoutMs: 200 }))).toMatchObject({
      outcome: "rejected",
    });
  });

  it("option: StreamOptions.whenFull drops the oldest, or lets the publish wait, instead of refusing", async () => {
    await using dropping = await onStream({ maxMessages: 3, whenFull: "drop-oldest" });
    await heldBack(dropping);
    await fill(dropping, 5);
    const seen = new Seen();
    await dropping.subscribe(Tick, seen.handle, { group: "slow" });
    await until(() => seen.count === 3, "the newest");
    expect(seen.numbers).toEqual([2, 3, 4]);

    await using waiting = await onStream({ maxMessages: 3, whenFull: "wait" });
    await heldBack(waiting);
    await fill(waiting, 3);
    let stored = false;
    const fourth = waiting.publish(Tick, { n: 3 }).then(() => (stored = true));
    await silence(() => Number(stored), "stored above the bound", 30);
    await waiting.subscribe(Tick, () => undefined, { group: "slow" });
    await fourth;
  });

  it("option: StreamOptions.idleGroupMs is how long a group without a member holds anything back", async () => {
    await using patient = await onStream({ maxMessages: 3 });
    await heldBack(patient);
    await fill(patient, 3);
    await using bus = await onStream({ maxMessages: 3, idleGroupMs: 60 });
    await heldBack(bus);
    await fill(bus, 3);
    await until(
      () =>
        bus.publish(Tick, { n: 4 }, { timeoutMs: 50 }).then(
          () => true,
          () => false,
        ),
      "room",
    );
    // its group has been away for longer
    expect(await failureOf(patient.publish(Tick, { n: 4 }, { timeoutMs: 50 }))).toMatchObject({ outcome: "rejected" });
  });

  it("option: StreamOptions.replicas above one is refused where there is no cluster", async () => {
    await using bus = await onMemory();
    expect(await failureOf(bus.streams.ensure({ name: "orders", topics: ["orders.>"], replicas: 2 }))).toMatchObject({
      code: "BUS_UNSUPPORTED",
    });
    expect(await bus.streams.ensure({ name: "orders", topics: ["orders.>"], replicas: 1 })).toBe("created");
  });
});

describe("the options of the memory driver", () => {
  const on = (options: MemoryOptions): Promise<Bus> =>
    connect({ driver: memory(options), streams: [{ name: "events", topics: [">"], partitions: 1 }] });

  it("option: MemoryOptions.name shares one store among the buses of a process", async () => {
    const name = fresh("store");
    await using one = await on({ name });
    await using two = await on({ name });
    await using other = await on({});
    await one.publish(Tick, { n: 1 });
    expect((await two.streams.info("events")).messages).toBe(1);
    expect((await other.streams.info("events")).messages).toBe(0);
  });

  it("option: MemoryOptions.encode false hands over what was published as it is", async () => {
    const sameObject = async (encode: boolean | undefined): Promise<boolean> => {
      await using bus = await on({ encode });
      const seen = new Seen();
      await bus.subscribe(Tick, seen.handle, { group: "g" });
      const data = { n: 1 };
      await bus.publish(Tick, data);
      await until(() => seen.count === 1, "the event");
      return seen.events[0]!.data === data;
    };
    expect([await sameObject(false), await sameObject(true), await sameObject(undefined)]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it("option: MemoryOptions.maxMessages, MemoryOptions.whenFull bound a stream that does not say", async () => {
    await using bus = await on({ maxMessages: 2 });
    await heldBack(bus);
    await fill(bus, 2);
    expect(await failureOf(bus.publish(Tick, { n: 3 }, { timeoutMs: 100 }))).toMatchObject({ outcome: "rejected" });
    await using dropping = await on({ maxMessages: 2, whenFull: "drop-oldest" });
    await heldBack(dropping);
    await fill(dropping, 4);
    expect((await dropping.streams.info("events")).messages).toBe(2);
  });

  it("option: MemoryOptions.maxBytes bounds a stream that does not say", async () => {
    await using bus = await on({ maxBytes: 3_000 });
    await heldBack(bus);
    await bus.publishTopic("tick", "x".repeat(2_000));
    expect(await failureOf(bus.publishTopic("tick", "x".repeat(2_000), { timeoutMs: 100 }))).toMatchObject({
      outcome: "rejected",
    });
  });

  it("option: MemoryOptions.maxLetters forgets the oldest letter of a group, and says so", async () => {
    await using bus = await connect({ driver: memory({ maxLetters: 2 }), retry: { maxAttempts: 1 } });
    let lost = 0;
    bus.onStatus((status) => {
      if (status.type === "messages-lost") lost += 1;
    });
    await bus.subscribe(Tick, () => Promise.reject(new Error("no")), { group: "g" });
    await fill(bus, 4);
    await until(() => bus.stats().deadLettered === 4, "four letters");
    expect((await bus.deadLetters.list()).items.map(({ event }) => (event!.data as { n: number }).n).length).toBe(2);
    expect(lost).toBeGreaterThan(0);
  });
});
