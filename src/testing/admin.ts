import assert from "node:assert/strict";
import { createBus } from "../index.ts";
import { rejection } from "./rejection.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";

/** Groups looked at and changed by an operator, and health that tells the truth. */
export function adminTests({ test }: Suite): void {
  test(
    {
      name: "tells what of a group waits, is in flight, failed for good, and who its members are",
      needs: ["groups"],
      short: { messages: 12 },
    },
    async (lab, { messages }) => {
      const [bus, observer] = [await lab.bus(), await lab.bus()];
      const item = lab.event();
      const runs = new Runs();
      const gate = Promise.withResolvers<void>();
      await bus.subscribe(
        item,
        runs.handler("m1", ({ n }) => {
          if (n === 0) throw new Error("always");
          return gate.promise;
        }),
        { group: lab.group(), concurrency: 2, retry: { maxAttempts: 1 }, order: "none" },
      );
      for (const n of upTo(messages)) await observer.publish(item, { n }, { key: "one" });
      await until(() => runs.active === 2, "two to run");
      let info = await observer.groups.info(lab.group());
      // A letter is stored before its event is settled: for a moment both may be counted.
      await until(
        async () => {
          info = await observer.groups.info(lab.group());
          const { deadLetters, waiting, inFlight } = info;
          return deadLetters === 1 && inFlight >= 2 && waiting + inFlight === messages - 1;
        },
        () => `one letter, and two in hand: ${JSON.stringify(info)}`,
      );
      assert.deepEqual([info.group, info.patterns, info.order], [lab.group(), [item.pattern], "none"]);
      assert.equal(info.members.length, 1);
      assert.ok(info.inFlight <= 4, `${info.inFlight} in flight`);
      assert.equal(info.members[0]?.pid, process.pid);
      assert.ok((info.oldestWaitingMs ?? -1) >= 0);
      assert.ok((await observer.groups.list()).some((group) => group.group === lab.group()));
      gate.resolve();
      await runs.until(messages - 1);
      await until(async () => (await observer.groups.info(lab.group())).inFlight === 0, "all settled");
      await bus.close();
      await until(async () => (await observer.groups.info(lab.group())).members.length === 0, "the member to be gone");
      await rejection(observer.groups.info(lab.group("none")), "BUS_NOT_FOUND");
    },
  );

  test(
    {
      name: "resets a group to the oldest, but not under its members",
      needs: ["groups", "replay", "reset"],
      short: { messages: 8 },
    },
    async (lab, { messages }) => {
      const [bus, operator] = [await lab.bus(), await lab.bus()];
      const item = lab.event();
      const runs = new Runs();
      await bus.subscribe(item, runs.handler("before"), { group: lab.group() });
      for (const n of upTo(messages)) await bus.publish(item, { n });
      await runs.until(messages);
      await rejection(operator.groups.reset(lab.group(), "oldest"), "BUS_CONFLICT");
      await bus.close();
      await until(async () => (await operator.groups.info(lab.group())).members.length === 0, "the member to be gone");
      await operator.groups.reset(lab.group(), "oldest");
      assert.equal((await operator.groups.info(lab.group())).waiting, messages);
      const again = new Runs();
      await operator.subscribe(item, again.handler("after"), { group: lab.group() });
      await again.until(messages);
      await again.silence(lab.quietMs);
      again.assertOnce(upTo(messages));
      assert.deepEqual(new Set(again.all.map((run) => run.attempt)), new Set([1]));
    },
  );

  for (const need of ["reset", "trim", "recover"] as const) {
    test({ name: `refuses ${need} where the broker has none`, lacks: need, needs: ["groups"] }, async (lab) => {
      const bus = await lab.bus();
      const subscription = await bus.subscribe(lab.event(), () => undefined, { group: lab.group() });
      await subscription.unsubscribe();
      const calls = {
        reset: () => bus.groups.reset(lab.group(), "oldest"),
        trim: () => bus.streams.trim("events", new Date()),
        recover: () => bus.groups.recover(lab.group()),
      };
      await rejection(calls[need](), "BUS_UNSUPPORTED");
    });
  }

  test(
    {
      name: "deletes a group with its queue and its letters, once; a new one of its name starts afresh",
      needs: ["groups", "replay"],
    },
    async (lab) => {
      const [bus, operator] = [await lab.bus(), await lab.bus()];
      const item = lab.event();
      const subscription = await bus.subscribe(
        item,
        () => {
          throw new Error("always");
        },
        { group: lab.group(), retry: { maxAttempts: 1 } },
      );
      await bus.publish(item, { n: 1 });
      await until(async () => (await operator.deadLetters.count({ group: lab.group() })) === 1, "one letter");
      await subscription.unsubscribe();
      await bus.close();
      await operator.send(lab.group(), item, { n: 2 });
      assert.equal(await operator.groups.delete(lab.group()), true);
      assert.equal(await operator.groups.delete(lab.group()), false);
      assert.equal(await operator.deadLetters.count({ group: lab.group() }), 0);
      const runs = new Runs();
      await operator.subscribe(item, runs.handler(), { group: lab.group() });
      await runs.until(1);
      await runs.silence(lab.quietMs);
      runs.assertOnce([1]);
    },
  );

  test(
    {
      name: "a group deleted behind its members comes back by itself and loses nothing",
      needs: ["groups", "replay"],
      short: { messages: 20 },
    },
    async (lab, { messages }) => {
      const [bus, operator] = [await lab.bus(), await lab.bus()];
      const item = lab.event();
      const runs = new Runs();
      await bus.subscribe(item, runs.handler(), { group: lab.group() });
      for (const n of upTo(messages)) await operator.publish(item, { n });
      await runs.until(messages);
      await operator.groups.delete(lab.group());
      for (const n of upTo(messages)) await operator.publish(item, { n: messages + n });
      await runs.until(messages * 2);
      await until(async () => (await bus.health()).status === "up", "to be up again");
    },
  );

  test({ name: "health is up with its subscriptions, and down when it is closed", needs: ["groups"] }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const runs = new Runs();
    const group = await bus.subscribe(item, runs.handler(), { group: lab.group() });
    const tail = await bus.subscribe(item, runs.handler());
    await bus.publish(item, { n: 1 });
    await until(() => runs.handled.length === 2, "both");
    const health = await bus.health();
    assert.deepEqual([health.status, health.reasons, health.driver], ["up", [], bus.driver?.name]);
    assert.ok((health.roundTripMs ?? -1) >= 0);
    assert.deepEqual(new Set(health.subscriptions.map((each) => each.id)), new Set([group.id, tail.id]));
    assert.ok(health.subscriptions.find((each) => each.id === group.id)?.lastDelivery instanceof Date);
    await bus.close();
    const after = await bus.health();
    assert.equal(after.status, "down");
    assert.ok(after.reasons.length > 0);
  });

  test(
    {
      name: "health is degraded while a handler hangs far beyond its limit",
      needs: ["groups"],
      short: { timeoutMs: 100 },
    },
    async (lab, { timeoutMs }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      const gate = Promise.withResolvers<void>();
      await bus.subscribe(
        item,
        runs.handler("m1", ({ attempt }) => (attempt === 1 ? gate.promise : undefined)),
        { group: lab.group(), timeoutMs },
      );
      await bus.publish(item, { n: 1 });
      await until(async () => (await bus.health()).status === "degraded", "degraded", 10_000);
      const { reasons } = await bus.health();
      assert.ok(
        reasons.some((reason) => reason.includes(item.type) || reason.includes(lab.group())),
        reasons.join("; "),
      );
      gate.resolve();
      await until(async () => (await bus.health()).status === "up", "up again");
    },
  );

  test({ name: "verify names what is missing instead of making it" }, async (lab) => {
    await lab.bus(); // makes what this world's own prefix needs
    const options = { manage: "verify", prefix: "nobodys" } as const;
    const verifying = lab.adopt(createBus(lab.config(options)));
    const error = await rejection(verifying.publish(lab.event(), { n: 1 }), "BUS_NOT_FOUND");
    assert.match(error.message, /nobodys|events/);
  });
}
