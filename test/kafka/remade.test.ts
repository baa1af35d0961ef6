import { afterEach, describe, expect, it, vi } from "vitest";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { Reading } from "../../src/drivers/kafka/reading.ts";
import { connectTo, consume, groupSpec, joinGroup, outgoing, toTopic } from "../support/driver-harness.ts";
import { until } from "../../src/testing/until.ts";
import { deleteTopic, makeForeignTopic, writeForeign } from "../support/foreign-kafka.ts";
import { freshPrefix, testLink } from "../support/kafka-session.ts";
import { testBroker } from "../support/test-broker.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const broker = await testBroker("kafka", { own: true });
const closing: (() => Promise<unknown>)[] = [];
const one = { name: "events", topics: [">"], partitions: 1 };

async function open(prefix: string) {
  const driver = kafka({ brokers: broker!.url, sessionTimeoutMs: 6_000, heartbeatMs: 200 });
  const { connection } = await connectTo(driver, { prefix });
  closing.push(() => connection.close(AbortSignal.timeout(500)));
  const send = async (texts: readonly string[], stream = "events"): Promise<readonly string[]> => {
    const sent = texts.map((text) => outgoing(toTopic("a", stream), text));
    for (const each of sent) {
      connection.send([each.message]); // one after another: each is a batch
      await until(() => each.outcome !== "waiting", "it to complete", 20_000);
    }
    return sent.map(({ outcome }) => outcome);
  };
  return { connection, send };
}

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** Where a partition begins. */
async function beginOf(topic: string): Promise<number> {
  const { module, link } = await testLink(broker!);
  try {
    const partitions = [{ partitionIndex: 0, currentLeaderEpoch: -1, timestamp: -2n }];
    const answer = await link.ask(module.listOffsetsV9, [-1, 0, [{ name: topic, partitions }]], 5_000);
    return Number(answer.topics[0]?.partitions[0]?.offset ?? -1n);
  } finally {
    link.destroy();
  }
}

