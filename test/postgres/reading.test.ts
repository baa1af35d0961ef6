import { describe, expect, it } from "vitest";
import { until } from "../../src/testing/until.ts";
import { groupSpec, joinGroup, outgoing, textOf } from "../support/driver-harness.ts";
import { connectPostgres, freshSchema } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres");
const port = broker?.servers[0]?.port ?? 0;

async function connected(partitions: number) {
  const { connection } = await connectPostgres({ url: broker!.url, schema: await freshSchema(port), pollMs: 600_000 });
  await connection.ensureStream({ name: "events", topics: [">"], partitions });
  return connection;
}

const to = (topic: string) => ({ kind: "topic", stream: "events", topic }) as const;
const orders = ["none", "group"] as const;

describe.skipIf(broker === undefined)("a body", () => {
  it.each(orders)("comes as it was sent, text or not, beside others (order: %s)", async (order) => {
    const connection = await connected(1);
    await connection.ensureGroup(groupSpec("g", { order }));
    const bodies = [
      ...['{"a":1}', "", "\uFEFFä€😀", "\\x41", "a\tb\r\n\u007F"].map((text) => Buffer.from(text)),
      Buffer.from([0]),
      Buffer.from([0x61, 0, 0x62]),
      Buffer.from([0xff, 0xfe, 0xc0, 0x80]),
      Buffer.from([0xed, 0xa0, 0x80]), // a lone surrogate
      Buffer.from("and a text again"),
    ];
    const sent = bodies.map((body) => outgoing(to("t"), "", { body }));
    const texts = sent.slice(0, 5);
    connection.send(texts.map(({ message }) => message));
    const { sink, consumption } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 5, "the texts");
    consumption.ack(sink.messages);
    connection.send(sent.slice(5).map(({ message }) => message));
    await until(() => sink.messages.length === bodies.length, "the others");
    expect(sink.messages.map(({ body }) => Buffer.from(body).toString("hex"))).toEqual(
      bodies.map((body) => body.toString("hex")),
    );
    expect(sink.messages.every(({ deliveries }) => deliveries === 1)).toBe(true);
  });
});

describe.skipIf(broker === undefined)("what a group's patterns want", () => {
  const patterns: Readonly<Record<string, readonly string[]>> = {
    "topics alone": ["a.b", "x-1.y_2"],
    "a wildcard and a topic": ["a.*", "x-1.y_2"],
    everything: [">"],
  };
  const cases = orders.flatMap((order) => Object.keys(patterns).map((what) => [what, order] as const));

  it.each(cases)("is read, and nothing else: %s, order %s", { timeout: 30_000 }, async (what, order) => {
    const connection = await connected(4);
    await connection.ensureGroup(groupSpec("g", { order, patterns: patterns[what]! }));
    const topics = ["a.b", "a.b", "a.b", "axb", "x-1.y_2", "a.b.c", "a.b"];
    const wanted = what === "everything" ? new Set(topics) : new Set(["a.b", "x-1.y_2"]);
    const sent = Array.from({ length: 700 }, (_, n) => {
      const topic = topics[n < 300 ? 0 : n % topics.length]!; // a stretch that is wanted as a whole, and one with gaps
      const gone = n >= 500 && n % 3 === 0 ? { expiresAt: Date.now() - 1_000 } : {};
      return { ...outgoing(to(topic), `${n}`, { hash: n % 4, ...gone }), n, topic, gone: "expiresAt" in gone };
    });
    connection.send(sent.map(({ message }) => message));
    const expected = sent.filter(({ topic, gone }) => wanted.has(topic) && !gone);
    // by messages, and by bytes, of which each has up to three
    const { sink, consumption } = await joinGroup(connection, "g", { messages: 50, bytes: 60 });
    const texts: string[] = [];
    await until(() => {
      const fresh = sink.messages.splice(0);
      texts.push(...fresh.map(textOf));
      if (fresh.length > 0) consumption.ack(fresh);
      return texts.length >= expected.length;
    }, "all that is wanted");
    await consumption.flush();
    for (const partition of [0, 1, 2, 3])
      expect(texts.filter((text) => Number(text) % 4 === partition)).toEqual(
        expected.filter(({ n }) => n % 4 === partition).map(({ n }) => `${n}`),
      );
    expect(sink.messages).toEqual([]);
    const expired = sent.filter(({ topic, gone }) => wanted.has(topic) && gone).length;
    await until(() => sink.losses.length > 0, "the expired to be told");
    expect(sink.losses.reduce((sum, { count }) => sum + (count ?? Number.NaN), 0)).toBe(expired);
  });
});
