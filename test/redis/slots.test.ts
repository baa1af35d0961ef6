import { readdirSync } from "node:fs";
import { createClient } from "redis";
import { afterAll, describe, expect, it } from "vitest";
import type { DriverConnection, InMessage, StoredMessage } from "../../src/driver.ts";
import { redis } from "../../src/drivers/redis/index.ts";
import type { Script } from "../../src/drivers/redis/script.ts";
import { FaultProxy, until } from "../../src/testing/index.ts";
import {
  connectTo,
  consume,
  groupSpec,
  joinGroup,
  letterOf,
  numbered,
  outgoing,
  type Sent,
  type TestConsumption,
  toDirect,
  toQueue,
  toTopic,
} from "../support/driver-harness.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("redis", { own: true });
const prefix = freshPrefix();
/** Names that would move a key to another slot where they are not escaped. */
const [stream, loose, ordered, bucket] = ["s{1}", "l{2}", "o{3}", "b{4}"] as const;
const closing: (() => unknown)[] = [];

afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

/** By their hash and by their text, as MONITOR shows it. */
async function scripts(): Promise<ReadonlyMap<string, string>> {
  const folder = new URL("../../src/drivers/redis/scripts/", import.meta.url);
  const modules = readdirSync(folder).map(async (name) => (await import(new URL(name, folder).href)) as object);
  const all = (await Promise.all(modules)).flatMap((module) => Object.values(module) as readonly unknown[]);
  const found = all.filter((each): each is Script => typeof each === "object" && each !== null && "sha" in each);
  const shown = (text: string): string => JSON.stringify(text).slice(1, -1);
  return new Map(found.flatMap(({ sha, source, name }) => [[sha, name] as const, [shown(source), name] as const]));
}

async function open(url: string): Promise<DriverConnection> {
  const { connection } = await connectTo(redis({ url, leaseMs: 1_000, socketTimeoutMs: 500 }), { prefix });
  closing.push(() => connection.close(AbortSignal.timeout(1_000)));
  return connection;
}

async function send(on: DriverConnection, sent: readonly Sent[]): Promise<void> {
  on.send(sent.map(({ message }) => message));
  await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
}

const has = ({ sink }: TestConsumption, count: number): Promise<void> =>
  until(
    () => sink.messages.length >= count,
    () => `${count}; ${sink.messages.length} came`,
  );

const later = (id: string): StoredMessage => ({
  ...{ id, to: toQueue(loose), group: loose, topic: "a", key: undefined, headers: [] },
  ...{ body: Buffer.from(id), storedAt: 1, notBefore: 1 },
});

async function groups(one: DriverConnection, two: DriverConnection, proxy: FaultProxy): Promise<void> {
  for (const [group, order] of [[loose, "none"] as const, [ordered, "group"] as const])
    await one.ensureGroup(groupSpec(group, { order, stream, patterns: ["a.>"] }));
  await send(one, [
    ...numbered(40).map((text, at) => outgoing(toTopic(at % 8 === 0 ? "b.x" : "a.b", stream), text, { key: text })),
    outgoing(toTopic("a.later", stream), "later", { notBefore: Date.now() + 50 }),
    outgoing(toQueue(loose), "queued"),
  ]);
  const first = await joinGroup(one, loose);
  await has(first, 37);
  proxy.reset(); // what it holds is compared
  const [retried, released, dead, ...rest] = first.sink.messages as readonly InMessage[];
  await until(async () => {
    const how = await first.consumption.settle([
      { how: "retry", message: retried!, delayMs: 1, attempts: 1, headers: [] },
      { how: "release", message: released!, delayMs: 1, headers: [] },
      { how: "dead", message: dead!, letter: letterOf(dead!, loose) },
    ]);
    return !how.includes("unknown");
  }, "an answer");
  await has(first, 39);
  first.consumption.ack(rest.slice(5));
  await first.consumption.flush();
  const [owner, second] = [await joinGroup(one, ordered), await joinGroup(two, ordered)];
  await until(() => owner.sink.messages.length + second.sink.messages.length >= 36, "what is in order");
  const message = [...owner.sink.messages, ...second.sink.messages][0]!;
  const holder = owner.sink.messages.length > 0 ? owner : second;
  await holder.consumption.record([{ message, attempts: 1, notBefore: undefined, headers: [] }]);
  for (const { consumption } of [first, owner, second]) await consumption.close(AbortSignal.timeout(1_000));
}

async function tailsAndRequests(one: DriverConnection, two: DriverConnection): Promise<void> {
  const tail = await consume(one, { kind: "tail", stream, from: { time: 1 }, resume: undefined });
  await tail.consumption.wants([">"], []);
  await has(tail, 41);
  const [first] = tail.sink.messages;
  const behind = { positions: { [first!.partition!]: first!.position! } };
  const rest = await consume(one, { kind: "tail", stream, from: behind, resume: undefined });
  await has(rest, 1);
  await rest.consumption.close(AbortSignal.timeout(1_000));
  const listener = await consume(two, { kind: "direct", group: loose });
  await listener.consumption.wants(["a"], ["a"]);
  await send(one, [outgoing(toDirect("a"), "?", { replyTo: "r" })]);
  await has(listener, 1);
  for (const { consumption } of [tail, listener]) await consumption.close(AbortSignal.timeout(1_000));
}

