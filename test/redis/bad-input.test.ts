import { afterEach, describe, expect, it } from "vitest";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { maxMessageBytes } from "../../src/drivers/redis/capabilities.ts";
import { redis, type RedisOptions } from "../../src/drivers/redis/index.ts";
import { type Bus, type BusOptions, connect, defineEvent, typed } from "../../src/index.ts";
import { until } from "../../src/testing/index.ts";
import { connectTo, groupSpec, joinGroup, outgoing, type Sent, toQueue, toTopic } from "../support/driver-harness.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("redis", { own: true });
const closing: (() => Promise<unknown>)[] = [];
const cli = (...args: readonly string[]): Promise<string> => redisCommand(broker!.servers[0]!.port, ...args);
const item = defineEvent("item", { schema: typed<{ readonly n: number }>() });

async function bus(prefix: string, more: BusOptions = {}, options: RedisOptions = {}): Promise<Bus> {
  const made = await connect({ driver: redis({ url: broker!.url, ...options }), prefix, ...more });
  closing.push(() => made.close({ timeoutMs: 500 }));
  return made;
}

async function open(prefix = freshPrefix()) {
  const { connection } = await connectTo(redis({ url: broker!.url }), { prefix });
  closing.push(() => connection.close(AbortSignal.timeout(500)));
  await connection.ensureStream({ name: "events", topics: [">"] });
  const send = async (sent: readonly Sent[]): Promise<readonly string[]> => {
    connection.send(sent.map(({ message }) => message));
    await until(() => sent.every(({ outcome }) => outcome !== "waiting"), "all to complete");
    return sent.map(({ outcome }) => outcome);
  };
  return { connection, send, prefix };
}

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

