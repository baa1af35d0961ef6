import { describe, expect, it } from "vitest";
import { defineEvent, typed, type Bus } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { type BusWorld, freshName, natsWorld, openBus, redisWorld } from "../support/broker-worlds.ts";
import { kafkaWorld, postgresWorld, rabbitWorld } from "../support/further-worlds.ts";
import { failureOf, fresh, Seen, stillWorks, Tick } from "../support/events.ts";

const worlds: readonly BusWorld[] = [
  await natsWorld(),
  await redisWorld(),
  await postgresWorld(),
  await rabbitWorld(),
  await kafkaWorld(),
];

/** What everything of a bus is called at the broker. */
const shapes: Readonly<Record<BusWorld["name"], RegExp>> = {
  nats: /^(KV_)?[^=]+(=[a-z]+)*$/,
  redis: /^\{[^{}]+\}(:|$)/,
  postgres: /^u[\d-]+(-b)?_\w+$/,
  rabbitmq: /^u[\d-]+(-b)?(\.[a-z](\.[\w=-]+)*)?$/,
  kafka: /^u[\d-]+(-b)?\.[\w.-]+$/,
};

/** Commands, wildcards, blanks, what brokers keep for themselves, too much of it: rows 1 to 8 and 10 of the matrix. */
const noTopics: readonly unknown[] = [
  ...["", undefined, null, 7, {}, Symbol("a"), ["a"]],
  ...["a b", " a", "a ", "a\tb", "a\rb", "a\nb", "a\r\nPUB x 0", "a\r\n*1\r\n$8\r\nFLUSHALL\r\n"],
  ...["a\0b", "a\vb", "a\u00a0b", "a\u2028b", "a\u200bb", "a\u202eb", "\ud800", "\udc00a"],
  ...["a..b", ".a", "a.", ".", "..", "a/b", "a\\b", "a:b", "-a", "{a}", "a{b", "a}b", "a~b", "a%b", "a=b"],
  ...["*", ">", "a.*", "a.>", "*.a", "#", "a.#", "a*b", "**", "a.>.b", "a?", "[a]"],
  ...[
    "$JS.API.STREAM.DELETE.X",
    "$JS.ACK.x",
    "$SYS.x",
    "$KV.x.y",
    "$O.x",
    "_INBOX.x",
    "amq.topic",
    "__consumer_offsets",
  ],
  ...["x".repeat(256), "é".repeat(128), "a.".repeat(20) + "a", "x".repeat(1_000_000), "E\u0301"],
];
/** As names of groups, streams and prefixes, which are parts of names at the broker. */
const noNames: readonly unknown[] = [
  ...["", null, 7, {}, " ", "a b", "a.b", "*", ">", "a*", "a.>", "$JS", "$JS.API", "_INBOX.x", "a\r\nPUB x 0", "a\0b"],
  ...["{", "}", "{a}", "a{b}c", "a:b", "a~b", "a=b", "a/b", "..", "../x", "a\\b", "-a", "é", "x".repeat(101)],
];
const show = (value: unknown): string =>
  typeof value === "string" ? JSON.stringify(value).slice(0, 30) : String(value);

