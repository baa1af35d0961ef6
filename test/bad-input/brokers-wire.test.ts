import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { Bus, BusOptions, DeadLetter } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { plainJson } from "../../src/wire.ts";
import {
  type Foreign,
  type ForeignWorld,
  freshName,
  natsWorld,
  openBus,
  redisRaw,
  redisWorld,
} from "../support/broker-worlds.ts";
import { Seen, Tick } from "../support/events.ts";
import { kafkaForeign, rabbitForeign } from "../support/foreign-worlds.ts";

const [nats, redis] = [await natsWorld(), await redisWorld()];
const [rabbit, kafka] = [await rabbitForeign(), await kafkaForeign()];
const envelope = (data: string, more = ""): string =>
  `{"specversion":"1.0","id":"i","source":"s","type":"tick","subject":"tick"${more},"data":${data}}`;

/** Rows 42 to 49 and 52 of the matrix, as a program writes them that knows the broker alone. */
const garbage: readonly (Uint8Array | string)[] = [
  ...["", "\0", "no json", "[1,2]", '{"n":1}', "[".repeat(200_000)],
  Buffer.from([0xff, 0xfe, 0, 0xc3, 0x28]),
  Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)),
  Buffer.from(Array.from({ length: 500_000 }, (_, at) => (at * 7_919) % 256)),
  Buffer.from(envelope('{"n":1}'), "utf16le"),
  envelope('{"n":1}').slice(0, -3),
  `${envelope('{"n":1}')} trailing`,
  envelope("1").replace('"1.0"', '"9.9"'),
  envelope("1").replace('"i"', "7"),
  envelope('{"__proto__":{"admin":true}}'),
  envelope('{"n":1e400}'),
  "\r\n+OK\r\n-ERR x\r\nMSG a 1 2\r\n*2\r\n$4\r\nPING\r\n",
  "\u001B]0;x\u0007\u001B[2J<script>alert(1)</script>",
];
const hex = (body: Uint8Array | string): string => Buffer.from(body as string).toString("hex");

async function letters(bus: Bus): Promise<readonly DeadLetter[]> {
  const all: DeadLetter[] = [];
  let cursor: string | undefined;
  do {
    const page = await bus.deadLetters.list({ limit: 10, cursor });
    all.push(...page.items);
    ({ cursor } = page);
  } while (cursor !== undefined);
  return all;
}

interface Open {
  readonly bus: Bus;
  readonly seen: Seen;
  /** Writes these and then an event, which is handled whatever they are. */
  readonly write: (...messages: readonly Foreign[]) => Promise<void>;
}
async function open(world: ForeignWorld, order: "group" | "none", options: BusOptions = {}): Promise<Open> {
  const prefix = freshName("w");
  const bus = await openBus(world, { prefix, ...options });
  const seen = new Seen();
  let good = 0;
  await bus.subscribe(Tick, seen.handle, { group: "g", order });
  return {
    bus,
    seen,
    write: async (...messages) => {
      await world.write(prefix, messages);
      good += 1_000;
      await bus.publish(Tick, { n: good });
      await until(() => seen.numbers.includes(good), "the good one", 10_000);
    },
  };
}
const lettersAre = (bus: Bus, count: number): Promise<void> => {
  let last = 0;
  const there = async (): Promise<boolean> => (last = await bus.deadLetters.count()) >= count;
  return until(there, () => `${last} letters of ${count}`, 10_000);
};

