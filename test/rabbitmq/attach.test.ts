import amqp from "amqplib";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { rabbitmq, type RabbitMqAttachment } from "../../src/drivers/rabbitmq/index.ts";
import { type Bus, connect, defineEvent, type ForeignFormat, typed } from "../../src/index.ts";
import { until } from "../../src/testing/index.ts";
import { plainJson } from "../../src/wire.ts";
import { freshPrefix } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");
const client = broker === undefined ? undefined : await amqp.connect(broker.url, { noDelay: true });
const channel = await client?.createConfirmChannel();
afterAll(() => client?.close());

const open: Bus[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((bus) => bus.close({ timeoutMs: 1_000 })));
});

interface Options {
  readonly prefix?: string;
  readonly topics?: readonly string[];
  /** Undefined: ours, in binary mode. @default plain JSON */
  readonly format?: ForeignFormat | undefined;
  readonly concurrency?: number;
}

/** With the stream `orders` at an exchange of another name, whose messages are plain JSON. */
async function busOf(attachment: RabbitMqAttachment, options: Options = {}) {
  const { prefix = freshPrefix(), topics = [">"] } = options;
  const format = "format" in options ? options.format : plainJson({ name: "shop" });
  const bus = await connect({
    driver: rabbitmq({ url: broker!.url, attach: { orders: attachment } }),
    prefix,
    wire: format === undefined ? { mode: "binary" } : { foreign: [{ topics: ">", format, write: true }] },
    streams: [{ name: "orders", topics }],
    retry: { maxAttempts: 2, backoff: { baseMs: 5, jitter: 0 } },
  });
  open.push(bus);
  return bus;
}

function foreign(exchange: string, key: string, data: unknown, headers: Record<string, unknown> = {}): Promise<void> {
  channel!.publish(exchange, key, Buffer.from(JSON.stringify(data)), { headers, persistent: true });
  return channel!.waitForConfirms();
}

async function collect(bus: Bus, pattern: string, group: string): Promise<unknown[]> {
  const handled: unknown[] = [];
  await bus.subscribePattern(pattern, ({ data, topic }) => void handled.push([topic, data]), { group, order: "none" });
  return handled;
}

let exchanges = 0;
const fresh = (): string => `shop-${process.pid}-${(exchanges += 1)}`;

