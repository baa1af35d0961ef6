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
import { DeployReport, mostHandOns } from "./deploy-report.ts";
import { Deployment } from "./deployment.ts";

const isFull = process.env["OMNIBUS_FULL"] === "1";
const events = isFull ? 10_000 : 1_400;
const perSecond = isFull ? 1_000 : 400;

const folder = await mkdtemp(join(tmpdir(), "omnibus-deploy-"));
afterAll(() => rm(folder, { recursive: true }));
const [nats, redis] = [await testBroker("nats"), await testBroker("redis")];
const places: Readonly<Record<DeployMemberInput["driver"], string | undefined>> = {
  memory: "deploy",
  sqlite: join(folder, "bus.db"),
  nats: nats?.url,
  redis: redis?.url,
};

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
    "hands each event on fewer than three times to a version that knows it, and loses and repeats none",
    { timeout: 180_000 },
    async () => {
      const report = new DeployReport((await deploy(driver, "none")).records);
      const { early, awaited, ways } = report;
      console.info(
        `deploy: ${driver}, hand-ons of ${awaited.length} with room for them: ${report.spread(awaited)};`,
        `of ${early.length} before version 2 was there: ${report.spread(early)}; of all: ${report.spread(ways)}`,
      );
      assert.deepEqual(report.wrong, []);
      assert.deepEqual(
        awaited.filter(({ handOns }) => handOns >= 3),
        [],
      );
      // Where nobody knows it yet, or whoever does is busy, the looks become fewer the longer it waits.
      assert.deepEqual(
        ways.filter((way) => way.handOns > mostHandOns(way)),
        [],
      );
      assert.ok(
        awaited.length > 0 && ways.some((way) => way.handOns > 0 && !early.includes(way)),
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
      console.info(`deploy: ${driver}, ordered, looks of version 1: ${report.spread(report.ways)}`);
      assert.deepEqual(report.wrong, []);
      assert.deepEqual(
        records.filter(({ op }) => op === "release"),
        [],
      );
      assert.deepEqual(
        report.ways.filter((way) => way.inWrongHands >= 3 || way.handOns > mostHandOns(way)),
        [],
      );
      assert.ok(
        report.ways.some(({ handOns, inWrongHands }) => handOns > 0 && inWrongHands > 0),
        "there was something to wait",
      );
    },
  );
});