describe.each(worlds)("bad input at $name", (world) => {
  describe.skipIf(world.broker === undefined)("is refused or carried", () => {
    it("a topic or pattern that is none reaches no server", async () => {
      const bus = await openBus(world);
      const accepted: string[] = [];
      for (const topic of noTopics) {
        const { code } = await failureOf((async () => bus.publishTopic(topic as string, {}))());
        if (code !== "BUS_INVALID_TOPIC" && code !== "BUS_INVALID_OPTION") accepted.push(`${show(topic)}: ${code}`);
      }
      const patterns = noTopics.filter((topic) => !["*", ">", "a.*", "a.>", "*.a"].includes(topic as string));
      for (const pattern of [...patterns, ">.a", "a.>.>"]) {
        const subscribing = (async () => bus.subscribePattern(pattern as string, () => undefined, { group: "p" }))();
        const { code } = await failureOf(subscribing);
        if (code !== "BUS_INVALID_TOPIC" && code !== "BUS_INVALID_OPTION") accepted.push(`${show(pattern)}: ${code}`);
      }
      expect(accepted).toEqual([]);
      expect((await bus.streams.info("events")).messages).toBe(0);
      expect(await bus.groups.list()).toEqual([]);
      await stillWorks(bus);
    });

    it("a name that is none makes nothing at the server", async () => {
      const bus = await openBus(world);
      const accepted: string[] = [];
      const tried: readonly (readonly [string, (name: string) => unknown])[] = [
        ["prefix", (prefix) => openBus(world, { prefix })],
        ["stream", (name) => openBus(world, { streams: [{ name, topics: ["x"] }] })],
        ["ensured stream", (name) => bus.streams.ensure({ name, topics: ["x"] })],
        ["group", (group) => bus.subscribe(Tick, () => undefined, { group })],
        [
          "batch's group",
          (group) => bus.subscribeBatch(Tick, async () => undefined, { group, maxSize: 1, maxAgeMs: 1 }),
        ],
        ["pull's group", (group) => bus.pull(Tick, { group })],
      ];
      for (const [what, attempt] of tried)
        for (const name of noNames) {
          const { code } = await failureOf((async () => attempt(name as string))());
          if (code !== "BUS_INVALID_OPTION") accepted.push(`${what} ${show(name)}: ${code}`);
        }
      expect(accepted).toEqual([]);
      expect(await bus.groups.list()).toEqual([]);
      expect((await bus.streams.list()).map(({ name }) => name)).toEqual(["events"]);
      await stillWorks(bus);
    });

    it(
      "names that are only unusual don't meet, and nothing lies outside of the prefix",
      { timeout: 90_000 },
      async () => {
        const prefix = freshName("u");
        const bus = await openBus(world, { prefix });
        const names = [
          "constructor",
          "__proto__",
          "toString",
          "s",
          "q",
          "A",
          "a",
          "a-b",
          "a_b",
          "0",
          "_INBOX",
          "events",
        ];
        const seen = new Map(names.map((name) => [name, new Seen()]));
        for (const [group, { handle }] of seen) await bus.subscribe(Tick, handle, { group });
        const other = await openBus(world, { prefix: `${prefix}-b` });
        await other.publish(Tick, { n: 2 });
        await bus.publish(Tick, { n: 1 });
        for (const [name, each] of seen)
          await until(
            () => each.count > 0,
            () => `the event in ${name}`,
            10_000,
          );
        expect([...seen].map(([, each]) => each.numbers)).toEqual(names.map(() => [1]));
        expect((await bus.groups.list()).map(({ group }) => group).toSorted()).toEqual(names.toSorted());
        expect(await other.groups.list()).toEqual([]);
        const theirs = await world.namesOf(prefix);
        expect(theirs.length).toBeGreaterThan(2);
        expect(theirs.filter((name) => !shapes[world.name].test(name))).toEqual([]);
      },
    );

    it.each(["structured", "binary"] as const)(
      "ids, keys and metadata of any text come as they were: %s",
      async (mode) => {
        const bus = await openBus(world, { wire: { mode } });
        const seen = new Seen();
        await bus.subscribePattern(">", seen.handle, { group: "g" });
        const texts = [
          " lead ",
          "%",
          "%zz",
          "%20",
          "a: b",
          "ключ",
          "{tag}",
          "$JS.ACK.x",
          "_INBOX.x",
          "*",
          "a.>",
          "-rf",
          "..",
          "😀",
        ];
        const metadata = {
          "Nats-Msg-Id": "mine",
          "Nats-Expected-Stream": "nowhere",
          "Nats-Rollup": "all",
          "Omnibus-Key": "x",
          "omnibus-done": "everybody",
          t: "a\r\nb",
          A: " ",
          a: "",
          __proto__x: "\0",
        };
        for (const [at, key] of texts.entries())
          await bus.publishTopic(["constructor", "é.ß", "s.0", "A.a"][at % 4]!, at, {
            key,
            id: `${key}/${at}`,
            metadata,
          });
        await until(
          () => seen.count === texts.length,
          () => `${seen.count} of ${texts.length}`,
          10_000,
        );
        const got = seen.events
          .map(({ id, key, data }) => [data, key, id])
          .toSorted(([a], [b]) => Number(a) - Number(b));
        expect(got).toEqual(texts.map((key, at) => [at, key, `${key}/${at}`]));
        for (const event of seen.events) expect({ ...event.metadata }).toEqual(metadata);
        expect((await bus.streams.info("events")).messages).toBe(texts.length);
      },
    );

    it("data that is awkward comes as it was, and what is no data is refused", async () => {
      const bus = await openBus(world);
      const got: unknown[] = [];
      const Any = defineEvent("any", { schema: typed<unknown>() });
      await bus.subscribe(Any, ({ data }) => void got.push(data), { group: "g" });
      const good = [null, "", 0, [], {}, "\0\r\n\u2028", "\u{1f680}é", { "": 1 }, [[[[]]]], "x".repeat(100_000)];
      for (const data of good) await bus.publish(Any, data);
      let deep: unknown = 1;
      for (let level = 0; level < 20_000; level += 1) deep = [deep];
      const cyclic: Record<string, unknown> = {};
      cyclic["self"] = cyclic;
      const bad: readonly unknown[] = [() => 1, Symbol("a"), 1n, deep, cyclic, Number.NaN, new Map(), /a/, "\ud800"];
      const accepted: string[] = [];
      for (const data of bad) {
        const { code } = await failureOf((async () => bus.publish(Any, data))());
        if (code !== "BUS_INVALID_DATA" && code !== "BUS_TOO_LARGE") accepted.push(`${typeof data}: ${code}`);
      }
      expect(accepted).toEqual([]);
      await until(
        () => got.length === good.length,
        () => `${got.length}`,
        10_000,
      );
      expect(got).toEqual(expect.arrayContaining(good));
    });

    it("two buses of one prefix that want other streams are told, or agree", async () => {
      const prefix = freshName("t");
      const events = { name: "events", topics: [">"], partitions: 4 };
      const first = await openBus(world, { prefix, streams: [{ ...events, maxMessages: 1_000 }] });
      const code = async (streams: readonly object[]): Promise<string> =>
        (await failureOf(openBus(world, { prefix, streams: streams as never }))).code;
      expect(await code([{ ...events, partitions: 8 }])).toBe("BUS_CONFLICT");
      expect(await code([{ ...events, name: "others" }])).toBe("BUS_CONFLICT"); // the same topics
      expect(await code([{ ...events, topics: [">"], maxMessages: 0 }])).toBe("BUS_INVALID_OPTION");
      const second = await openBus(world, { prefix, streams: [{ ...events, maxMessages: 2_000 }] });
      expect([
        (await first.streams.info("events")).partitions,
        (await second.streams.info("events")).partitions,
      ]).toEqual([4, 4]);
      const seen = new Seen();
      await second.subscribe(Tick, seen.handle, { group: "g" });
      await first.publish(Tick, { n: 1 });
      await until(() => seen.count === 1, "the first one's event at the second one", 10_000);
    });

    it("two buses of one prefix that want one group differently are told, and the group goes on as it was", async () => {
      const prefix = freshName("o");
      const [one, other] = [await openBus(world, { prefix }), await openBus(world, { prefix })];
      const seen = new Seen();
      await one.subscribe(Tick, seen.handle, { group: "g", order: "group" });
      for (const options of [{ order: "none" }, { live: true }] as const)
        expect((await failureOf(other.subscribe(Tick, seen.handle, { group: "g", ...options }))).code).toBe(
          "BUS_CONFLICT",
        );
      await other.publish(Tick, { n: 1 });
      await until(() => seen.count === 1, "the event", 10_000);
    });

    it("a stream that captures what another one has already is refused, and is not there afterwards", async () => {
      const bus = await openBus(world);
      for (const stream of [
        { name: "two", topics: [">"] },
        { name: "three", topics: ["a.>", ">"] },
        { name: "four", topics: ["a b"] },
        { name: "five", topics: ["$JS.>"] },
      ])
        expect((await failureOf((async () => bus.streams.ensure(stream))())).code).toMatch(
          /^BUS_(CONFLICT|INVALID_TOPIC|INVALID_OPTION)$/,
        );
      expect((await bus.streams.list()).map(({ name }) => name)).toEqual(["events"]);
      await stillWorks(bus);
    });

    it("an id of another body, and one id a hundred times, is one message where ids are remembered", async ({
      skip,
    }) => {
      const bus: Bus = await openBus(world);
      await bus.connect();
      skip(bus.driver!.capabilities.dedupeWindowMs === 0, "the driver declares dedupeWindowMs: 0");
      const seen = new Seen();
      await bus.subscribe(Tick, seen.handle, { group: "g" });
      const id = fresh("same");
      await Promise.allSettled(Array.from({ length: 100 }, (_, n) => bus.publish(Tick, { n }, { id })));
      await bus.publish(Tick, { n: 1_000 });
      // of two partitions, so in either order
      await until(() => seen.numbers.includes(1_000) && seen.count >= 2, "both", 10_000);
      expect(seen.count).toBe(2);
      expect((await bus.streams.info("events")).messages).toBe(2);
    });
  });
});
