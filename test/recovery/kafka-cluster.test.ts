import assert from "node:assert/strict";
import { describe, expect, it } from "vitest";
import type { Broker, BrokerServer } from "../../scripts/brokers/broker.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { kafka } from "../../src/drivers/kafka/index.ts";
import type { BusConfig } from "../../src/index.ts";
import { assertRecovered, recovered } from "../../src/testing/outages/aftermath.ts";
import { ticks } from "../../src/testing/outages/journal.ts";
import type { FaultWindow } from "../../src/testing/outages/judgement.ts";
import { Load } from "../../src/testing/outages/load.ts";
import type { RecoveryLab } from "../../src/testing/outages/recovery-lab.ts";
import { runRecovery } from "../../src/testing/outages/test-recovery.ts";
import { until } from "../../src/testing/until.ts";
import { KafkaCluster } from "../support/kafka-cluster.ts";
import { hasBroker } from "../support/test-broker.ts";
import { kafkaUnderTest, recoverable, recoveryOptions } from "./kafka-member.ts";

const has = await hasBroker("kafka");
const publishers = 20;
/** The others miss it after `broker.session.timeout.ms`, 3 s; if it is the controller too, they choose one first. */
const electionsMs = 15_000;
/** DESIGN.md, After an outage. */
const againMs = 5_000;
/** The default: longer than a coordinator's move takes, so that nobody has to join again. */
const sessionTimeoutMs = 10_000;
const wholeMs = 30_000;
const lookMs = 100;

/** When a reader first got something that was published since, for each reader and key of a publisher; without those that got nothing. */
function flowing(lab: RecoveryLab, since: number): ReadonlyMap<string, number> {
  const fresh = new Set<string>();
  const first = new Map<string, number>();
  for (const { op, id, at, group, key } of lab.journal.history) {
    if (op === "publish-started" && at > since) fresh.add(id);
    else if (op === "handling" && fresh.has(id) && !first.has(`${group} ${key}`)) first.set(`${group} ${key}`, at);
  }
  return first;
}

/** When every key flowed again to both groups and the tail. */
async function allFlow(lab: RecoveryLab, since: number): Promise<number> {
  let found: ReadonlyMap<string, number> = new Map();
  let askedAt = 0;
  await until(
    () => {
      if (ticks() - askedAt < lookMs) return false; // a long history takes a while
      askedAt = ticks();
      return (found = flowing(lab, since)).size === publishers * 3;
    },
    () => `every key to flow again to everybody; these do: ${[...found.keys()].join(", ")}`,
    againMs + 10_000, // how late it is, is for the judgement to say
  );
  return Math.max(...found.values());
}

/**
 * Kills the one that keeps the ordered group and leads partitions, each time another one, under load. How many ms after others did
 * every key flowed again.
 */
async function kill(lab: RecoveryLab, cluster: KafkaCluster, times: number): Promise<readonly number[]> {
  const load = await Load.start(lab, publishers);
  const topic = `${lab.names.prefix}.s.events`;
  const group = `${lab.names.prefix}.${load.ordered}`;
  const took: number[] = [];
  const faults: FaultWindow[] = [];
  let before: BrokerServer | undefined;
  let since = 0;
  for (let n = 0; n < times; n += 1) {
    await until(() => cluster.isWhole(), "every broker to have all", wholeMs);
    const victim = await cluster.coordinator(group);
    assert.ok(victim !== undefined && victim !== before, "another one keeps the group now");
    assert.ok((await cluster.leaders(topic)).includes(victim), "it leads partitions too");
    before = victim;
    await load.busy();
    const from = ticks();
    await victim.kill();
    await until(() => cluster.hasMovedFrom(victim, topic, group), "others to lead, and to keep the group", electionsMs);
    const movedAt = ticks();
    const tookMs = Math.round((await allFlow(lab, from)) - movedAt);
    console.info(
      `three of kafka: others lead after ${Math.round(movedAt - from)} ms, all keys flow ${tookMs} ms later`,
    );
    took.push(tookMs);
    await victim.start();
    since = ticks();
    faults.push({ from, until: await recovered(lab, load, since) });
  }
  await assertRecovered(lab, load, { faults, since });
  return took;
}

describe.skipIf(!has)("three brokers of Kafka", () => {
  it(
    "go on when the one is killed that keeps a group and leads partitions, and again when it is another",
    {
      timeout: 120_000,
    },
    async () => {
      let broker: Broker | undefined;
      const create = async () => recoverable((broker = await startBroker("kafka", { variant: "cluster" })));
      const config = (): BusConfig => ({
        driver: kafka({ ...recoveryOptions, sessionTimeoutMs, brokers: new KafkaCluster(broker!).urls }),
        streams: [{ name: "events", topics: [">"], replicas: 3 }],
      });
      const three = { ...kafkaUnderTest, name: "three of kafka", broker: { create }, config };
      let took: readonly number[] = [];
      await runRecovery(three, { name: "another leads and keeps the group", needs: [] }, async (lab) => {
        took = await kill(lab, new KafkaCluster(broker!), 2);
      });
      for (const ms of took) expect(ms).toBeLessThan(againMs);
    },
  );
});
