import { afterEach, describe, expect, it, vi } from "vitest";
import { loadClient } from "../../src/drivers/kafka/client.ts";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { until } from "../../src/testing/until.ts";
import { connectTo, groupSpec, joinGroup } from "../support/driver-harness.ts";
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
});
