import { describe, expect, it } from "vitest";
import { type BusStatus, connect, defineEvent, type typed } from "../../src/index.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { silence, until } from "../../src/testing/until.ts";
import { failureOf, fresh, gate, Keyed, onFaulty, Seen, Tick, Tock } from "../support/events.ts";
import { Fault, FaultyDriver } from "../support/faulty-driver.ts";
import { tapped } from "../support/tapped-driver.ts";

describe("a handler that leaves its group", () => {
  it("leaves no member without handlers when the one that joined meanwhile fails", async () => {
    const name = fresh("store");
    const driver = new FaultyDriver(memory({ name }));
    let joining: Promise<void> | undefined = undefined;
    driver.afterConnect = (connection) => {
      const ensureGroup = connection.ensureGroup.bind(connection);
      connection.ensureGroup = async (spec) => {
        if (joining === undefined) return ensureGroup(spec);
        await joining;
        throw new Fault("no right");
      };
    };
    await using bus = await connect({ driver });
    await using other = await connect({ driver: memory({ name }) });
    const seen = new Seen();
    await other.subscribe(Keyed, seen.handle, { group: "g" });
    const leaving = await bus.subscribe(Keyed, () => undefined, { group: "g" });
    const held = gate();
    joining = held.opened;
    const failure = failureOf(bus.subscribe(Tock, () => undefined, { group: "g" }));
    await leaving.unsubscribe();
    held.open();
    expect(await failure).toMatchObject({ code: "BUS_CONNECTION" });
    await until(async () => (await other.groups.info("g")).members.length === 1, "that it has left", 3_000);
    for (let n = 0; n < 40; n += 1) await other.publish(Keyed, { of: `k${n}`, n });
    await until(() => seen.count === 40, "all of them");
  });

  it("runs no event whose schema answers after it has left", async () => {
    const asked: (() => void)[] = [];
    const schema = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value: unknown) => new Promise((resolve) => asked.push(() => resolve({ value }))),
      },
    } as unknown as ReturnType<typeof typed<{ readonly n: number }>>;
    const name = fresh("store");
    await using publisher = await connect({ driver: memory({ name }) });
    await using bus = await connect({ driver: memory({ name }), validate: "receive" });
    const [gone, seen] = [new Seen(), new Seen()];
    const leaving = await bus.subscribe(defineEvent("tick", { schema }), gone.handle, { group: "g" });
    await bus.subscribe(Tick, seen.handle, { group: "g" });
    await publisher.publish(Tick, { n: 1 });
    await until(() => asked.length === 1, "the schema");
    await leaving.unsubscribe();
    asked[0]!();
    await until(() => seen.count > 0, "the other handler");
    await silence(() => gone.count, "run after it had left", 40);
    expect(gone.count).toBe(0);
  });

  it("runs no suspect whose note is written after it has left", async () => {
    const name = fresh("store");
    await using keep = await connect({ driver: memory({ name }) });
    const dying = new FaultyDriver(memory({ name }));
    const options = { group: "g", order: "none" } as const;
    const dead = await connect({ driver: dying, reconnect: { minMs: 60_000, maxMs: 60_000 } });
    const began = gate();
    await dead.subscribe(Tick, () => (began.open(), new Promise(() => undefined)), options);
    await keep.publish(Tick, { n: 1 });
    await began.opened;
    await dying.last("group").end(); // given back as delivered once
    const [noting, noted] = [gate(), gate()];
    const driver = tapped(
      {
        consumption: (consumption) => ({
          record: async (notes) => {
            noting.open();
            await noted.opened;
            return consumption.record(notes);
          },
        }),
      },
      memory({ name }),
    );
    await using bus = await connect({ driver });
    const gone = new Seen();
    await bus.subscribe(Tock, () => undefined, options);
    const leaving = await bus.subscribe(Tick, gone.handle, options);
    await noting.opened;
    await leaving.unsubscribe();
    noted.open();
    await silence(() => gone.count, "run after it had left", 60);
    expect(gone.count).toBe(0);
    await dead.close({ timeoutMs: 20 });
  });
});

describe("a subscriber without a group that ends while the tail of a new stream is opened for it", () => {
  it("is in nothing afterwards", async () => {
    const { bus, driver } = await onFaulty({ streams: [{ name: "one", topics: ["one.>"] }] });
    await using _ = bus;
    const lost: BusStatus[] = [];
    bus.onStatus((status) => status.type === "messages-lost" && lost.push(status));
    const subscription = await bus.subscribePattern(">", () => undefined, { bufferSize: 2 });
    const open = gate();
    driver.consumeGate = open.opened;
    const openings = driver.consumeTimes.length;
    const ensuring = bus.streams.ensure({ name: "two", topics: ["two.>"] });
    await until(() => driver.consumeTimes.length > openings, "that its tail is being opened");
    await subscription.unsubscribe();
    open.open();
    await ensuring;
    for (let n = 0; n < 10; n += 1) await bus.publishTopic("two.x", { n });
    await silence(() => bus.stats().delivered, "delivered to it", 40);
    expect([bus.stats().delivered, lost]).toEqual([0, []]);
  });
});