describe.skipIf(broker === undefined)("an exchange and queues of other names at RabbitMQ", () => {
  it("option: RabbitMqAttachment.exchange: a topic exchange that is there already, both ways, with its past", async () => {
    const exchange = fresh();
    await channel!.assertExchange(exchange, "topic", { durable: true });
    await channel!.assertQueue(`${exchange}.theirs`, { durable: true });
    await channel!.bindQueue(`${exchange}.theirs`, exchange, "order.#");
    const bus = await busOf({ exchange });
    await foreign(exchange, "order.placed", { n: 1 });
    await foreign(exchange, "2024.report", { n: 2 });
    const orders = await collect(bus, "order.*", "orders");
    const all = await collect(bus, ">", "all");
    await until(() => orders.length === 1 && all.length === 2, "the past");
    expect(orders).toEqual([["order.placed", { n: 1 }]]);
    expect(all).toContainEqual(["2024.report", { n: 2 }]);
    await bus.publishTopic("order.paid", { n: 3 });
    await until(() => orders.length === 2, "what the bus publishes");
    const theirs = await until(
      async () => (await channel!.checkQueue(`${exchange}.theirs`)).messageCount === 2,
      "both",
    );
    expect(theirs).toBeUndefined();
    await channel!.get(`${exchange}.theirs`, { noAck: true });
    const ours = await channel!.get(`${exchange}.theirs`, { noAck: true });
    expect(ours).toMatchObject({ fields: { routingKey: "order.paid" } });
    expect(JSON.parse(String((ours as { content: Buffer }).content))).toEqual({ n: 3 });
  });

  it.each([
    ["direct", { topics: ["order.placed", "order.paid"] }, "order.placed", {}],
    ["fanout", {}, "whatever", {}],
    ["headers", {}, "whatever", { region: "eu", kind: "order" }],
  ] as const)("option: RabbitMqAttachment.type: %s", async (type, options, key, headers) => {
    const exchange = fresh();
    const match = { "x-match": "all", region: "eu" };
    const format: ForeignFormat = {
      ...plainJson({ name: "shop" }),
      encode: ({ data }) => ({ headers: { ...headers }, body: Buffer.from(JSON.stringify(data)) }),
    };
    const bus = await busOf({ exchange, type, ...(type === "headers" ? { match } : {}) }, { ...options, format });
    const handled = await collect(bus, ">", "g");
    if (type === "headers") await foreign(exchange, key, { n: 0 }, { region: "us" });
    if (type === "direct") await foreign(exchange, "order.lost", { n: 0 });
    await foreign(exchange, key, { n: 1 }, headers);
    await until(() => handled.length === 1, "what matches");
    await bus.publishTopic(key, { n: 2 }); // that matches, too, by what the format writes
    await until(() => handled.length === 2, "what the bus publishes");
    expect(handled).toEqual([1, 2].map((n) => [key, { n }]));
  });

  it("what is published for later is, when it is due, what it would have been at once", async () => {
    const exchange = fresh();
    await channel!.assertExchange(exchange, "topic", { durable: true });
    await channel!.assertQueue(`${exchange}.theirs`, { durable: true });
    await channel!.bindQueue(`${exchange}.theirs`, exchange, "#");
    const bus = await busOf({ exchange });
    const handled = await collect(bus, ">", "g");
    await bus.publishTopic("order.paid", { n: 1 }, { key: "k" });
    await bus.publishTopic("order.paid", { n: 1 }, { key: "k", delayMs: 300 });
    await bus.publishTopic("order.paid", { n: 1 }, { key: "k", delayMs: 1_300 });
    await until(() => handled.length === 3, "all", 10_000);
    const theirs = [];
    for (let n = 0; n < 3; n += 1) theirs.push(await channel!.get(`${exchange}.theirs`, { noAck: true }));
    const [now, ...later] = theirs.map((each) => {
      const { content, fields, properties } = each as amqp.GetMessage;
      const { messageId, timestamp, headers, ...rest } = properties;
      expect([typeof messageId, typeof timestamp]).toEqual(["string", "number"]);
      return { ...{ body: String(content), key: fields.routingKey, headers: { ...headers, t: "time" } }, rest };
    });
    expect(now).toMatchObject({ body: '{"n":1}', key: "order.paid", rest: { contentType: "application/json" } });
    for (const each of later) expect(each).toEqual(now);
  });

  it("bytes are bytes, live and from the past", async () => {
    const exchange = fresh();
    const bus = await busOf({ exchange }, { format: undefined });
    const Photo = defineEvent("photo", { schema: typed<Uint8Array>() });
    const [live, past]: [number[][], number[][]] = [[], []];
    await bus.subscribe(Photo, ({ data }) => void live.push([...data]), { group: "live" });
    await bus.publish(Photo, new Uint8Array([0xff, 0x00, 0xfe]));
    await until(() => live.length === 1, "it");
    await bus.subscribe(Photo, ({ data }) => void past.push([...data]), { group: "past" });
    await until(() => past.length === 1, "the same of the past");
    expect([live, past]).toEqual([[[0xff, 0x00, 0xfe]], [[0xff, 0x00, 0xfe]]]);
  });

  it("option: RabbitMqAttachment.groups, RabbitMqQueue.queue, RabbitMqQueue.keys: a queue of another name, bound by what the group reads, by keys, and by hand", async () => {
    const exchange = fresh();
    const groups = {
      pattern: {},
      keyed: { queue: `${exchange}-keyed`, keys: ["order.paid"] },
      hand: { queue: `${exchange}-hand`, keys: [], arguments: {} },
    };
    await channel!.assertQueue(`${exchange}-hand`, { durable: true });
    const bus = await busOf({ exchange, groups });
    const [pattern, keyed, hand] = [
      await collect(bus, "order.*", "pattern"),
      await collect(bus, ">", "keyed"),
      await collect(bus, ">", "hand"),
    ];
    await channel!.bindQueue(`${exchange}-hand`, exchange, "stock.#");
    for (const key of ["order.placed", "order.paid", "stock.low"]) await foreign(exchange, key, key);
    await until(() => pattern.length === 2 && keyed.length === 1 && hand.length === 1, "each its own");
    expect(keyed).toEqual([["order.paid", "order.paid"]]);
    expect(hand).toEqual([["stock.low", "stock.low"]]);
    expect((await channel!.checkQueue(`${exchange}.pattern`)).consumerCount).toBe(1);
    await bus.groups.delete("keyed");
    expect((await channel!.checkQueue(`${exchange}-keyed`)).queue).toBe(`${exchange}-keyed`);
  });

  it("option: RabbitMqQueue.prefetch: members that compete hold one each, and what fails becomes a letter", async () => {
    const exchange = fresh();
    const prefix = freshPrefix();
    const attachment = { exchange, groups: { workers: { prefetch: 1 } } };
    const [one, two] = [await busOf(attachment, { prefix }), await busOf(attachment, { prefix })];
    const gate = Promise.withResolvers<void>();
    const held: string[] = [];
    const handler =
      (who: string) =>
      async ({ data }: { readonly data: unknown }): Promise<void> => {
        held.push(who);
        await gate.promise;
        if (data === 3) throw new Error("never");
      };
    for (const [bus, who] of [
      [one, "one"],
      [two, "two"],
    ] as const)
      await bus.subscribePattern("job", handler(who), { group: "workers", order: "none", concurrency: 8 });
    for (let n = 0; n < 6; n += 1) await foreign(exchange, "job", n);
    await until(() => held.length === 2, "one each");
    expect(held.toSorted()).toEqual(["one", "two"]);
    await until(async () => (await channel!.checkQueue(`${exchange}.workers`)).messageCount === 4, "the rest to wait");
    gate.resolve();
    await until(async () => (await one.deadLetters.count({ group: "workers" })) === 1, "a letter");
    await until(() => held.length === 7, "six and one more attempt");
  });

  it("option: RabbitMqQueue.durable, RabbitMqQueue.autoDelete, RabbitMqAttachment.durable, RabbitMqAttachment.autoDelete: a queue that goes with its last consumer, of an exchange that does not outlive the server", async () => {
    const exchange = fresh();
    const groups = { brief: { queue: `${exchange}-brief`, durable: false, autoDelete: true } };
    const bus = await busOf({ exchange, durable: false, autoDelete: true, groups });
    const handled = await collect(bus, ">", "brief");
    await foreign(exchange, "a", 1);
    await until(() => handled.length === 1, "one");
    await bus.close();
    const probe = await client!.createChannel();
    probe.on("error", () => undefined);
    await expect(probe.checkQueue(`${exchange}-brief`)).rejects.toThrow("404");
    const again = await client!.createChannel();
    again.on("error", () => undefined);
    await again.assertExchange(exchange, "topic", { durable: false, autoDelete: true });
    await expect(again.assertExchange(exchange, "topic", { durable: true })).rejects.toThrow("406");
  });

  it("option: RabbitMqAttachment.keys: what the stream is bound by, and no other key comes", async () => {
    const exchange = fresh();
    const bus = await busOf({ exchange, keys: ["order.#"] });
    const handled = await collect(bus, ">", "g");
    await foreign(exchange, "stock.low", 1);
    await foreign(exchange, "order.paid.late", 2);
    await until(() => handled.length === 1, "the key that is bound");
    expect(handled).toEqual([["order.paid.late", 2]]);
    await bus.groups.delete("g");
    const all = await collect(bus, ">", "from-the-past");
    await until(() => all.length === 1, "the same of the past");
    expect(all).toEqual(handled);
  });

  it("option: RabbitMqQueue.match: the headers that the queue of a group is bound by", async () => {
    const exchange = fresh();
    const groups = { eu: { match: { "x-match": "any", region: "eu", zone: "north" } } };
    const bus = await busOf({ exchange, type: "headers", match: { "x-match": "all", kind: "order" }, groups });
    const [eu, orders] = [await collect(bus, ">", "eu"), await collect(bus, ">", "orders")];
    await foreign(exchange, "a", 1, { region: "us", kind: "order" });
    await foreign(exchange, "b", 2, { zone: "north", kind: "offer" });
    await foreign(exchange, "c", 3, { region: "eu", kind: "order" });
    await until(() => eu.length === 2 && orders.length === 2, "each what matches");
    expect(eu).toEqual([["b", 2], ["c", 3]]); // prettier-ignore
    expect(orders).toEqual([["a", 1], ["c", 3]]); // prettier-ignore
  });

  it.each([
    ["type", { type: "topic" }, { type: "fanout" }],
    ["durable", {}, { durable: false }],
    ["auto_delete", {}, { autoDelete: true }],
  ] as const)("an exchange that is there with another %s is refused by that name", async (argument, there, wanted) => {
    const exchange = fresh();
    await channel!.assertExchange(exchange, "type" in there ? there.type : "topic", { durable: true });
    await expect(busOf({ exchange, ...wanted })).rejects.toMatchObject({
      code: "BUS_CONFLICT",
      message: expect.stringContaining(`"${argument}"`) as string,
    });
  });

  it("option: RabbitMqQueue.arguments: a queue that is there with others is refused by the argument's name", async () => {
    const exchange = fresh();
    await channel!.assertQueue(`${exchange}.g`, { durable: true, arguments: { "x-max-length": 7 } });
    const bus = await busOf({ exchange, groups: { g: { arguments: { "x-max-length": 9 } } } });
    await expect(collect(bus, ">", "g")).rejects.toMatchObject({
      code: "BUS_CONFLICT",
      message: expect.stringMatching(/"x-max-length": 7, and not 9/) as string,
    });
  });

  it("option: RabbitMqOptions.attach: a stream that is attached already can't become another exchange, nor none one", async () => {
    const [exchange, prefix] = [fresh(), freshPrefix()];
    await busOf({ exchange }, { prefix });
    await expect(busOf({ exchange: `${exchange}-other` }, { prefix })).rejects.toMatchObject({ code: "BUS_CONFLICT" });
  });

  it("a group can't come to read another queue, and what it reads no more is unbound", async () => {
    const [exchange, prefix] = [fresh(), freshPrefix()];
    const bus = await busOf({ exchange, groups: { g: {} } }, { prefix });
    const handled: unknown[] = [];
    const take = ({ data }: { readonly data: unknown }): void => void handled.push(data);
    const one = await bus.subscribePattern("a", take, { group: "g", order: "none" });
    await bus.subscribePattern("b", take, { group: "g", order: "none" });
    await one.unsubscribe();
    await bus.groups.update("g", ["b"]);
    for (const key of ["a", "b"]) await foreign(exchange, key, key);
    await until(() => handled.length === 1, "what it still reads");
    expect(handled).toEqual(["b"]);
    const second = await busOf({ exchange, groups: { g: { queue: `${exchange}-other` } } }, { prefix });
    await expect(collect(second, "b", "g")).rejects.toMatchObject({ code: "BUS_CONFLICT" });
  });

  it("an exchange that is deleted behind the bus is made again, with what was bound to it", async () => {
    const exchange = fresh();
    const bus = await busOf({ exchange, groups: { named: {} } });
    const [named, ours] = [await collect(bus, ">", "named"), await collect(bus, ">", "ours")];
    await channel!.deleteExchange(exchange);
    await until(
      () =>
        bus.publishTopic("a", 1).then(
          () => true,
          () => false,
        ),
      "it to be made again",
    );
    await bus.publishTopic("a", 2);
    const has = (handled: readonly unknown[]): boolean => JSON.stringify(handled).includes('["a",2]');
    await until(() => has(named) && has(ours), "both to have it");
  });

  it("what others publish without an id, in a format that is none, or with a header of ours, is told from each other", async () => {
    const exchange = fresh();
    const bus = await busOf({ exchange });
    const handled: unknown[] = [];
    await bus.subscribePattern(">", ({ data }) => void handled.push(data), { group: "g", order: "none" });
    channel!.publish(exchange, "raw", Buffer.from([0xff, 0x00, 0xfe]));
    await foreign(exchange, "a", { n: 1 }, { m: "token", n: 5, e: "soon", k: 7, h: "no json" });
    await foreign(exchange, "b", { n: 2 });
    await until(() => handled.length === 2, "both that are JSON");
    await until(async () => (await bus.deadLetters.count({ group: "g" })) === 1, "a letter of the other");
    const { items } = await bus.deadLetters.list({ group: "g" });
    expect([...items[0]!.raw!]).toEqual([0xff, 0x00, 0xfe]);
    expect(handled).toEqual(expect.arrayContaining([{ n: 1 }, { n: 2 }]));
  });

  it("option: RabbitMqAttachment.match: is refused where the exchange has no headers", () => {
    expect(() => rabbitmq({ attach: { orders: { exchange: "x", match: { a: 1 } } } })).toThrow(/headers/);
    expect(() => rabbitmq({ attach: { orders: { exchange: "x", type: "ring" as never } } })).toThrow(/type/);
  });
});