async function state({ state: store }: DriverConnection): Promise<void> {
  const { signal } = new AbortController();
  await store!.put(bucket, "k{6}", Buffer.from("1"), { ttlMs: 60_000 });
  expect(await store!.get(bucket, "k{6}")).toBeDefined();
  for await (const key of store!.keys(bucket, "")) expect(key).toBe("k{6}");
  for await (const { key } of store!.watch(bucket, "", signal)) if (key === "k{6}") break;
  expect(await store!.delete(bucket, "k{6}")).toBe(true);
  await store!.schedule([later("1{7}"), later("2")]);
  expect(await store!.scheduled(undefined, 5)).toHaveLength(2);
  expect(await store!.due(Date.now(), 1, 1_000)).toHaveLength(1);
  expect(await store!.unschedule(["1{7}", "2"])).toHaveLength(2);
}

async function administration(connection: DriverConnection): Promise<void> {
  const { admin } = connection;
  const notBefore = Date.now() + 3_600_000;
  const [kept, cancelled] = ["kept{8}", "cancelled{9}"].map((id) =>
    outgoing(toTopic("a.later", stream), id, { id, brokerId: id, notBefore }),
  );
  await send(connection, [kept!, cancelled!]);
  expect(await admin.cancelScheduled!([cancelled!.message.id])).toEqual([cancelled!.message.id]);
  expect(await admin.scheduled!(undefined, 5)).toMatchObject([{ id: kept!.message.id, topic: "a.later" }]);
  expect(await admin.streams()).toHaveLength(1);
  await admin.positions(stream);
  expect(await admin.groups()).toHaveLength(2);
  expect(await admin.members(loose)).toEqual([]);
  const [letter] = await admin.letters(loose, undefined, 5);
  expect(await admin.letter(letter!.id)).toEqual(letter);
  expect(await admin.countLetters(loose)).toBe(1);
  expect(await admin.claimLetters([letter!.id], "token", 1_000)).toEqual([letter!.id]);
  expect(await admin.removeLetters([letter!.id], "token")).toEqual([letter!.id]);
  await admin.recoverGroup!(loose, 0);
  await admin.resetGroup!(loose, { at: "oldest" });
  await admin.updateGroup(loose, [{ stream, patterns: ["a.b"] }]);
  await admin.trim!(stream, { at: "newest" });
  expect(await admin.deleteGroup(ordered)).toBe(true);
  expect(await admin.deleteStream(stream)).toBe(true);
}

/** Arguments as MONITOR shows them. */
const argumentsOf = (line: string): readonly string[] =>
  [...line.slice(line.indexOf("]")).matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text]) => text!);

describe.skipIf(broker === undefined)("the keys of the Redis driver", () => {
  it("lie in one slot, those of every script, whatever is called with braces", { timeout: 60_000 }, async () => {
    const client = createClient({ url: broker!.url, RESP: 2 });
    const ears = client.duplicate();
    for (const each of [client, ears]) {
      await each.connect();
      closing.push(() => each.destroy());
    }
    const heard: string[] = [];
    await ears.monitor((line) => void heard.push(String(line)));
    await using proxy = await FaultProxy.start(broker!.url);
    const [one, two] = [await open(proxy.url(broker!.url)), await open(broker!.url)];
    await one.ensureStream({ name: stream, topics: [">"], partitions: 4, maxAgeMs: 3_600_000, maxMessages: 1_000 });
    await groups(one, two, proxy);
    await tailsAndRequests(one, two);
    await state(two);
    await administration(two);
    await client.sendCommand(["ECHO", "the end"]);
    await until(() => heard.some((line) => line.includes("the end")), "all to be heard");

    const lines = [...new Set(heard.map((line) => JSON.stringify(argumentsOf(line))))];
    const asked = lines.map((line) => JSON.parse(line) as readonly string[]);
    const known = await scripts();
    const ran = new Set(asked.flatMap((args) => args.map((arg) => known.get(arg) ?? "")));
    const keys = await Promise.all(
      asked.map(([command = "", ...args]) =>
        client.sendCommand(["COMMAND", "GETKEYS", command, ...args]).then(
          (found) => found as unknown as readonly string[],
          () => [], // it has none
        ),
      ),
    );
    const all = new Set(keys.flat());
    expect(all.size).toBeGreaterThan(50);
    expect([...all].filter((key) => !key.startsWith(`{${prefix}}`))).toEqual([]);
    const missing = [...new Set(known.values())].filter((name) => !ran.has(name));
    expect(missing).toEqual([]);
  });
});