describe.each(["group", "none"] as const)("what others write, to a group of order %s", (order) => {
  describe.each([nats, redis, rabbit, kafka])("at $name", (world) => {
    describe.skipIf(world.broker === undefined)("with its client alone", { timeout: 60_000 }, () => {
      it("garbage becomes dead letters with its bytes, and the rest goes on", async () => {
        const { bus, seen, write } = await open(world, order);
        await write(...garbage.map((body, at) => ({ topic: "tick", body, partition: at % 3 })));
        await lettersAre(bus, garbage.length);
        const found = await letters(bus);
        expect(found.map(({ raw }) => hex(raw)).toSorted()).toEqual(garbage.map(hex).toSorted());
        expect(found.map(({ reason }) => reason.code)).toEqual(garbage.map(() => "BUS_UNDECODABLE"));
        expect(found.map(({ event, topic }) => [event, topic])).toEqual(garbage.map(() => [undefined, "tick"]));
        expect(seen.numbers).toEqual([1_000]);
        expect(({} as { readonly admin?: unknown }).admin).toBeUndefined();
      });

      it("garbage does not end a tail", async () => {
        const { bus, write } = await open(world, order);
        const tail = new Seen();
        await bus.subscribe(Tick, tail.handle);
        await write(...garbage.map((body) => ({ topic: "tick", body })));
        await until(() => tail.numbers.includes(1_000), "the good one in the tail", 10_000);
        expect(tail.numbers).toEqual([1_000]);
      });

      it("plain JSON goes through its mapping, what the mapping refuses is a letter", async () => {
        const format = plainJson<{ readonly event: string }>({ name: "warehouse", type: "event" });
        const { bus, write } = await open(world, order, { wire: { foreign: [{ topics: "warehouse.>", format }] } });
        const mapped: unknown[] = [];
        await bus.subscribePattern("warehouse.>", ({ type, data, topic }) => void mapped.push([topic, type, data]), {
          group: "g",
          order,
        });
        await write(
          { topic: "warehouse.stock", body: '{"event":"moved","n":3}' },
          { topic: "warehouse.stock", body: '{"event":7.5,"n":3' },
          { topic: "warehouse.stock", body: '{"event":{"a":1}}' },
          { topic: "warehouse.stock", body: Buffer.from([0xff]) },
          { topic: "tick", body: '{"event":"moved","n":3}' },
          { topic: "warehouse.stock", body: '\u{FEFF}{"event":"counted"}' },
        );
        await until(
          () => mapped.length === 2,
          () => `${mapped.length} mapped`,
          10_000,
        );
        expect(mapped).toEqual([
          ["warehouse.stock", "moved", { event: "moved", n: 3 }],
          ["warehouse.stock", "counted", { event: "counted" }],
        ]);
        await lettersAre(bus, 4);
        expect((await letters(bus)).map(({ raw }) => Buffer.from(raw).toString("latin1")).toSorted()).toEqual(
          ['{"event":7.5,"n":3', '{"event":{"a":1}}', "\xff", '{"event":"moved","n":3}'].toSorted(),
        );
      });

      it("a bomb is a letter of its few bytes", async () => {
        const { bus, write } = await open(world, order);
        const bomb = gzipSync(envelope(`"${"0".repeat(64 * 1_048_576)}"`), { level: 9 });
        await write({ topic: "tick", body: bomb, headers: world.headers([["content-encoding", "gzip"]]) });
        await lettersAre(bus, 1);
        expect((await letters(bus)).map(({ raw }) => hex(raw))).toEqual([hex(bomb)]);
      });
    });
  });

  describe.each([nats, redis])("at $name", (world) => {
    describe.skipIf(world.broker === undefined)("with its protocol alone", () => {
      it("a control header that is forged skips no handler, and headers that are none stop nothing", async () => {
        const { seen, write } = await open(world, order);
        const good = envelope('{"n":1}');
        const pairs: readonly (readonly [string, string])[][] = [
          [["omnibus-done", "everybody"]],
          [["omnibus-attempts", "999"]],
          [["omnibus-handler", "nobody"]],
          [
            ["omnibus-replay-of", "i"],
            ["omnibus-hops", "999"],
          ],
          Array.from({ length: 2_000 }, (_, at) => [`x-${at}`, "v".repeat(20)] as const),
          [
            ["a", "1"],
            ["a", "2"],
            ["A", "3"],
            ["__proto__", "x"],
            ["constructor", "y"],
          ],
        ];
        await write(...pairs.map((each) => ({ topic: "tick", body: good, headers: world.headers(each) })));
        const forged = (): number => seen.numbers.filter((n) => n === 1).length;
        await until(
          () => forged() === pairs.length,
          () => `${forged()} of ${pairs.length}`,
          10_000,
        );
        const raw = {
          nats: [
            "no colon",
            ": no name",
            "a:",
            "\xff\xfe: \xff",
            "a: b\r\n c: folded",
            "Nats-Msg-Id:",
            "x".repeat(10_000),
          ],
          redis: ["no json", "[", "{}", "7", "null", "[[1,2]]", '[["a"]]', '["ab"]', "\xff", "[]".repeat(10_000)],
        }[world.name];
        await write(...raw.map((headers) => ({ topic: "tick", body: "no json", headers })));
        expect(seen.numbers.filter((n) => n >= 1_000)).toEqual([1_000, 2_000]);
      });

      it("an address that no publisher of ours has stops nothing", async () => {
        const { bus, write } = await open(world, order);
        await bus.subscribePattern(">", () => undefined, { group: "all", order });
        const topics = {
          nats: [
            "$JS.x",
            "_INBOX.x",
            "a=b",
            "a{b}",
            "é",
            "E\u0301",
            "x".repeat(300),
            "a.".repeat(60) + "a",
            "-rf",
            "%zz",
          ],
          redis: [
            "",
            " ",
            "a b",
            "*",
            ">",
            "a..b",
            ".",
            "\0",
            "\r\n",
            "$JS.x",
            "{x}",
            "é",
            "x".repeat(300),
            "x".repeat(60_000),
          ],
        }[world.name];
        await write(...topics.map((topic) => ({ topic, body: envelope('{"n":1}') })));
        const waiting = async (): Promise<number> => (await bus.groups.info("all")).waiting ?? 0;
        await until(async () => (await waiting()) === 0, "that nothing waits", 10_000);
      });
    });
  });
});

