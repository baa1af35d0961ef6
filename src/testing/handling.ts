import assert from "node:assert/strict";
import { defineEvent, typed } from "../index.ts";
import { Runs, upTo } from "./runs.ts";
import type { Item } from "./lab.ts";
import type { Suite } from "./suite.ts";
import { silence, until, within } from "./until.ts";

/** docs/guarantees.md, Handling: concurrency, limits of time, signals, pausing, prefetch. */
export function handlingTests({ test }: Suite): void {
  test(
    {
      name: "runs as many handlers at once as asked, and not one more",
      needs: ["groups"],
      short: { messages: 60, concurrency: 5 },
      full: { messages: 2_000, concurrency: 20 },
    },
    async (lab, { messages, concurrency }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      let gate = Promise.withResolvers<void>();
      const work = () => gate.promise;
      await bus.subscribe(item, runs.handler("m1", work), { group: lab.group(), concurrency });
      await Promise.all(upTo(messages).map((n) => bus.publish(item, { n })));
      await until(
        () => runs.active === concurrency,
        () => `${concurrency} at once; ${runs.active} run`,
      );
      await runs.silence(lab.quietMs);
      gate.resolve();
      gate = Promise.withResolvers();
      gate.resolve();
      await runs.until(messages);
      assert.equal(runs.peak, concurrency);
      runs.assertOnce(upTo(messages));
    },
  );

  test(
    {
      name: "prefetches at most twice the concurrency",
      needs: ["groups", "replay"],
      short: { messages: 100, concurrency: 4 },
    },
    async (lab, { messages, concurrency }) => {
      const [bus, observer] = [await lab.bus(), await lab.bus()];
      const item = lab.event();
      const runs = new Runs();
      const gate = Promise.withResolvers<void>();
      await Promise.all(upTo(messages).map((n) => bus.publish(item, { n })));
      await bus.subscribe(
        item,
        runs.handler("m1", () => gate.promise),
        { group: lab.group(), concurrency },
      );
      await until(() => runs.active === concurrency, "every slot to be taken");
      await runs.silence(lab.quietMs);
      let { inFlight, waiting } = await observer.groups.info(lab.group());
      await until(
        async () => {
          ({ inFlight, waiting } = await observer.groups.info(lab.group()));
          return inFlight >= concurrency && inFlight + waiting === messages;
        },
        () => `what runs to be told: ${inFlight} in flight, ${waiting} waiting`,
      );
      assert.ok(inFlight <= 2 * concurrency, `${inFlight} in flight`);
      gate.resolve();
      await runs.until(messages);
    },
  );

  test(
    {
      name: "aborts a handler at its limit, retries, and ignores what it does later",
      needs: ["groups"],
      short: { timeoutMs: 60 },
    },
    async (lab, { timeoutMs }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      const late = Promise.withResolvers<void>();
      const aborted: boolean[] = [];
      await bus.subscribe(
        item,
        runs.handler("m1", async ({ attempt }, { signal }) => {
          if (attempt > 1) return;
          await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
          aborted.push(signal.aborted);
          await late.promise;
        }),
        { group: lab.group(), timeoutMs },
      );
      await bus.publish(item, { n: 1 });
      await until(() => runs.handled.length === 1, "the second attempt to be done");
      late.resolve();
      await until(() => runs.active === 0, "the first to end");
      await runs.silence(lab.quietMs);
      assert.deepEqual([runs.attempts(1), aborted], [[1, 2], [true]]);
      const [first, second] = runs.all;
      assert.ok((second?.startedAt ?? 0) - (first?.startedAt ?? 0) >= timeoutMs - 5, "not before the limit");
    },
  );

  test(
    { name: "extend moves a handler's limit", needs: ["groups"], short: { timeoutMs: 80 } },
    async (lab, { timeoutMs }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      await bus.subscribe(
        item,
        runs.handler("m1", async (_, delivery) => {
          delivery.extend(timeoutMs * 50);
          await Promise.race([
            new Promise((resolve) => setTimeout(resolve, timeoutMs * 3)),
            new Promise((_resolve, reject) =>
              delivery.signal.addEventListener("abort", () => reject(new Error("aborted"))),
            ),
          ]);
        }),
        { group: lab.group(), timeoutMs },
      );
      await bus.publish(item, { n: 1 });
      await runs.until(1);
      await runs.silence(lab.quietMs);
      assert.deepEqual(runs.attempts(1), [1]);
    },
  );

  test(
    { name: "renews the lease of a handler that takes longer than it", needs: ["groups"], timeoutMs: 120_000 },
    async (lab) => {
      const leaseMs = lab.driver.leaseMs ?? 10_000;
      const [bus, other] = [await lab.bus(), await lab.bus()];
      const item = lab.event();
      const runs = new Runs();
      const slow = () => new Promise((resolve) => setTimeout(resolve, leaseMs * 2.5));
      for (const each of [bus, other])
        await each.subscribe(item, runs.handler("m", slow), { group: lab.group(), timeoutMs: 600_000 });
      await bus.publish(item, { n: 1 });
      await until(() => runs.handled.length > 0, "the handler to return", leaseMs * 2.5 + 15_000);
      await runs.silence(lab.quietMs);
      assert.deepEqual(runs.attempts(1), [1]);
    },
  );

  test(
    {
      name: "starts no handler after pause resolved, and goes on after resume",
      needs: ["groups"],
      short: { messages: 40 },
    },
    async (lab, { messages }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      const subscription = await bus.subscribe(
        item,
        runs.handler("m1", () => new Promise((resolve) => setTimeout(resolve, 2))),
        { group: lab.group(), concurrency: 2 },
      );
      await Promise.all(upTo(messages).map((n) => bus.publish(item, { n })));
      await runs.untilStarted(4);
      await subscription.pause();
      assert.equal(subscription.state, "paused");
      await silence(() => runs.all.length, "runs while paused", lab.quietMs);
      assert.ok(runs.all.length < messages, "there was something left to pause");
      await subscription.resume();
      await runs.until(messages);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages));
      assert.equal(subscription.state, "running");
    },
  );

  test(
    {
      name: "ends a subscription when its signal aborts; a later one gets what was left",
      needs: ["groups"],
      short: { messages: 20 },
    },
    async (lab, { messages }) => {
      const [bus, other] = [await lab.bus(), await lab.bus()];
      const item = lab.event();
      const runs = new Runs();
      const controller = new AbortController();
      const subscription = await bus.subscribe(
        item,
        runs.handler("first", ({ n }) => {
          if (n === 3) controller.abort();
        }),
        { group: lab.group(), signal: controller.signal, concurrency: 1 },
      );
      for (const n of upTo(messages)) await bus.publish(item, { n }, { key: "one" });
      await until(
        () => subscription.state === "closed",
        () => `closed, not ${subscription.state}`,
      );
      await runs.silence(lab.quietMs);
      const first = runs.by("first").length;
      assert.ok(first < messages, `${first} of ${messages} before it stopped`);
      await other.subscribe(item, runs.handler("second"), { group: lab.group() });
      await runs.until(messages);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages));
    },
  );

  test(
    { name: "unsubscribing waits for the handler that runs, and says whether there was anything", needs: ["groups"] },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      const gate = Promise.withResolvers<void>();
      const subscription = await bus.subscribe(
        item,
        runs.handler("m1", () => gate.promise),
        { group: lab.group() },
      );
      await bus.publish(item, { n: 1 });
      await runs.untilStarted(1);
      let done = false;
      const unsubscribed = subscription.unsubscribe().then((was) => {
        done = true;
        return was;
      });
      await silence(() => Number(done), "unsubscribed before its handler was done", 60);
      gate.resolve();
      assert.equal(await within(unsubscribed, "unsubscribe"), true);
      assert.equal(runs.handled.length, 1);
      assert.equal(await subscription.unsubscribe(), false);
      await bus.publish(item, { n: 2 });
      await runs.silence(lab.quietMs);
      assert.deepEqual(runs.numbers(), [1]);
    },
  );

  test(
    { name: "publishes from a handler carry its correlation and name it as their cause", needs: ["groups"] },
    async (lab) => {
      const bus = await lab.bus();
      const [first, second, third] = [lab.event("first"), lab.event("second"), lab.event("third")];
      const runs = new Runs();
      await bus.subscribe(
        first,
        runs.handler("m1", (_, delivery) => delivery.publish(second, { n: 2 })),
        { group: lab.group() },
      );
      await bus.subscribe(
        second,
        runs.handler("m1", () => bus.publish(third, { n: 3 })),
        { group: lab.group() },
      );
      await bus.subscribe(third, runs.handler(), { group: lab.group() });
      const { id } = await bus.publish(first, { n: 1 });
      await runs.until(3);
      const [one, two, three] = [1, 2, 3].map((n) => runs.all.find((run) => run.n === n)?.event);
      assert.deepEqual([one?.correlationId, two?.correlationId, three?.correlationId], [id, id, id]);
      assert.deepEqual([one?.causationId, two?.causationId, three?.causationId], [undefined, one?.id, two?.id]);
    },
  );

  for (const order of ["group", "process", "none"] as const) {
    test(
      {
        name: `runs ahead of the oldest unhandled only as far as the bound (order: ${order})`,
        needs: order === "group" ? ["groups", "order"] : ["groups"],
        short: { messages: 60, runAhead: 10 },
      },
      async (lab, { messages, runAhead }) => {
        const topic = lab.topic("bound");
        const bus = await lab.bus({ streams: [{ name: "single", topics: [`${lab.topic(">")}`], partitions: 1 }] });
        const item = defineEvent(topic, { schema: typed<Item>() });
        const runs = new Runs();
        const gate = Promise.withResolvers<void>();
        const work = ({ n }: { n: number }) => (n === 0 ? gate.promise : undefined);
        await bus.subscribe(item, runs.handler("m1", work), {
          group: lab.group(),
          runAhead,
          order,
          concurrency: 4,
        });
        for (const n of upTo(messages)) await bus.publish(item, { n }, { key: `k${n}` });
        await until(
          () => runs.all.length >= runAhead,
          () => `${runAhead} runs; ${runs.all.length} have begun`,
        );
        await runs.silence(lab.quietMs);
        assert.ok(
          Math.max(...runs.all.map((run) => run.n)) <= runAhead + 1,
          `${runs.all.length} begun, the bound is ${runAhead}`,
        );
        gate.resolve();
        await runs.until(messages);
        runs.assertOnce(upTo(messages));
      },
    );
  }
}
