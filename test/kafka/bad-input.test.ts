import { afterEach, describe, expect, it, vi } from "vitest";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { type Bus, type BusOptions, connect, defineEvent, typed } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { connectTo, groupSpec, joinGroup, outgoing, type Sent, toQueue, toTopic } from "../support/driver-harness.ts";
import { LogBook } from "../support/events.ts";
import { addPartitions, alterTopic, deleteTopic, makeForeignTopic, writeForeign } from "../support/foreign-kafka.ts";
import { freshPrefix } from "../support/kafka-session.ts";
import { testBroker } from "../support/test-broker.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const broker = await testBroker("kafka", { own: true });
const closing: (() => Promise<unknown>)[] = [];
const item = defineEvent("item", { schema: typed<{ readonly n: number }>() });
const one = [{ name: "events", topics: [">"], partitions: 1 }];

async function bus(prefix: string, more: BusOptions = {}): Promise<Bus> {
  const made = await connect({ driver: kafka({ brokers: broker!.url }), prefix, streams: one, ...more });
  closing.push(() => made.close({ timeoutMs: 500 }));
  return made;
}

async function open(prefix = freshPrefix()) {
  const { connection } = await connectTo(kafka({ brokers: broker!.url }), { prefix });
  closing.push(() => connection.close(AbortSignal.timeout(500)));
  await connection.ensureStream({ name: "events", topics: [">"], partitions: 1 });
  const send = async (sent: readonly Sent[]): Promise<readonly string[]> => {
    connection.send(sent.map(({ message }) => message));
    await until(() => sent.every(({ outcome }) => outcome !== "waiting"), "all to complete", 20_000);
    return sent.map(({ outcome }) => outcome);
  };
  return { connection, send, prefix };
}

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