describe.skipIf(redis.broker === undefined).each(["group", "none"] as const)("entries of Redis, order %s", (order) => {
  const port = (): number => redis.broker!.servers[0]!.port;
  const entries: Readonly<Record<string, readonly (Uint8Array | string)[]>> = {
    "one field": ["b", "x"],
    "another field": ["payload", '{"n":1}'],
    "ours but the body": ["t", "tick", "k", "", "h", ""],
    "ours in another order": ["b", "no json", "h", "", "k", "", "t", "tick"],
    "ours and one more": ["t", "tick", "k", "", "h", "", "b", "no json", "z", "1"],
    "each field twice": ["t", "tick", "t", "tick", "b", "x", "b", "y"],
    "names and values of any bytes": [Buffer.from([0xff, 0]), Buffer.from([0xfe]), "", ""],
    "a key without its mark": ["t", "tick", "k", "key", "h", "", "b", "no json"],
    "a key of any bytes": ["t", "tick", "k", Buffer.from([0x2e, 0xff, 0]), "h", "", "b", "no json"],
    "headers that are long": ["t", "tick", "k", "", "h", "h".repeat(200_000), "b", "no json"],
    "a thousand fields": Array.from({ length: 2_000 }, (_, at) => `f${at}`),
  };

  it.each(Object.keys(entries))("%s: stops neither the group nor a tail", async (what) => {
    const prefix = freshName("x");
    const bus = await openBus(redis, { prefix });
    const [seen, all, tail] = [new Seen(), new Seen(), new Seen()];
    await bus.subscribe(Tick, seen.handle, { group: "g", order });
    await bus.subscribePattern(">", all.handle, { group: "all", order });
    await bus.subscribePattern(">", tail.handle);
    await redisRaw(
      port(),
      [0, 1].map((partition) => ["XADD", `{${prefix}}:s:events:${partition}`, "*", ...(entries[what] ?? [])]),
    );
    for (let n = 1; n <= 40; n += 1) await bus.publish(Tick, { n }, { key: `k${n}` }); // to every partition
    await until(
      () => [seen, all, tail].every((each) => each.count >= 40),
      () => `40 each: ${[seen, all, tail].map((each) => each.count).join()}`,
      10_000,
    );
    expect(seen.numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, at) => at + 1));
    await until(async () => ((await bus.groups.info("all")).waiting ?? 0) === 0, "that nothing waits", 10_000);
  });
});

describe.skipIf(redis.broker === undefined)("what is Redis's own beside the streams", () => {
  const port = (): number => redis.broker!.servers[0]!.port;

  it("garbage in channels, queues and what members say of themselves harms nobody", async () => {
    const prefix = freshName("y");
    const bus = await openBus(redis, { prefix });
    const [seen, heard] = [new Seen(), new Seen()];
    await bus.subscribe(Tick, seen.handle, { group: "g" });
    await bus.subscribe(Tick, heard.handle);
    await bus.publish(Tick, { n: 1 });
    await until(() => seen.count === 1 && heard.count === 1, "the first", 10_000);
    const names = await redisRaw(port(), [
      ["PUBSUB", "CHANNELS", `{${prefix}}*`],
      ["PUBSUB", "SHARDCHANNELS", `{${prefix}}*`],
    ]);
    const channels = names.split("\r\n").filter((line) => line.startsWith(`{${prefix}}`));
    expect(channels.length).toBeGreaterThan(0);
    const texts = [
      "",
      "garbage",
      "{",
      "null",
      "[]",
      "\0\xff",
      Buffer.from([0xff, 0, 1, 2]),
      "0 0 0",
      "x".repeat(100_000),
    ];
    await redisRaw(
      port(),
      channels.flatMap((channel) =>
        texts.flatMap((text) => [
          ["PUBLISH", channel, text],
          ["SPUBLISH", channel, text],
        ]),
      ),
    );
    for (const [at, text] of texts.entries())
      await redisRaw(port(), [
        ["XADD", `{${prefix}}:q:g:${at}`, "*", "b", text],
        ["HSET", `{${prefix}}:g:g:m`, `nobody-${at}`, text],
      ]);
    await bus.publish(Tick, { n: 2 });
    await bus.publish(Tick, { n: 3 }, { delivery: "at-most-once" });
    await until(
      () => seen.count >= 2 && heard.count >= 2,
      () => `${seen.count} and ${heard.count}`,
      10_000,
    );
    const other = await openBus(redis, { prefix });
    const later = new Seen();
    await other.subscribe(Tick, later.handle, { group: "later" });
    await until(() => later.count === 2, "a bus that came later", 10_000);
    expect((await bus.groups.list()).map(({ group }) => group).toSorted()).toEqual(["g", "later"]);
    expect((await bus.health()).status).toBe("up");
  });
});
