import { afterEach, describe, expect, it, vi } from "vitest";
import type { DriverConnection } from "../../src/driver.ts";
import { loadClient } from "../../src/drivers/kafka/client.ts";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { until } from "../../src/testing/until.ts";
import { connectTo, consume, groupSpec, joinGroup, outgoing, textOf, toTopic } from "../support/driver-harness.ts";
import { freshPrefix } from "../support/kafka-session.ts";
import { testBroker } from "../support/test-broker.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const broker = await testBroker("kafka", { own: true });
const closing: (() => Promise<unknown>)[] = [];
const stream = { name: "events", topics: [">"], partitions: 4 };

async function open(prefix: string) {
  const driver = kafka({ brokers: broker!.url, sessionTimeoutMs: 6_000, heartbeatMs: 200 });
  const { connection } = await connectTo(driver, { prefix });
  closing.push(() => connection.close(AbortSignal.timeout(500)));
  return connection;
}

afterEach(async () => {
  vi.restoreAllMocks();
  for (const close of closing.splice(0)) await close();
});

const newestSpec = groupSpec("g", { from: { at: "newest" }, order: "group" });

async function store(connection: DriverConnection, ...texts: readonly string[]): Promise<void> {
  const sent = texts.map((text) => outgoing(toTopic("a", "events"), text));
  connection.send(sent.map(({ message }) => message));
  await until(() => sent.every(({ outcome }) => outcome === "stored"), "them to be stored");
}

/** The first commit of a topic from now on is answered to its member no earlier than it is let go. */
async function holdCommit(topic: string): Promise<{ readonly held: () => boolean; readonly letGo: () => void }> {
  const { api } = (await loadClient()).offsetCommitV9;
  const commit = api.async.bind(api);
  const gate = Promise.withResolvers<void>();
  let [isFirst, held] = [true, false];
  vi.spyOn(api, "async").mockImplementation(async (...args) => {
    const isHeld = isFirst && args[5].some(({ name }) => name === topic);
    if (isHeld) isFirst = false;
    const answer = await commit(...args);
    if (!isHeld) return answer;
    held = true;
    await gate.promise;
    return answer;
  });
  return { held: () => held, letGo: gate.resolve };
}

describe.skipIf(broker === undefined)("definitions of groups of Kafka", () => {
  it("are in force soon also where an owner is told of one while it takes its partitions", async () => {
    const prefix = freshPrefix();
    const [older, newer] = [await open(prefix), await open(prefix)];
    await older.ensureStream(stream);
    await older.ensureGroup(groupSpec("g", { patterns: ["known"], order: "group" }));
    const { held, letGo } = await holdCommit(`${prefix}.s.events`);
    const { sink } = await joinGroup(older, "g");
    await until(held, "the commit by which it takes them to be at the broker");
    let inForce: unknown;
    const grown = newer.ensureGroup(groupSpec("g", { patterns: ["known", "added"], order: "group" }));
    grown.then(
      () => (inForce = true),
      (error: unknown) => (inForce = error),
    );
    await until(() => sink.specs.length === 1, "the owner to hear of it");
    letGo();
    await until(() => inForce !== undefined, "it to be in force");
    expect(inForce).toBe(true);
  });

  /** A member that had settled the first of two, and has the second in hand when another bus deletes the group. */
  async function deletedUnder() {
    const prefix = freshPrefix();
    const [member, other] = [await open(prefix), await open(prefix)];
    await member.ensureStream({ ...stream, partitions: 1 });
    await member.ensureGroup(newestSpec);
    const { consumption, sink } = await joinGroup(member, "g");
    await store(member, "first", "second");
    await until(() => sink.messages.length === 2, "both");
    consumption.ack(sink.messages.slice(0, 1));
    await consumption.flush();
    await other.admin.deleteGroup("g");
    await until(() => sink.ends.length === 1, "the member to hear of it");
    return { member, other, floors: sink.floors, topic: `${prefix}.s.events` };
  }

  it("made again while a member was away are read from where that was, also by who did not know of it", async () => {
    const { member, other, floors } = await deletedUnder();
    await other.ensureGroup(newestSpec);
    const stranger = await joinGroup(other, "g");
    await store(other, "third");
    await until(() => stranger.sink.messages.length === 1, "the new member to have begun");
    expect(stranger.sink.texts).toEqual(["third"]);
    stranger.consumption.ack(stranger.sink.messages);
    await stranger.consumption.flush();
    await member.ensureGroup(newestSpec);
    const back = await consume(member, { kind: "group", group: "g", resume: floors });
    await until(
      () => [...stranger.sink.texts, ...back.sink.texts].includes("second"),
      () => `what was in hand to come again, beside ${[...stranger.sink.texts, ...back.sink.texts].join()}`,
    );
    const again = [...stranger.sink.messages.slice(1), ...back.sink.messages];
    expect(again.find((each) => textOf(each) === "second")?.deliveries).toBe(2); // somebody may have had it
  });

  it("made again are read from where they were also by who is told of that while it takes its partitions", async () => {
    const { member, other, floors, topic } = await deletedUnder();
    await other.ensureGroup(newestSpec);
    const { held, letGo } = await holdCommit(topic);
    const stranger = await joinGroup(other, "g");
    await until(held, "the commit by which it takes them to be at the broker");
    await member.ensureGroup(newestSpec);
    const back = await consume(member, { kind: "group", group: "g", resume: floors });
    await until(() => stranger.sink.specs.length === 1, "the new member to hear of it");
    letGo();
    await until(
      () => [...stranger.sink.texts, ...back.sink.texts].includes("second"),
      () => `what was in hand to come again, beside ${[...stranger.sink.texts, ...back.sink.texts].join()}`,
    );
  });

  it("made again by a member that owned nothing are read from where the group was", async () => {
    const { member } = await deletedUnder();
    await member.ensureGroup(newestSpec);
    const back = await consume(member, { kind: "group", group: "g", resume: new Map() });
    await until(() => back.sink.messages.length === 1, "what was in hand to come again");
    expect(back.sink.texts).toEqual(["second"]);
  });

  it("made again go back to what the group had settled, not to what a member heard last of a partition", async () => {
    const { member } = await deletedUnder();
    await member.ensureGroup(newestSpec);
    const back = await consume(member, { kind: "group", group: "g", resume: new Map([["events/0", "-1"]]) });
    await until(() => back.sink.messages.length > 0, "what was in hand to come again");
    expect(back.sink.texts).toEqual(["second"]);
  });

  it("made again by nobody who was a member begin where they say", async () => {
    const { other } = await deletedUnder();
    await other.ensureGroup(newestSpec);
    const { sink } = await joinGroup(other, "g");
    await store(other, "third");
    await until(() => sink.messages.length > 0, "the new one");
    expect(sink.texts).toEqual(["third"]);
  });
});
