import assert from "node:assert/strict";
import type { BusStatus } from "../status.ts";
import { type Run, Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";

/** Subscribers without a group: a copy each, from now on, retried here and then gone. */
export function tailTests({ test }: Suite): void {
  test(
    {
      name: "gives every subscriber without a group its own copy, from now on",
      short: { messages: 60 },
      full: { messages: 3_000 },
    },
    async (lab, { messages }) => {
      const item = lab.event();
      const [one, two, publisher] = [await lab.bus(), await lab.bus(), await lab.bus()];
      const runs = new Runs();
      await publisher.publish(item, { n: -1 });
      await one.subscribe(item, runs.handler("a"));
      await one.subscribe(item, runs.handler("b"));
      await two.subscribe(item, runs.handler("c"));
      await Promise.all(upTo(messages).map((n) => publisher.publish(item, { n })));
      await until(
        () => runs.handled.length === messages * 3,
        () => `${messages * 3} copies; ${runs.handled.length} came`,
      );
      await runs.silence(lab.quietMs);
      for (const member of ["a", "b", "c"]) {
        assert.deepEqual(
          runs
            .by(member)
            .map((run) => run.n)
            .toSorted((x, y) => x - y),
          upTo(messages),
          member,
        );
      }
    },
  );

  test(
    { name: "a tail gets the events of a key in their order", short: { messages: 200, keys: 5 } },
    async (lab, { messages, keys }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      await bus.subscribe(item, runs.handler(), { order: "process" });
      await Promise.all(upTo(messages).map((n) => bus.publish(item, { n }, { key: `k${n % keys}` })));
      await runs.until(messages);
      for (const key of upTo(keys)) {
        const of = runs.all.filter((run) => run.event.key === `k${key}`).map((run) => run.n);
        assert.deepEqual(
          of,
          of.toSorted((a, b) => a - b),
        );
      }
    },
  );

  test({ name: "retries a tail's handler by the same policy, then reports it and lets it go" }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const runs = new Runs();
    const reported: BusStatus[] = [];
    bus.onStatus((status) => reported.push(status));
    const work = ({ n }: Run): void => {
      if (n === 1) throw new Error("always");
    };
    await bus.subscribe(item, runs.handler("m1", work), {
      retry: { maxAttempts: 3, backoff: { baseMs: 1, jitter: 0 } },
    });
    await bus.publish(item, { n: 1 });
    await bus.publish(item, { n: 2 });
    await until(
      () => runs.attempts(1).length === 3,
      () => `3 attempts; ${runs.attempts(1).length} were`,
    );
    await runs.until(1);
    await runs.silence(lab.quietMs);
    assert.deepEqual([runs.attempts(1), runs.attempts(2)], [[1, 2, 3], [1]]);
    assert.ok(
      reported.some((status) => status.type === "handler-failed" && status.attempt === 3),
      "it is said",
    );
    assert.equal(await bus.deadLetters.count({ topic: item.type }), 0);
  });

  test(
    { name: "drops the oldest above a tail's buffer, and says so", short: { messages: 100, buffer: 10 } },
    async (lab, { messages, buffer }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      let lost = 0;
      bus.onStatus((status) => {
        if (status.type === "messages-lost") lost += status.count ?? 0;
      });
      const gate = Promise.withResolvers<void>();
      await bus.subscribe(
        item,
        runs.handler("slow", () => gate.promise),
        { bufferSize: buffer, concurrency: 1, order: "none" },
      );
      const quick = new Runs();
      await bus.subscribe(item, quick.handler("quick"));
      for (const n of upTo(messages)) await bus.publish(item, { n }, { key: "one" });
      await quick.until(messages);
      gate.resolve();
      await until(
        () => runs.handled.length + lost === messages,
        () => `${messages} handled or lost; ${runs.handled.length} and ${lost}`,
      );
      await runs.silence(lab.quietMs);
      assert.ok(lost > 0 && runs.handled.length <= buffer + 4, `${runs.handled.length} handled, ${lost} lost`);
      assert.equal(runs.handled.at(-1)?.n, messages - 1, "the newest is kept");
      quick.assertOnce(upTo(messages));
    },
  );

  test(
    { name: "a slow tail holds back neither the publisher nor the others", short: { messages: 100 } },
    async (lab, { messages }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const [slow, quick] = [new Runs(), new Runs()];
      const gate = Promise.withResolvers<void>();
      await bus.subscribe(
        item,
        slow.handler("slow", () => gate.promise),
        { concurrency: 1 },
      );
      await bus.subscribe(item, quick.handler("quick"));
      await Promise.all(upTo(messages).map((n) => bus.publish(item, { n })));
      await quick.until(messages);
      assert.equal(slow.handled.length, 0);
      gate.resolve();
      await slow.until(messages);
      slow.assertOnce(upTo(messages));
    },
  );

  test({ name: "a tail gets nothing after it unsubscribed, and the others still do" }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const [left, stays] = [new Runs(), new Runs()];
    const subscription = await bus.subscribe(item, left.handler());
    await bus.subscribe(item, stays.handler());
    await bus.publish(item, { n: 1 });
    await left.until(1);
    assert.equal(await subscription.unsubscribe(), true);
    await bus.publish(item, { n: 2 });
    await stays.until(2);
    await left.silence(lab.quietMs);
    left.assertOnce([1]);
  });
}