describe.skipIf(broker === undefined)("bad input to redis", () => {
  it("names with braces, colons, spaces, tildes and percent signs never meet", async () => {
    const { connection, send } = await open();
    const names = ["a", "a:b", "a{b}", "{x}", "a b", "a~b", "a%3Ab", "ä", "a\nb", "q:a", "a:0"];
    for (const name of names) await connection.ensureGroup(groupSpec(name, { patterns: ["none"] }));
    expect(new Set(await send(names.map((name) => outgoing(toQueue(name), name))))).toEqual(new Set(["stored"]));
    for (const name of names) {
      const { sink, consumption } = await joinGroup(connection, name);
      await until(() => sink.messages.length > 0, `what was sent to ${name}`);
      expect(sink.texts).toEqual([name]);
      consumption.ack(sink.messages);
      await consumption.flush();
    }
    expect((await connection.admin.groups()).map(({ spec }) => spec.group).toSorted()).toEqual(names.toSorted());
  });

  it("a prefix with braces is refused at connecting", async () => {
    for (const prefix of ["a{b", "a}b", "{a}"])
      await expect(connectTo(redis({ url: broker!.url }), { prefix })).rejects.toMatchObject({
        code: "BUS_INVALID_OPTION",
      });
  });

  it("topics, keys and headers of any text come back as they were", async () => {
    const { connection, send } = await open();
    await connection.ensureGroup(groupSpec("g"));
    const texts = ["%s", "a.%d.[x]", "ä.ö", "a-b_c", "x".repeat(1_000), "(a).b+?"];
    const key = "k\0\r\n{}:~ ";
    const headers = [["h\n", "\0\r\n\u2028"]] as const;
    await send(texts.map((topic) => outgoing(toTopic(topic), topic, { key, headers })));
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === texts.length, "all");
    expect(sink.messages.map(({ topic }) => topic)).toEqual(texts);
    for (const message of sink.messages) expect([message.key, message.headers()]).toEqual([key, headers]);
  });

  it("patterns with signs that mean something to Lua match what they say", async () => {
    const { connection, send } = await open();
    await connection.ensureGroup(groupSpec("g", { patterns: ["a-b.*", "c%d.>", "e.f"] }));
    const topics = ["a-b.x", "aab.x", "a-b.x.y", "c%d.1.2", "c1.2", "c%d", "e.f", "eXf"];
    await send(topics.map((topic) => outgoing(toTopic(topic), topic)));
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length >= 3, "three");
    expect(sink.texts.toSorted()).toEqual(["a-b.x", "c%d.1.2", "e.f"]);
  });

  it("a message at the limit is stored, one above it and a text that is too long are refused alone", async () => {
    const { send } = await open();
    const body = new Uint8Array(maxMessageBytes);
    const outcomes = await send([
      outgoing(toTopic("a"), "1"),
      outgoing(toTopic("a"), "", { body }),
      outgoing(toTopic("a"), "", { body: new Uint8Array(maxMessageBytes + 1) }),
      outgoing(toTopic("a"), "", { key: "k".repeat(70_000) }),
      outgoing(toTopic("a"), "2"),
    ]);
    expect(outcomes).toEqual(["stored", "stored", "no", "no", "stored"]);
  });

  it("a server that takes less than we do has its limit, and the connection stays", async () => {
    await cli("CONFIG", "SET", "proto-max-bulk-len", "1048576");
    closing.push(() => cli("CONFIG", "SET", "proto-max-bulk-len", "536870912"));
    const { connection, send } = await open();
    const most = connection.capabilities.maxMessageBytes!;
    expect(most).toBe(524_288);
    const small = Array.from({ length: 300 }, (_, n) => outgoing(toTopic("a"), "x".repeat(2_000), { hash: n }));
    const largest = outgoing(toTopic("a"), "", { body: new Uint8Array(most), key: "k".repeat(60_000) });
    const larger = outgoing(toTopic("a"), "", { body: new Uint8Array(most + 1) });
    const outcomes = await send([...small, largest, larger, outgoing(toTopic("a"), "last")]);
    expect(outcomes).toEqual([...small.map(() => "stored"), "stored", "no", "stored"]);
    expect(larger.error).toMatchObject({ code: "BUS_TOO_LARGE" });
  });

  it("foreign entries in a stream of ours: garbage becomes a letter with its bytes, and the rest goes on", async () => {
    const prefix = freshPrefix();
    const one = await bus(prefix, { retry: { maxAttempts: 1 } });
    const handled: number[] = [];
    await one.subscribe(item, ({ data }) => void handled.push(data.n), { group: "g" });
    await one.publish(item, { n: 1 });
    const key = `{${prefix}}:s:events:3`;
    await cli("XADD", key, "*", "t", "item", "k", "", "h", "", "b", "no json");
    await cli("XADD", key, "*", "t", "item", "k", "", "h", "not headers", "b", '{"plain":true}');
    await one.publish(item, { n: 2 });
    await until(() => handled.length === 2, "both of ours");
    await until(async () => (await one.deadLetters.count({ group: "g" })) === 2, "two letters");
    const { items } = await one.deadLetters.list({ group: "g" });
    const raw = items.map(({ raw }) => Buffer.from(raw!).toString());
    expect(raw.toSorted()).toEqual(["no json", '{"plain":true}'].toSorted());
    expect(handled).toEqual([1, 2]);
  });

  it.each(["none", "group"] as const)(
    "foreign entries whose topic or key is too long become letters, and the rest goes on (order: %s)",
    async (order) => {
      const prefix = freshPrefix();
      const one = await bus(prefix, { retry: { maxAttempts: 1 } });
      const handled: number[] = [];
      const handler = ({ data }: { readonly data: unknown }): void => void handled.push((data as { n: number }).n);
      await one.subscribePattern(">", handler, { group: "g", order });
      await one.publish(item, { n: 1 });
      const long = "x".repeat(70_000);
      for (const partition of [3, 4]) {
        await cli("XADD", `{${prefix}}:s:events:${partition}`, "*", "t", long, "k", "", "h", "", "b", "no json");
        await cli("XADD", `{${prefix}}:s:events:${partition}`, "*", "t", "item", "k", long, "h", "", "b", "no json");
      }
      await one.publish(item, { n: 2 });
      await until(() => handled.length === 2, "both of ours");
      await until(async () => (await one.deadLetters.count({ group: "g" })) === 4, "four letters");
      const { items } = await one.deadLetters.list({ group: "g" });
      expect(items.map(({ raw }) => Buffer.from(raw!).toString())).toEqual(Array(4).fill("no json"));
    },
  );

  it("a key of another type in the place of a partition refuses what would go there, typed, and nothing else", async () => {
    const { connection, send, prefix } = await open();
    await cli("SET", `{${prefix}}:s:events:5`, "somebody's");
    const sent = [4, 5, 6].map((hash) => outgoing(toTopic("a"), String(hash), { hash }));
    expect(await send(sent)).toEqual(["stored", "no", "stored"]);
    expect(sent[1]!.error).toMatchObject({ code: "BUS_CONFLICT" });
    expect(await send([outgoing(toTopic("a"), "again", { hash: 5, brokerId: sent[1]!.message.brokerId })])).toEqual([
      "no",
    ]);
    await cli("DEL", `{${prefix}}:s:events:5`);
    expect(await send([outgoing(toTopic("a"), "again", { hash: 5, brokerId: sent[1]!.message.brokerId })])).toEqual([
      "stored",
    ]);
    await connection.ensureGroup(groupSpec("g"));
  });

  it("two buses with one prefix and different streams agree on what is stored, or are told", async () => {
    const prefix = freshPrefix();
    await bus(prefix, { streams: [{ name: "events", topics: [">"], partitions: 4 }] });
    await expect(bus(prefix, { streams: [{ name: "events", topics: [">"], partitions: 8 }] })).rejects.toMatchObject({
      code: "BUS_CONFLICT",
    });
    const other = await bus(prefix, { streams: [{ name: "events", topics: [">"], maxAgeMs: 60_000 }] });
    expect((await other.streams.info("events")).partitions).toBe(4);
  });

  it("keys that a newer version made are refused", async () => {
    const { prefix } = await open();
    await cli("HSET", `{${prefix}}`, "layout", "2");
    await expect(connectTo(redis({ url: broker!.url }), { prefix })).rejects.toMatchObject({ code: "BUS_UNSUPPORTED" });
  });
});