describe.skipIf(broker === undefined)("logs of Kafka that were cut, deleted and made again", () => {
  it("who connects behind a snapshot has all that it says, and who was there goes on", async () => {
    const prefix = freshPrefix();
    const { connection: before } = await open(prefix);
    await before.ensureStream(one);
    await before.ensureGroup(groupSpec("g"));
    // what counts for nothing counts as a record all the same
    await writeForeign(
      broker!,
      `${prefix}.control`,
      Array.from({ length: 1_000 }, () => ({ value: '{"is":"layout","version":1}' })),
    );
    await until(async () => (await beginOf(`${prefix}.control`)) > 0, "the control log to be cut", 20_000);
    const { connection: after } = await open(prefix);
    expect((await after.admin.groups()).map(({ spec }) => spec.group)).toEqual(["g"]);
    expect(await after.ensureStream(one)).toBe("unchanged");
    await after.ensureGroup(groupSpec("h"));
    await before.ensureGroup(groupSpec("i"));
    for (const each of [before, after])
      expect((await each.admin.groups()).map(({ spec }) => spec.group).toSorted()).toEqual(["g", "h", "i"]);
  });

  it("a stream that is deleted and made again is read from its first message, by whoever reads it", async () => {
    const prefix = freshPrefix();
    const { connection, send } = await open(prefix);
    const other = await open(prefix);
    await connection.ensureStream(one);
    await send(Array.from({ length: 10 }, (_, n) => `old ${n}`));
    await connection.ensureGroup(groupSpec("g", { from: { at: "newest" } }));
    const { consumption, sink } = await joinGroup(connection, "g");
    await send(["first"]);
    await until(() => sink.messages.length === 1, "the first");
    consumption.ack(sink.messages);
    await consumption.flush();
    await connection.admin.deleteStream("events");
    await connection.ensureStream(one);
    await other.connection.ensureStream(one); // or it may not have heard of it yet
    const texts = Array.from({ length: 4 }, (_, n) => `new ${n}`);
    expect(await other.send(texts)).toEqual(texts.map(() => "stored"));
    await until(
      () => sink.messages.length === 5,
      () => `all of the new one: ${sink.texts.join()}`,
      10_000,
    );
    expect(sink.texts.slice(1)).toEqual(texts);
    await until(async () => {
      const [state] = await other.connection.admin.groups();
      return state?.waiting === 0 && state.inFlight === 4;
    }, "it to be counted");
  });

  it("what is stored in a stream that was made again is told as stored, also by who only heard of it", async () => {
    const prefix = freshPrefix();
    const [here, there] = [await open(prefix), await open(prefix)];
    await here.connection.ensureStream(one);
    const texts = ["1", "2", "3"];
    for (const { send } of [here, there]) await send(texts);
    await here.connection.admin.deleteStream("events");
    await here.connection.ensureStream(one);
    await there.connection.admin.streams(); // it has heard of it
    for (const { send } of [here, there]) expect(await send(texts)).toEqual(["stored", "stored", "stored"]);
    await deleteTopic(broker!, `${prefix}.s.events`); // behind everybody's back
    await there.connection.ensureStream({ ...one, maxAgeMs: 7_200_000 }).catch(() => undefined);
    let outcomes: readonly string[] = [];
    await until(async () => (outcomes = await here.send(["again"]))[0] === "stored" || outcomes[0] === "unknown", "it");
    expect(outcomes).toEqual(["stored"]);
  });

  it("notes that are too long for a commit come back to whoever takes the partition, and no process dies of them", async () => {
    const prefix = freshPrefix();
    const { connection, send } = await open(prefix);
    await connection.ensureStream(one);
    await connection.ensureGroup(groupSpec("g", { order: "group" }));
    await send(Array.from({ length: 10 }, (_, n) => String(n)));
    const first = await joinGroup(connection, "g");
    await until(() => first.sink.messages.length === 10, "all");
    const notBefore = Date.now() + 60_000;
    const headers = [["omnibus-history", "x".repeat(450)]] as const;
    const noted = first.sink.messages.map((message) => ({ message, attempts: 1, notBefore, headers }));
    expect(new Set(await first.consumption.record(noted))).toEqual(new Set(["done"]));
    await first.consumption.close(AbortSignal.timeout(3_000));
    for (const name of ["the second", "the third"]) {
      const next = await open(prefix);
      const { consumption, sink } = await joinGroup(next.connection, "g");
      await until(() => sink.messages.length === 10, `${name} to have all`, 15_000);
      for (const message of sink.messages)
        expect([message.attempts, message.notBefore, message.headers().at(-1)]).toEqual([1, notBefore, headers[0]]);
      await consumption.close(AbortSignal.timeout(3_000));
    }
  });

  it("a topic that is deleted under a group that reads two holds up nothing of the other", async () => {
    const prefix = freshPrefix();
    const { connection, send } = await open(prefix);
    for (const name of ["four", "five"]) await connection.ensureStream({ ...one, name, topics: [`${name}.>`] });
    const reads = ["four", "five"].map((stream) => ({ stream, patterns: [">"] }));
    await connection.ensureGroup(groupSpec("g", { reads }));
    await Promise.all(Array.from({ length: 300 }, async (_, n) => await send([String(n)], "four")));
    const { consumption, sink } = await joinGroup(connection, "g", { messages: 20, bytes: 1_000_000 });
    await until(() => sink.messages.length === 20, "room to be full");
    await deleteTopic(broker!, `${prefix}.s.four`);
    consumption.ack(sink.messages.splice(0)); // their commit finds no topic
    const other = await open(prefix);
    const texts = Array.from({ length: 100 }, (_, n) => `fresh ${n}`);
    await Promise.all(texts.map(async (text) => await other.send([text], "five")));
    const seen = new Set<string>();
    await until(
      () => {
        for (const text of sink.texts) seen.add(text);
        consumption.ack(sink.messages.splice(0));
        return texts.every((text) => seen.has(text));
      },
      () => `all of the other: ${texts.filter((text) => seen.has(text)).length}`,
      20_000,
    );
    await consumption.flush();
  });

  it("what a broker that lags says of a topic ends nothing and repeats nothing", async () => {
    const prefix = freshPrefix();
    const { connection, send } = await open(prefix);
    await connection.ensureStream(one);
    await connection.ensureGroup(groupSpec("g"));
    const tail = await consume(connection, {
      ...{ kind: "tail", stream: "events", from: { at: "newest" }, resume: undefined },
    });
    await tail.consumption.wants([">"], []);
    const group = await joinGroup(connection, "g");
    const sinks = [tail.sink, group.sink];
    await send(["1"]);
    await until(() => sinks.every(({ messages }) => messages.length === 1), "the first");
    const whole = Reflect.get(Reading.prototype, "took") as (fetched: unknown) => void;
    const took = vi.spyOn(Reading.prototype, "took");
    const lags = new Set<Reading>();
    took.mockImplementation(function lagging(this: Reading, fetched) {
      if (lags.size < 2 && !lags.has(this)) {
        lags.add(this);
        return this.failed(lags.size === 1 ? 3 : 100);
      }
      return Reflect.apply(whole, this, [fetched]) as undefined;
    });
    await send(["2", "3"]);
    await until(() => sinks.every(({ messages }) => messages.length >= 3), "the others");
    took.mockRestore();
    for (const { texts, losses, ends } of sinks) expect([texts, losses, ends]).toEqual([["1", "2", "3"], [], []]);
    expect([lags.size, group.sink.revocations]).toEqual([2, []]);
  });

  it("a group whose offset is above the end of the log begins at that end", async () => {
    const prefix = freshPrefix();
    const { connection, send } = await open(prefix);
    await connection.ensureStream(one);
    await connection.ensureGroup(groupSpec("g"));
    await send(["1", "2"]);
    const first = await joinGroup(connection, "g");
    await until(() => first.sink.messages.length === 2, "both");
    first.consumption.ack(first.sink.messages);
    await first.consumption.close(AbortSignal.timeout(3_000));
    const group = `${prefix}.g`;
    await raiseOffsets(group, 10n); // as if eight more had been lost with a broker
    const second = await joinGroup(connection, "g");
    await until(() => second.sink.losses.length === 1, "it to be said");
    await until(async () => (await offsetsOf(group)).every(({ offset }) => offset < 10n), "its own to be committed");
    await send(["3", "4"]);
    await until(
      () => second.sink.messages.length === 2,
      () => `what came then: ${second.sink.texts.join()}`,
    );
    expect(second.sink.texts).toEqual(["3", "4"]);
  });

  it("a tail keeps the order of a partition whatever a leader's clock says", async () => {
    const prefix = freshPrefix();
    await makeForeignTopic(broker!, `${prefix}.s.events`, 2, { "message.timestamp.type": "CreateTime" });
    const { connection } = await open(prefix);
    await connection.ensureStream({ ...one, partitions: 2 });
    const from = { kind: "tail", stream: "events", from: { at: "oldest" }, resume: undefined } as const;
    const now = Date.now();
    const record = (value: string, back: number) => ({ value, at: now - back });
    await writeForeign(broker!, `${prefix}.s.events`, [
      record("a1", 50_000),
      record("a2", 90_000),
      record("a3", 10_000),
    ]);
    await writeForeign(broker!, `${prefix}.s.events`, [record("b1", 40_000), record("b2", 20_000)], 1);
    const { sink } = await consume(connection, from);
    await until(() => sink.messages.length === 5, "all");
    const of = (partition: string): readonly string[] => sink.texts.filter((text) => text.startsWith(partition));
    expect([of("a"), of("b")]).toEqual([
      ["a1", "a2", "a3"],
      ["b1", "b2"],
    ]);
  });
});

