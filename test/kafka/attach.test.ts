import { afterEach, describe, expect, it, vi } from "vitest";
import { kafka, type KafkaOptions } from "../../src/drivers/kafka/index.ts";
import { systemClock } from "../../src/clock.ts";
import { changed } from "../../src/testing/changed.ts";
import { until } from "../../src/testing/until.ts";
import { connectTo } from "../support/driver-harness.ts";
import { addPartitions, deleteTopic, makeForeignTopic, writeForeign } from "../support/foreign-kafka.ts";
import { AttachWorld, collect, dataOf } from "../support/kafka-attach.ts";
import { batchesOf, freshPrefix } from "../support/kafka-session.ts";
import { testBroker } from "../support/test-broker.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const broker = await testBroker("kafka", { own: true });
const world = broker === undefined ? undefined : new AttachWorld(broker);
const slow = 20_000;
const conflict = (text: string | RegExp): object => ({
  code: "BUS_CONFLICT",
  message: expect.stringMatching(text) as string,
});

afterEach(() => world?.close());

describe.skipIf(broker === undefined)("a topic of another name at Kafka", () => {
  it("option: KafkaOptions.attach, KafkaAttachment.topic: is read and written both ways, with its past, and left as it is", async () => {
    const topic = await world!.topic(3, 2);
    const prefix = freshPrefix();
    const bus = await world!.bus({ topic }, { prefix });
    const [group, tail] = [await collect(bus, "g"), await collect(bus)];
    await until(() => group.length === 6, "the past", slow);
    await writeForeign(broker!, topic, [{ key: "k1", value: '{"n":7}' }], 1);
    await bus.publishTopic("order.paid", { n: 8 }, { key: "k1" });
    await until(() => group.length === 8 && tail.length === 2, "both", slow);
    expect(group.find(({ data }) => (data as { n: number }).n === 7)).toMatchObject({ topic, key: "k1" });
    expect(group.find(({ data }) => (data as { n: number }).n === 8)).toMatchObject({ topic: "order.paid", key: "k1" });
    expect(await bus.streams.info("orders")).toMatchObject({ partitions: 3, messages: 8, groups: ["g"] });

    // others read plain JSON, and nothing of ours is there beside it
    const stored: string[] = [];
    for (let partition = 0; partition < 3; partition += 1)
      for (const { records } of await batchesOf(broker!, topic, partition))
        stored.push(...records.map(({ value }) => String(value)));
    expect(stored).toContain('{"n":8}');
    await expect(batchesOf(broker!, `${prefix}.s.orders`)).rejects.toThrow(/error/);
    await expect(bus.streams.trim("orders", new Date())).rejects.toMatchObject(conflict(/trim/));
    await expect(bus.streams.delete("orders")).rejects.toMatchObject(conflict(/delete/));
    expect((await bus.streams.info("orders")).messages).toBe(8);
  });

  it("what has no header of ours has the stream's topic, the topic's name if the stream captures it, or the stream's name", async () => {
    for (const [topics, wanted] of [
      [["order.>", "rest"], () => "rest"],
      [["shop.>"], (topic: string) => topic],
      [["order.>"], () => "orders"],
    ] as const) {
      const topic = await world!.topic(1, 1);
      const bus = await world!.bus({ topic }, { topics });
      const handled = await collect(bus, "g");
      await until(() => handled.length === 1, "it", slow);
      expect(handled[0]!.topic).toBe(wanted(topic));
    }
  });

  it("option: KafkaAttachment.topicHeader: is where others say the event's topic, and where it is told them", async () => {
    const topic = await world!.topic(1);
    const bus = await world!.bus({ topic, topicHeader: "type" }, { topics: ["order.>", "rest"] });
    const absent = await bus.subscribePattern("order.*", () => undefined, { group: "absent", order: "none" });
    await absent.unsubscribe();
    const [placed, rest] = [await collect(bus, "placed", "order.*"), await collect(bus, "rest", "rest")];
    await writeForeign(broker!, topic, [
      { value: "1", headers: { type: "order.placed" } },
      { value: "2", headers: { kind: "order.placed" } },
      { value: "3", headers: { type: "order.lost.late" } },
    ]);
    await bus.publishTopic("order.paid", 4);
    await until(() => placed.length === 2 && rest.length === 1, "each its own", slow);
    expect(placed.map(({ topic: of, data }) => [of, data])).toEqual([
      ["order.placed", 1],
      ["order.paid", 4],
    ]);
    expect(rest.map(({ topic: of, data }) => [of, data])).toEqual([["rest", 2]]);
    await until(async () => {
      const { waiting, inFlight } = await bus.groups.info("placed");
      return waiting === 0 && inFlight === 0;
    }, "it to be counted");
    expect(await bus.groups.info("absent")).toMatchObject({ waiting: 2 });
    const records = (await batchesOf(broker!, topic)).flatMap((batch) => batch.records);
    const { headers } = records.at(-1) as unknown as { readonly headers: readonly (readonly [Buffer, Buffer])[] };
    expect(headers.map(([name, value]) => `${String(name)}=${String(value)}`)).toContain("type=order.paid");
  });

  it("a message that fails keeps its id, and one that is none becomes a letter with its bytes", async () => {
    const topic = await world!.topic(2);
    const bus = await world!.bus({ topic }, { topics: ["orders"] });
    const ids: string[] = [];
    await bus.subscribePattern(
      "orders",
      ({ id, data }) => {
        ids.push(id);
        if (data === "fails" && ids.length <= 2) throw new Error("twice");
      },
      { group: "g", order: "none" },
    );
    await writeForeign(broker!, topic, [{ key: "k", value: '"fails"' }], 1);
    await until(async () => (await bus.deadLetters.count({ group: "g" })) === 1, "a letter after two attempts", slow);
    const [letter] = (await bus.deadLetters.list({ group: "g" })).items;
    await bus.deadLetters.replay(letter!.id);
    await until(() => ids.length === 3, "the replay", slow);
    expect(ids).toEqual(["orders/1@0", "orders/1@0", "orders/1@0"]);
    await writeForeign(broker!, topic, [{ value: "no json" }, { key: "deleted" }]); // the second has no value at all
    await until(async () => (await bus.deadLetters.count({ group: "g" })) === 2, "letters", slow);
    const { items } = await bus.deadLetters.list({ group: "g" });
    expect(items.map(({ position, raw }) => [position, String(Buffer.from(raw!))])).toEqual([
      ["orders/0:0", "no json"],
      ["orders/0:1", ""],
    ]);
  });

  it("what is published for later comes there when it is due", async () => {
    const topic = await world!.topic(1);
    const bus = await world!.bus({ topic });
    const handled = await collect(bus, "g");
    await bus.publishTopic("order.paid", 1, { delayMs: 300 });
    await until(() => handled.length === 1, "it", slow);
    expect((await batchesOf(broker!, topic)).flatMap(({ records }) => records)).toHaveLength(1);
  });

  it("one that is not there is said by its name, made by nobody, and what would change it is refused", async () => {
    const topic = `missing.${freshPrefix()}`;
    const from = performance.now();
    await expect(world!.bus({ topic })).rejects.toMatchObject({
      code: "BUS_NOT_FOUND",
      message: expect.stringContaining(`"${topic}"`) as string,
    });
    expect(performance.now() - from).toBeLessThan(5_000);
    await expect(batchesOf(broker!, topic)).rejects.toThrow(/error/);
    const there = await world!.topic(3);
    for (const [name, value] of [
      ["maxAgeMs", 60_000],
      ["maxBytes", 1_000_000],
      ["maxMessages", 5],
      ["replicas", 1],
      ["whenFull", "reject"],
    ] as const)
      await expect(
        world!.bus({ topic: there }, { streams: [{ name: "orders", topics: [">"], [name]: value }] }),
      ).rejects.toMatchObject(conflict(new RegExp(`leave out "${name}"`)));
    await expect(world!.bus({ topic: there }, { partitions: 5 })).rejects.toMatchObject(
      conflict(/3 partitions, and not 5/),
    );
    await world!.bus({ topic: there }, { partitions: 3 });
  });

  it("partitions that are added later are read from their beginning, by who is there and by who comes", async () => {
    const topic = await world!.topic(2);
    const prefix = freshPrefix();
    const first = await world!.bus({ topic }, { prefix });
    const newest = await world!.bus({ topic }, { prefix, partitions: 2 });
    const [group, tail] = [await collect(first, "g"), await collect(newest)];
    await newest.subscribePattern(">", ({ data }) => void late.push(data), { group: "late", from: "newest" });
    const late: unknown[] = [];
    await addPartitions(broker!, topic, 4);
    await writeForeign(broker!, topic, [{ value: '"before anybody knew"' }], 3);
    const joining = await world!.bus({ topic }, { prefix }); // who comes looks; who is there looks every half minute
    await until(() => group.length === 1 && tail.length === 1 && late.length === 1, "it", slow);
    expect((await first.streams.info("orders")).partitions).toBe(4);
    await writeForeign(broker!, topic, [{ value: '"since"' }], 2);
    await joining.publishTopic("order.paid", "ours");
    await until(() => group.length === 3 && tail.length === 3 && late.length === 3, "what came since", slow);
    expect(dataOf(group)).toEqual(expect.arrayContaining(["before anybody knew", "since", "ours"]));
    await world!.bus({ topic }, { prefix, partitions: 2 }); // as it stands in somebody's options since before
    await expect(world!.bus({ topic }, { prefix, partitions: 5 })).rejects.toMatchObject(conflict(/partitions/));
  });

  it("partitions that are added later are looked for by who is there, each half minute", async () => {
    const topic = await world!.topic(1);
    const quick = changed(systemClock, {
      after: (ms, work) => systemClock.after(ms > 20_000 ? ms / 60 : ms, work),
    });
    const driver = kafka({ brokers: broker!.url, attach: { orders: { topic } } });
    const { connection } = await connectTo(driver, { prefix: freshPrefix(), clock: quick });
    world!.closing.push(() => connection.close(AbortSignal.timeout(1_000)));
    await connection.ensureStream({ name: "orders", topics: [">"] });
    await addPartitions(broker!, topic, 3);
    const partitions = async (): Promise<number | undefined> => (await connection.admin.streams())[0]?.partitions;
    await until(async () => (await partitions()) === 3, "them to be known", slow);
  });

  it("one that is deleted is not made again", async () => {
    const topic = await world!.topic(2);
    const prefix = freshPrefix();
    const first = await world!.bus({ topic }, { prefix });
    const bus = await world!.bus({ topic }, { prefix });
    const handled = await collect(bus, "g");
    await deleteTopic(broker!, topic);
    await until(
      () =>
        first.publishTopic("a", 1).then(
          () => false,
          (error: unknown) => (error as { readonly code?: unknown }).code === "BUS_NOT_FOUND",
        ),
      "publishing to be refused",
      slow,
    );
    await expect(world!.bus({ topic }, { prefix })).rejects.toMatchObject({ code: "BUS_NOT_FOUND" });
    await makeForeignTopic(broker!, topic, 2);
    await writeForeign(broker!, topic, [{ value: '"new"' }], 1);
    await until(() => dataOf(handled).includes("new"), "what is in the one that was made again", 30_000);
  });

  it("one that is attached already is found by a bus that doesn't say so, and refused as another", async () => {
    const [topic, other] = [await world!.topic(1, 1), await world!.topic(1)];
    const prefix = freshPrefix();
    await world!.bus({ topic }, { prefix });
    const silent = await world!.bus(undefined, { prefix });
    const handled = await collect(silent, "g");
    await until(() => handled.length === 1, "what is there", slow);
    await expect(world!.bus({ topic: other }, { prefix })).rejects.toMatchObject(conflict(topic));
    await expect(world!.bus({ topic, topicHeader: "type" }, { prefix })).rejects.toMatchObject(conflict(/"type"/));
    const second = { attach: { more: { topic } }, streams: [{ name: "more", topics: ["more"] }] };
    await expect(world!.bus(undefined, { prefix, ...second })).rejects.toMatchObject(conflict(/orders already/));
    const own = freshPrefix();
    await world!.bus(undefined, { prefix: own, partitions: 1 });
    await expect(world!.bus({ topic }, { prefix: own })).rejects.toMatchObject(conflict(/a topic of its own/));
    await expect(
      world!.bus(undefined, {
        prefix: own,
        attach: { more: { topic: `${own}.s.orders` } },
        streams: [{ name: "more", topics: ["more"] }],
      }),
    ).rejects.toMatchObject(conflict(/the driver makes/));
  });

  it("a bus that doesn't attach it any more may forget it, the topic stays, and a group goes on when it is attached again", async () => {
    const topic = await world!.topic(1, 3);
    const prefix = freshPrefix();
    const first = await world!.bus({ topic }, { prefix });
    const before = await collect(first, "g");
    await until(() => before.length === 3, "what is there", slow);
    await first.close();
    const silent = await world!.bus(undefined, { prefix });
    expect(await silent.streams.delete("orders")).toBe(true);
    await silent.close();
    await writeForeign(broker!, topic, [{ value: "4" }]);
    const again = await world!.bus({ topic, topicHeader: "type" }, { prefix });
    const handled = await collect(again, "g");
    await until(() => handled.length > 0, "the new one", slow);
    await again.publishTopic("a", 5);
    await until(() => handled.length > 1, "ours", slow);
    expect(dataOf(handled)).toEqual([4, 5]);
  });

  it("manage: verify and off know one that is attached, and say where it is not", async () => {
    const topic = await world!.topic(1);
    const prefix = freshPrefix();
    await world!.bus({ topic }, { prefix });
    for (const manage of ["verify", "off"] as const) {
      const handled = await collect(await world!.bus({ topic }, { prefix, manage }));
      await writeForeign(broker!, topic, [{ value: "1" }]);
      await until(() => handled.length === 1, "what comes", slow);
    }
    await expect(world!.bus({ topic: `${topic}.x` }, { prefix, manage: "verify" })).rejects.toMatchObject(
      conflict(topic),
    );
    await deleteTopic(broker!, topic);
    await expect(world!.bus({ topic }, { prefix, manage: "verify" })).rejects.toMatchObject({ code: "BUS_NOT_FOUND" });
  });

  it("what is wrong with the options is said by its name", () => {
    for (const [attach, text] of [
      [{ a: { topic: "x y" } }, /"attach" of "a": "topic" must be a name/],
      [{ a: { topics: "x" } }, /did you mean "topic"/],
      [{ a: {} }, /"attach" of "a" needs "topic"/],
      [{ a: { topic: "x", topicHeader: "" } }, /"topicHeader" must be/],
      [{ a: { topic: "x", groups: { g: "" } } }, /"groups" must be/],
      [{ a: { topic: "x" }, b: { topic: "x" } }, /attached to "a" already/],
      [{ a: { topic: "x", groups: { g: "1" } }, b: { topic: "y", groups: { g: "2" } } }, /two names/],
      [{ a: { topic: "x", groups: { g: "1", h: "1" } } }, /can't have one name/],
    ] as const)
      expect(() => kafka({ attach } as unknown as KafkaOptions)).toThrow(text);
  });
});
