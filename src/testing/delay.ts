import assert from "node:assert/strict";
import { rejection } from "./rejection.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";

/** `delayMs`, `at` and priorities: what changes when an event comes, and not whether. */
export function delayTests({ test }: Suite): void {
  test(
    {
      name: "delivers a delayed event not before its time, and once",
      needs: ["delay", "groups"],
      short: { delayMs: 400 },
      full: { delayMs: 1_500 },
    },
    async (lab, { delayMs }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      const due = new Map<number, number>();
      await bus.subscribe(item, runs.handler(), { group: lab.group() });
      await bus.publish(item, { n: 0 }); // joining and the first read are over with it
      await runs.until(1);
      const publishes: Promise<unknown>[] = [];
      for (const n of [1, 2, 3]) {
        due.set(n, performance.now() + n * delayMs);
        publishes.push(bus.publish(item, { n }, { delayMs: n * delayMs }));
      }
      due.set(4, performance.now() + delayMs);
      publishes.push(bus.publish(item, { n: 4 }, { at: new Date(Date.now() + delayMs) }));
      publishes.push(bus.publish(item, { n: 5 })); // in the same turn, or a slow broker would be through with the first by then
      await Promise.all(publishes);
      await runs.until(6);
      await runs.silence(lab.quietMs);
      runs.assertOnce([0, 1, 2, 3, 4, 5]);
      assert.equal(runs.all[1]?.n, 5, "one without a delay does not wait for those with");
      for (const run of runs.all) {
        const early = (due.get(run.n) ?? 0) - run.startedAt;
        assert.ok(early < 5, `${run.n} came ${early} ms too early`);
      }
    },
  );

  test(
    { name: "keeps a delayed event while nobody is connected", needs: ["delay", "groups", "durable"] },
    async (lab) => {
      const item = lab.event();
      const first = await lab.bus();
      const due = performance.now() + 200;
      await first.publish(item, { n: 1 }, { delayMs: 200 });
      await first.close();
      const second = await lab.bus();
      const runs = new Runs();
      await second.subscribe(item, runs.handler(), { group: lab.group() });
      await runs.until(1);
      assert.ok((runs.all[0]?.startedAt ?? 0) > due - 5, "not too early either");
    },
  );

  test({ name: "takes a time that is past for now", needs: ["groups"] }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const runs = new Runs();
    await bus.subscribe(item, runs.handler(), { group: lab.group() });
    await bus.publish(item, { n: 1 }, { at: new Date(Date.now() - 60_000) });
    await runs.until(1);
    runs.assertOnce([1]);
  });

  test({ name: "refuses a delay that it cannot keep, and stores nothing", lacks: "delay" }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const runs = new Runs();
    await bus.subscribe(item, runs.handler());
    const later = new Date(Date.now() + 60_000);
    await rejection(bus.publish(item, { n: 1 }, { delayMs: 10 }), "BUS_UNSUPPORTED");
    await rejection(bus.publish(item, { n: 1 }, { at: later }), "BUS_UNSUPPORTED");
    await bus.publish(item, { n: 2 });
    await runs.until(1);
    await runs.silence(lab.quietMs);
    runs.assertOnce([2]);
    const end = await lab.driverEnd();
    await end.refusesToSend(
      { kind: "topic", stream: "events", topic: lab.topic("late") },
      { notBefore: later.getTime() },
    );
  });

  test({ name: "refuses a delay that is no delay", needs: ["delay"] }, async (lab) => {
    const bus = await lab.bus();
    for (const delayMs of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      await rejection(
        bus.publish(lab.event(`e${delayMs}`.replace("-", "")), { n: 1 }, { delayMs }),
        "BUS_INVALID_OPTION",
      );
    }
    await rejection(bus.publish(lab.event(), { n: 1 }, { delayMs: 5, at: new Date() }), "BUS_INVALID_OPTION");
  });

  test(
    { name: "delivers what is waiting by priority", needs: ["priorities", "groups"], short: { messages: 20 } },
    async (lab, { messages }) => {
      const bus = await lab.bus();
      const item = lab.event();
      for (const n of upTo(messages)) await bus.publish(item, { n }, { priority: n % 2 === 0 ? "low" : "critical" });
      const runs = new Runs();
      await bus.subscribe(item, runs.handler(), { group: lab.group(), concurrency: 1, order: "none" });
      await runs.until(messages);
      const half = messages / 2;
      const early = runs.all.slice(0, half).filter((run) => run.event.priority === "critical").length;
      assert.ok(early > half * 0.8, `${early} of the first ${half} are critical`);
    },
  );

  test(
    {
      name: "carries the priority even though it delivers in the order of publishing",
      lacks: "priorities",
      needs: ["groups", "replay"],
    },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      const levels = ["low", "normal", "high", "critical"] as const;
      for (const [n, priority] of levels.entries()) await bus.publish(item, { n }, { priority, key: "one" });
      await bus.subscribe(item, runs.handler(), { group: lab.group(), concurrency: 1 });
      await runs.until(levels.length);
      assert.deepEqual(
        runs.all.map((run) => run.event.priority),
        levels,
      );
    },
  );
}