/** What is committed of the group's streams. */
async function offsetsOf(group: string): Promise<readonly { readonly topic: string; readonly offset: bigint }[]> {
  const { module, link } = await testLink(broker!);
  try {
    const asked = [{ groupId: group, memberEpoch: -1, topics: null }] as const;
    const { groups } = await link.ask(module.offsetFetchV9, [asked, false], 5_000);
    return (groups[0]?.topics ?? [])
      .filter(({ name }) => name.includes(".s."))
      .flatMap(({ name, partitions }) => partitions.map(({ committedOffset: offset }) => ({ topic: name, offset })));
  } finally {
    link.destroy();
  }
}

/** Commits for a group that nobody is in, beside what stands there. */
async function raiseOffsets(group: string, by: bigint): Promise<void> {
  const { module, link } = await testLink(broker!);
  try {
    const asked = [{ groupId: group, memberEpoch: -1, topics: null }] as const;
    const { groups } = await link.ask(module.offsetFetchV9, [asked, false], 5_000);
    const topics = (groups[0]?.topics ?? []).map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex, committedOffset, metadata }) => ({
        ...{ partitionIndex, committedOffset: committedOffset + by, committedLeaderEpoch: -1 },
        committedMetadata: metadata ?? "",
      })),
    }));
    expect(topics.length).toBeGreaterThan(0);
    await link.ask(module.offsetCommitV9, [group, -1, "", null, topics], 5_000);
  } finally {
    link.destroy();
  }
}
