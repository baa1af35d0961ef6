import { fork } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { connect, defineEvent, typed } from "../../src/index.ts";
import { upTo } from "../../src/testing/runs.ts";
import { until } from "../../src/testing/until.ts";
import { freshPrefix } from "../support/kafka-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("kafka", { own: true });
const keyed = defineEvent("keyed", {
  schema: typed<{ readonly key: string; readonly round: number }>(),
  key: ({ key }) => key,
});
const sessionTimeoutMs = 6_000;
/** What docs/kafka.md says: beyond the session. */
const takeoverMs = 2_000;
const group = "g";
const keys = upTo(48).map((n) => `k${n}`);

describe.skipIf(broker === undefined)("a member of Kafka whose process is killed", () => {
  it("is taken over within its session and two seconds, all of its partitions", { timeout: 120_000 }, async () => {
    // a busy machine makes it later, and nothing makes it earlier
    let tookMs = Number.POSITIVE_INFINITY;
    for (let kill = 0; kill < 3 && tookMs >= sessionTimeoutMs + takeoverMs; kill += 1) tookMs = await takeover();
    expect(tookMs).toBeLessThan(sessionTimeoutMs + takeoverMs);
    // less than that would be no takeover: the others may not have what it has before its session is over
    expect(tookMs).toBeGreaterThan(sessionTimeoutMs / 2);
  });
});

/** From the kill of one of two members to when the other handled all that waited. */
async function takeover(): Promise<number> {
  const prefix = freshPrefix();
  await using bus = await connect({ driver: kafka({ brokers: broker!.url, sessionTimeoutMs }), prefix });
  const here = new Map<string, number>();
  await bus.subscribe(keyed, ({ data }) => void here.set(data.key, data.round), { group });
  const there = new Set<unknown>();
  const file = new URL("../support/kafka-member-child.ts", import.meta.url);
  const child = fork(file, [broker!.url, prefix, group, String(sessionTimeoutMs)]);
  try {
    child.on("message", (key) => void there.add(key));
    let round = 0;
    const publish = (): Promise<unknown> => {
      round += 1;
      return bus.publishMany(keys.map((key) => keyed.of({ key, round })));
    };
    await until(async () => (await publish(), there.size >= keys.length / 4), "the other to have its share", 30_000);
    child.kill("SIGKILL");
    await once(child, "exit");
    const killedAt = performance.now();
    await publish(); // each key waits behind what the other had of it
    await until(() => keys.every((key) => here.get(key) === round), "all keys to be handled here", 30_000);
    return performance.now() - killedAt;
  } finally {
    child.kill("SIGKILL");
  }
}
