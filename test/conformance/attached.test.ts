import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { DriverEnd } from "../../src/testing/driver-end.ts";
import { delayTests } from "../../src/testing/delay.ts";
import { groupInfoTests } from "../../src/testing/group-info.ts";
import { keyValueTests } from "../../src/testing/key-value.ts";
import { haltKeyTests } from "../../src/testing/halt-key.ts";
import type { Lab } from "../../src/testing/lab.ts";
import { scheduledTests } from "../../src/testing/scheduled.ts";
import { lack, type Parameters, type TestSpec } from "../../src/testing/suite.ts";
import { type DriverUnderTest, runTest } from "../../src/testing/test-driver.ts";
import type { Capabilities, Driver } from "../../src/driver.ts";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { lacking } from "../support/lacking-driver.ts";
import { forgetTopics, freshPrefix } from "../support/kafka-session.ts";
import { forgetPrefix, freshPrefix as freshRabbitPrefix } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const folder = await mkdtemp(join(tmpdir(), "omnibus-attached-"));
afterAll(() => rm(folder, { recursive: true }));
const [redis, nats] = [await testBroker("redis"), await testBroker("nats")];
const [postgres, log, rabbit] = [await testBroker("postgres"), await testBroker("kafka"), await testBroker("rabbitmq")];
const attached = (capabilities: Capabilities): Capabilities => ({
  ...capabilities,
  ...{ delay: "moved", schedules: "attached", state: "attached" },
});
const stores = [
  { name: "sqlite", url: (world: number) => `sqlite:${join(folder, `state-${world}.db`)}`, there: true },
  { name: "redis", url: () => redis!.url, there: redis !== undefined },
  { name: "nats", url: () => nats!.url, there: nats !== undefined },
  { name: "postgres", url: () => postgres!.url, there: postgres !== undefined },
];
let worlds = 0;

/** Memory without a state store, and another driver's beside it. */
function attachedTo(url: (world: number) => string): DriverUnderTest {
  return {
    name: "memory with an attached store",
    capabilities: attached(lacking(["state"]).capabilities),
    async create() {
      const world = (worlds += 1);
      const driver = lacking(["state"]);
      return {
        config: () => ({ driver, state: url(world), prefix: `attached${process.pid}-${world}` }),
        dispose: async () => undefined,
      };
    },
  };
}

/** Kafka, and a store beside it. */
function besideKafka(url: (world: number) => string): DriverUnderTest {
  return {
    name: "kafka with an attached store",
    capabilities: attached(kafka().capabilities),
    async create() {
      const world = (worlds += 1);
      const prefix = freshPrefix();
      return {
        config: () => ({ driver: kafka({ brokers: log!.url }), state: url(world), prefix }),
        dispose: async () => await forgetTopics(log!, prefix),
      };
    },
  };
}

/** RabbitMQ, and a store beside it. */
function besideRabbit(url: (world: number) => string): DriverUnderTest {
  return {
    name: "rabbitmq with an attached store",
    capabilities: attached(rabbitmq().capabilities),
    async create() {
      const world = (worlds += 1);
      const prefix = freshRabbitPrefix();
      const driver = (): Driver => rabbitmq({ url: rabbit!.url, leaseMs: 1_500 });
      return {
        config: () => ({ driver: driver(), state: url(world), prefix }),
        dispose: () => forgetPrefix(rabbit!.url, prefix),
      };
    },
  };
}

/** Each store beside memory; beside what takes long one of them, in the full tier all. */
const beside = (name: string): typeof stores =>
  process.env["OMNIBUS_FULL"] === "1" ? stores : stores.filter((store) => store.name === name);
const cases = [
  ...stores.map((store) => ({ ...store, to: "memory", driver: attachedTo(store.url) })),
  ...beside("sqlite").map(({ url, there, name }) => ({
    ...{ name, to: "kafka", there: there && log !== undefined, driver: besideKafka(url) },
  })),
  ...beside("postgres").map(({ url, there, name }) => ({
    ...{ name, to: "rabbitmq", there: there && rabbit !== undefined, driver: besideRabbit(url) },
  })),
];

describe.each(cases)("a state store attached to $to: $name", ({ driver, there }) => {
  const tests: { readonly name: string; readonly run: () => Promise<void> }[] = [];
  for (const declare of [keyValueTests, delayTests, scheduledTests, groupInfoTests, haltKeyTests])
    declare({
      test<P extends Parameters>(spec: TestSpec<P>, body: (lab: Lab, parameters: P) => Promise<void>): void {
        if (spec.lacks !== undefined || spec.needs?.some((need) => lack(need, driver) !== undefined) === true) return;
        tests.push({ name: spec.name, run: () => runTest(driver, spec, body, 60_000) });
      },
    });

  it.skipIf(!there).each(tests)("$name", { timeout: 60_000 }, async ({ run }) => {
    expect(await run()).toBeUndefined();
  });

  it.skipIf(!there)("is what the connection says it has", async () => {
    const world = await driver.create();
    const end = await DriverEnd.open(world.config());
    expect(end.connection.state).toBeDefined();
    await end.close();
  });
});
