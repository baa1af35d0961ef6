import assert from "node:assert/strict";
import type { Bus } from "../index.ts";
import type { GroupInfo } from "../admin.ts";
import type { Lab } from "./lab.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";

const hourMs = 3_600_000;
const orders = ["none", "process", "group"] as const;

type Counts = readonly [waiting: number, scheduled: number, inFlight: number];
const countsOf = ({ waiting, scheduled, inFlight }: GroupInfo): Counts => [waiting, scheduled, inFlight];

/** Makes a group that reads the pattern, and leaves it. */
async function makeGroup(bus: Bus, pattern: string, group: string, order: (typeof orders)[number]): Promise<void> {
  const subscription = await bus.subscribePattern(pattern, () => undefined, { group, order });
  await subscription.unsubscribe();
}

/** Resolves when the group's counts are these; fails with what they were. */
async function untilCounts(bus: Bus, group: string, wanted: Counts): Promise<void> {
  let last: Counts | undefined;
  await until(
    async () => {
      last = countsOf(await bus.groups.info(group));
      return last.every((count, index) => count === wanted[index]);
    },
    () => `${group}: waiting, scheduled and in flight to be ${wanted.join(", ")}; they are ${String(last)}`,
  );
}

const known = (lab: Lab): (typeof orders)[number][] =>
  orders.filter((order) => order !== "group" || lab.driver.capabilities.order);

/** What `groups.info` shows as its patterns, and what it counts as waiting, as scheduled and as old. */
export function groupInfoTests({ test }: Suite): void {
  test(
    {
      name: "keeps no pattern of a group that another of its patterns covers, and delivers each event once",
      needs: ["groups"],
    },
    async (lab) => {
      const [bus, other] = [await lab.bus(), await lab.bus()];
      const patternsOf = async (): Promise<readonly string[]> => (await other.groups.info(lab.group())).patterns;
      const [placed, paid] = [lab.event("placed", "orders.eu.placed"), lab.event("paid", "orders.paid")];
      const [all, one] = [new Runs(), new Runs()];
      const group = lab.group();
      const order = "none"; // in another one an event waits for an owner who takes it
      const narrow = await bus.subscribe(placed, one.handler("placed"), { group, order });
      await bus.subscribePattern(lab.topic("orders.>"), all.handler("all") as never, { group, order });
      assert.deepEqual(await patternsOf(), [lab.topic("orders.>")]);
      await other.subscribePattern(lab.topic("orders.*.placed"), all.handler("other") as never, { group, order });
      assert.deepEqual(await patternsOf(), [lab.topic("orders.>")], "nothing new");
      await bus.publish(placed, { n: 0 });
      await bus.publish(paid, { n: 1 });
      await all.until(2);
      await all.silence(lab.quietMs);
      all.assertOnce([0, 1]);
      assert.equal(
        one.handled.length,
        all.by("all").filter(({ n }) => n === 0).length,
        "all handlers of a member that match",
      );

      await narrow.unsubscribe();
      await other.groups.update(
        group,
        ["orders.*.placed", "orders.eu.>", "orders.eu.placed"].map((each) => lab.topic(each)),
      );
      assert.deepEqual(
        await patternsOf(),
        ["orders.*.placed", "orders.eu.>"].map((each) => lab.topic(each)),
        "neither covers the other",
      );
      const third = await lab.bus();
      await third.subscribePattern(lab.topic("orders.eu.*"), all.handler("all") as never, {
        group,
        order,
        name: "again",
      });
      assert.equal((await patternsOf()).length, 2);
      await third.subscribePattern(lab.topic("orders.*"), all.handler("all") as never, { group, order, name: "more" });
      assert.equal((await patternsOf()).length, 3, "and it grows again");
    },
  );

  test(
    {
      name: "counts what is published for later as waiting and as scheduled, in every group that reads it",
      needs: ["delay", "groups"],
      short: { delayMs: 200 },
    },
    async (lab, { delayMs }) => {
      const bus = await lab.bus();
      const item = lab.event();
      for (const order of known(lab)) await makeGroup(bus, lab.topic(">"), lab.group(order), order);
      await makeGroup(bus, lab.topic("else"), lab.group("else"), "none");
      for (const n of upTo(2)) await bus.publish(item, { n }, { delayMs: hourMs });
      for (const order of known(lab)) {
        const info = await bus.groups.info(lab.group(order));
        assert.deepEqual(countsOf(info), [2, 2, 0], order);
        assert.equal(info.oldestWaitingMs, undefined, `${order}: what is not due is not old`);
      }
      await bus.publish(item, { n: 2 });
      await bus.publish(item, { n: 3 }, { delayMs });
      await bus.send(lab.group("none"), item, { n: 4 }, { delayMs: hourMs });
      for (const order of known(lab)) {
        // the one with the short delay becomes due, and waits on
        await untilCounts(bus, lab.group(order), order === "none" ? [5, 3, 0] : [4, 2, 0]);
        const { oldestWaitingMs = -1 } = await bus.groups.info(lab.group(order));
        assert.ok(oldestWaitingMs >= 0 && oldestWaitingMs < 60_000, `${order}: ${oldestWaitingMs} ms old`);
      }
      assert.deepEqual(countsOf(await bus.groups.info(lab.group("else"))), [0, 0, 0]);
    },
  );

  test(
    {
      name: "counts an event that waits for its next attempt as waiting and scheduled where it was given back, in flight where it keeps its place",
      needs: ["groups"],
    },
    async (lab) => {
      const bus = await lab.bus();
      const observer = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      const fails = runs.handler("m1", () => {
        throw new Error("not now");
      });
      const retry = { maxAttempts: 5, backoff: { baseMs: hourMs, maxMs: hourMs, jitter: 0 } } as const;
      for (const order of known(lab)) await bus.subscribe(item, fails, { group: lab.group(order), order, retry });
      await bus.publish(item, { n: 1 }, { key: "one" });
      await until(() => runs.all.length === known(lab).length, "each group to try once");
      for (const order of known(lab))
        await untilCounts(observer, lab.group(order), order === "none" ? [1, 1, 0] : [0, 0, 1]);
    },
  );
}