describe.skipIf(broker === undefined)("bad input to kafka", () => {
  it("a topic that is there with another partition count is refused by both numbers, and at once", async () => {
    for (const [there, wanted] of [
      [3, 8],
      [8, 3],
    ] as const) {
      const prefix = freshPrefix();
      await makeForeignTopic(broker!, `${prefix}.s.events`, there);
      const from = performance.now();
      await expect(
        bus(prefix, { streams: [{ name: "events", topics: [">"], partitions: wanted }] }),
      ).rejects.toMatchObject({
        code: "BUS_CONFLICT",
        message: expect.stringMatching(new RegExp(`${there} partitions.*${wanted}`)),
      });
      expect(performance.now() - from).toBeLessThan(5_000);
    }
  });

  it("a topic that is there and compacted is refused by that name: it would lose events", async () => {
    const prefix = freshPrefix();
    const topic = `${prefix}.s.events`;
    await makeForeignTopic(broker!, topic, 1);
    await alterTopic(broker!, topic, "cleanup.policy", "compact,delete");
    const opening = (): Promise<Bus> => bus(prefix, { streams: [{ name: "events", topics: [">"], partitions: 1 }] });
    await expect(opening()).rejects.toMatchObject({
      code: "BUS_CONFLICT",
      message: expect.stringMatching(/"cleanup.policy" "compact,delete"/),
    });
    await alterTopic(broker!, topic, "cleanup.policy", "delete");
    await (await opening()).publish(item, { n: 1 });
  });

  it("a topic that is there with as many partitions is taken as it is, with what is in it", async () => {
    const prefix = freshPrefix();
    await makeForeignTopic(broker!, `${prefix}.s.events`, 1);
    await writeForeign(broker!, `${prefix}.s.events`, [{ value: "theirs" }]);
    const mine = await bus(prefix, { retry: { maxAttempts: 1 } });
    const handled: number[] = [];
    await mine.subscribe(item, ({ data }) => void handled.push(data.n), { group: "g" });
    await mine.publish(item, { n: 1 });
    await until(() => handled.length === 1, "ours");
  });

  it("partitions that were added to a topic change no key's place, and are said once", async () => {
    const prefix = freshPrefix();
    await bus(prefix, { streams: [{ name: "events", topics: [">"], partitions: 2 }] });
    await addPartitions(broker!, `${prefix}.s.events`, 5);
    const logger = new LogBook();
    const mine = await bus(prefix, { logger, streams: [{ name: "events", topics: [">"], partitions: 2 }] });
    const said = logger.lines.filter(({ message }) => message.includes("5 partitions"));
    expect(said.map(({ level }) => level)).toEqual(["warn"]);
    const handled: number[] = [];
    await mine.subscribe(item, ({ data }) => void handled.push(data.n), { group: "g" });
    for (let n = 0; n < 12; n += 1) await mine.publish(item, { n }, { key: `k${n}` });
    await until(() => handled.length === 12, "all");
    expect((await mine.streams.info("events")).partitions).toBe(2);
  });

  it("a topic deleted under publisher, group and tail is made again, said as a loss, and everybody goes on", async () => {
    const prefix = freshPrefix();
    const mine = await bus(prefix);
    const losses: string[] = [];
    mine.onStatus((status) => void (status.type === "messages-lost" && losses.push(status.stream)));
    const [handled, seen]: [number[], number[]] = [[], []];
    const slow = Promise.withResolvers<void>();
    await mine.subscribe(
      item,
      async ({ data }) => {
        if (data.n === 1) await slow.promise;
        handled.push(data.n);
      },
      { group: "g", concurrency: 1 },
    );
    await mine.subscribe(item, ({ data }) => void seen.push(data.n));
    for (const n of [0, 1]) await mine.publish(item, { n });
    await until(() => handled.includes(0) && seen.length === 2, "the first to be handled");
    await deleteTopic(broker!, `${prefix}.s.events`);
    await until(() => losses.includes('group "g"'), "the group to be told", 20_000);
    slow.resolve();
    let n = 100;
    await until(
      async () => {
        await mine.publish(item, { n: (n += 1) }).catch(() => undefined);
        return handled.some((each) => each > 100) && seen.some((each) => each > 100);
      },
      "both to go on",
      30_000,
    );
    expect(losses).toContain("events");
  });

  it("a message at the limit is stored, one above it and one above the topic's own are refused alone", async () => {
    const { connection, send, prefix } = await open();
    const most = connection.capabilities.maxMessageBytes!;
    const at = outgoing(toTopic("a"), "", { body: Buffer.alloc(most, "x") });
    const above = outgoing(toTopic("a"), "", { body: Buffer.alloc(most + 200_000, "x") });
    expect(await send([outgoing(toTopic("a"), "1"), at, above, outgoing(toTopic("a"), "2")])).toEqual([
      "stored",
      "stored",
      "no",
      "stored",
    ]);
    expect(above.error).toMatchObject({ code: "BUS_TOO_LARGE" });
    await alterTopic(broker!, `${prefix}.s.events`, "max.message.bytes", "2000");
    const large = outgoing(toTopic("a"), "", { body: Buffer.alloc(5_000, "x") });
    await until(async () => {
      const [outcome] = await send([outgoing(toTopic("a"), "", { body: Buffer.alloc(5_000, "x") })]);
      return outcome === "no"; // the broker takes a moment to follow its configuration
    }, "the topic to take less");
    expect(await send([outgoing(toTopic("a"), "3"), large, outgoing(toTopic("a"), "4")])).toEqual([
      "stored",
      "no",
      "stored",
    ]);
    expect(large.error).toMatchObject({ code: "BUS_TOO_LARGE", retryable: false });
  });

  it("records of another program's: the stream's name is their topic, what can't be read becomes a letter with its bytes", async () => {
    const prefix = freshPrefix();
    const mine = await bus(prefix, { retry: { maxAttempts: 1 } });
    const [handled, all]: [number[], string[]] = [[], []];
    await mine.subscribe(item, ({ data }) => void handled.push(data.n), { group: "items" });
    await mine.subscribePattern(">", ({ topic }) => void all.push(topic), { group: "all" });
    await mine.publish(item, { n: 1 });
    const cloudEvent = JSON.stringify({
      ...{ specversion: "1.0", id: "theirs", source: "/elsewhere", type: "theirs.made", data: { n: 7 } },
    });
    await writeForeign(broker!, `${prefix}.s.events`, [
      { value: "no json" },
      { key: "deleted" }, // a tombstone: no value at all
      { value: "", headers: { "some-header": "x" } },
      { value: cloudEvent, headers: { "content-type": "application/cloudevents+json" } },
      { value: "x", headers: { "omnibus-topic": "item", omnibus: "{broken" } },
    ]);
    await mine.publish(item, { n: 2 });
    await until(() => handled.length === 2, "both of ours");
    await until(() => all.filter((topic) => topic === "item").length === 2, "both of ours among all");
    await until(async () => (await mine.deadLetters.count({ group: "all" })) === 4, "letters");
    const { items } = await mine.deadLetters.list({ group: "all" });
    expect(
      items.map(({ topic, position, reason, raw }) => [topic, position, reason.code, String(Buffer.from(raw))]),
    ).toEqual([
      ["events", "events/0:1", "BUS_UNDECODABLE", "no json"],
      ["events", "events/0:2", "BUS_UNDECODABLE", ""],
      ["events", "events/0:3", "BUS_UNDECODABLE", ""],
      ["item", "events/0:5", "BUS_UNDECODABLE", "x"],
    ]);
    expect(all).toEqual(["item", "events", "item"]); // a CloudEvent of theirs is an event
    await until(async () => (await mine.deadLetters.count({ group: "items" })) > 0, "a letter of what has its topic");
    expect(await mine.deadLetters.count({ group: "items" })).toBe(1);
    expect(handled).toEqual([1, 2]);
  });

  it("names with dots, underscores, percent signs and control characters never meet", async () => {
    const { connection, send } = await open();
    const names = ["a", "a.b", "a_b", "a_2Eb", "a b", "a~b", "a%3Ab", "ä", "a\nb", "q.a", "a:0"];
    for (const name of names) await connection.ensureGroup(groupSpec(name, { patterns: ["none"] }));
    expect(new Set(await send(names.map((name) => outgoing(toQueue(name), name))))).toEqual(new Set(["stored"]));
    for (const name of names) {
      const { sink, consumption } = await joinGroup(connection, name);
      await until(() => sink.messages.length > 0, `what was sent to ${name}`, 20_000);
      expect(sink.texts).toEqual([name]);
      consumption.ack(sink.messages);
      await consumption.flush();
    }
    expect((await connection.admin.groups()).map(({ spec }) => spec.group).toSorted()).toEqual(names.toSorted());
  });

  it("topics, keys and headers of any text come back as they were", async () => {
    const { connection, send } = await open();
    await connection.ensureGroup(groupSpec("g"));
    const texts = ["%s", "a.%d.[x]", "ä.ö", "a-b_c", "x".repeat(1_000), "(a).b+?"];
    const key = "k\0\r\n{}:~ ";
    const headers = [
      ["h\n", "\0\r\n\u2028"],
      ["omnibus-topic", "mine"],
      ["omnibus", "{}"],
    ] as const;
    await send(texts.map((topic) => outgoing(toTopic(topic), topic, { key, headers })));
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === texts.length, "all", 20_000);
    expect(sink.messages.map(({ topic }) => topic).toSorted()).toEqual(texts.toSorted());
    for (const message of sink.messages) expect([message.key, message.headers()]).toEqual([key, headers]);
  });

  it("a control log that a newer version wrote is refused", async () => {
    const prefix = freshPrefix();
    await makeForeignTopic(broker!, `${prefix}.control`, 1);
    await writeForeign(broker!, `${prefix}.control`, [{ value: '{"is":"layout","version":2}' }]);
    await expect(connectTo(kafka({ brokers: broker!.url }), { prefix })).rejects.toMatchObject({
      code: "BUS_UNSUPPORTED",
    });
  });
});
