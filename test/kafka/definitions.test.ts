import { afterEach, describe, expect, it, vi } from "vitest";
import type { DriverConnection } from "../../src/driver.ts";
import { loadClient } from "../../src/drivers/kafka/client.ts";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { silence, until } from "../../src/testing/until.ts";
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

interface Held {
  readonly held: () => boolean;
  readonly letGo: () => void;
}

/** The first commit of a topic from now on is sent, or answered to its member, no earlier than it is let go. */
async function holdCommit(topic: string, what: "it" | "its answer" = "its answer"): Promise<Held> {
  const { api } = (await loadClient()).offsetCommitV9;
  const commit = api.async.bind(api);
  const gate = Promise.withResolvers<void>();
  let [isFirst, held] = [true, false];
  vi.spyOn(api, "async").mockImplementation(async (...args) => {
    const isHeld = isFirst && args[5].some(({ name }) => name === topic);
    if (!isHeld) return await commit(...args);
    isFirst = false;
    const answer = what === "it" ? undefined : await commit(...args);
    held = true;
    await gate.promise;
    return answer ?? (await commit(...args));
  });
  return { held: () => held, letGo: gate.resolve };
}

/** The next answer to who is in a group is given no earlier than it is let go. */
async function holdMembers(): Promise<Held> {
  const { api } = (await loadClient()).describeGroupsV5;
  const ask = api.async.bind(api);
  const gate = Promise.withResolvers<void>();
  let [isFirst, held] = [true, false];
  vi.spyOn(api, "async").mockImplementation(async (...args) => {
    const isHeld = isFirst;
    isFirst = false;
    const answer = await ask(...args);
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

  it("that somebody else has written just now are not told as in force before they are", async () => {
    const prefix = freshPrefix();
    const [older, newer, next] = [await open(prefix), await open(prefix), await open(prefix)];
    await older.ensureStream(stream);
    await older.ensureGroup(groupSpec("g", { patterns: ["known"], order: "group" }));
    const { sink } = await joinGroup(older, "g");
    await until(() => sink.floors.size === 4, "it to have them");
    const { held, letGo } = await holdCommit(`${prefix}.s.events`, "it");
    const grown = groupSpec("g", { patterns: ["known", "added"], order: "group" });
    const inForce: string[] = [];
    const both = [
      newer.ensureGroup(grown).then(() => inForce.push("who wrote it")),
      (async () => {
        await until(held, "the owner to be about to go by it");
        await next.ensureGroup(grown);
        inForce.push("who found it");
      })(),
    ];
    await until(held, "the owner to be about to go by it");
    await silence(() => inForce.length, "in force", 300);
    letGo();
    await Promise.all(both);
    expect(inForce.length).toBe(2);
  });

  it("of a live group stay where somebody has joined since it was seen that nobody is there", async () => {
    const prefix = freshPrefix();
    const [first, second] = [await open(prefix), await open(prefix)];
    await first.ensureStream(stream);
    const live = groupSpec("g", { from: { at: "newest" }, live: true });
    await first.ensureGroup(live);
    const { consumption } = await joinGroup(first, "g");
    const { held, letGo } = await holdMembers();
    await consumption.close(AbortSignal.timeout(2_000));
    await until(held, "it to be seen that nobody is there");
    await second.ensureGroup(live);
    const { sink } = await joinGroup(second, "g");
    letGo();
    await store(second, "after");
    await until(() => sink.messages.length === 1, "what comes then");
    await silence(() => sink.ends.length, "the end of the group", 500);
    expect([(await second.admin.groups()).map(({ spec }) => spec.group), sink.texts]).toEqual([["g"], ["after"]]);
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
