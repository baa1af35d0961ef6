import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, it } from "vitest";
import {
  type HistoryRecord,
  keyOrder,
  nothingDuplicated,
  nothingInvented,
  nothingLost,
} from "../../src/testing/index.ts";
import { testBroker } from "../support/test-broker.ts";
import { type DeployMemberInput, group } from "./deploy-member.ts";
import { DeployReport } from "./deploy-report.ts";
import { Deployment } from "./deployment.ts";

const isFull = process.env["OMNIBUS_FULL"] === "1";
const events = isFull ? 10_000 : 1_400;
const perSecond = isFull ? 1_000 : 400;

const folder = await mkdtemp(join(tmpdir(), "omnibus-deploy-"));
afterAll(() => rm(folder, { recursive: true }));
const places: Record<string, string | undefined> = { memory: "deploy", sqlite: join(folder, "bus.db") };
for (const name of ["postgres", "nats", "redis", "rabbitmq", "kafka"] as const)
  places[name] = (await testBroker(name))?.url;

/**
 * Where a copy goes to the group's own queue, the broker chooses who gets it: RabbitMQ one of its consumers, Kafka the owner of
 * a partition, so that it may come to one member after the other.
 */
const most: Readonly<Record<string, number>> = { rabbitmq: 4, kafka: 8 };

async function deploy(driver: string, order: DeployMemberInput["order"]): Promise<Deployment> {
  const kind = driver as DeployMemberInput["driver"];
  const deployment = await Deployment.run({
    driver: kind,
    url: places[kind] ?? "",
    prefix: `deploy-${process.pid}-${order}`,
    order,
    events,
    perSecond,
  });
  const history = deployment.records.map((record) => ({ ...record, group }) as HistoryRecord);
  assert.deepEqual(
    [
      ...nothingLost(history, { groups: [group] }),
      ...nothingInvented(history),
      ...nothingDuplicated(history), // everybody left as they should
      ...(order === "group" ? keyOrder(history) : []),
    ],
    [],
  );
  assert.equal(deployment.letters, 0);
  return deployment;
}

describe.each(Object.entries(places))("a rolling deployment over %s", (driver, url) => {
  it.skipIf(url === undefined)(
    "hands each event on a few times at most to a version that knows it, and loses and repeats none",
    { timeout: 180_000 },
    async () => {
      const report = new DeployReport((await deploy(driver, "none")).records);
      console.info(`deploy: ${driver}, hand-ons: ${report.spread("handOns")}`);
      assert.deepEqual(report.wrong, []);
      assert.deepEqual(
        report.ways.filter(({ handOns }) => handOns > (most[driver] ?? 2)),
        [],
      );
      assert.equal(report.ways.length, events / 2);
      assert.ok(
        report.ways.some(({ handOns }) => handOns > 0),
        "there was something to hand on",
      );
    },
  );

  it.skipIf(url === undefined)(
    "keeps the order of each key, and what version 1 can't handle waits until its partition moves",
    { timeout: 180_000 },
    async () => {
      const { records } = await deploy(driver, "group");
      const report = new DeployReport(records);
      console.info(`deploy: ${driver}, ordered, members without a handler: ${report.spread("inWrongHands")}`);
      assert.deepEqual(report.wrong, []);
      assert.deepEqual(
        records.filter(({ op }) => op === "release"),
        [],
      );
      assert.deepEqual(
        report.ways.filter(({ inWrongHands }) => inWrongHands >= 3),
        [],
      );
      assert.ok(
        report.ways.some(({ looks, inWrongHands }) => looks > 0 && inWrongHands > 0),
        "there was something to wait",
      );
    },
  );
});
