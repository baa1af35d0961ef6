import assert from "node:assert/strict";
import type { DriverConnection } from "../driver.ts";
import { type Bus, connect, defineRequest, typed } from "../index.ts";
import { changed } from "./changed.ts";
import type { Lab } from "./lab.ts";
import { rejection } from "./rejection.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";

/** Fails with every figure that is another one. */
function assertFigures(figures: object, wanted: Readonly<Record<string, unknown>>, whose: string): void {
  const some = Object.fromEntries(Object.keys(wanted).map((name) => [name, figures[name as never]]));
  assert.deepEqual(some, wanted, whose);
}

/** What `stats()` counts, of a bus and of a subscription, and that nothing is consumed by who only publishes. */
export function statisticsTests({ test }: Suite): void {
  test(
    {
      name: "counts runs, successes, failures, retries and letters, for the bus and for each subscription",
      needs: ["groups"],
    },
    async (lab) => {
      const began = Date.now();
      const bus = await lab.bus();
      const [item, other] = [lab.event("item"), lab.event("other")];
      const [runs, calm] = [new Runs(), new Runs()];
      const work = ({ n, attempt }: { n: number; attempt: number }): void => {
        if (n === 2 || (n === 1 && attempt === 1)) throw new Error("not this time");
      };
      const retry = { maxAttempts: 2, backoff: { baseMs: 5, jitter: 0 } } as const;
      const failing = await bus.subscribe(item, runs.handler("m1", work), {
        group: lab.group(),
        order: "none",
        retry,
      });
      const tail = await bus.subscribe(other, calm.handler("tail"));
      assert.equal(bus.stats().subscriptions, 2);
      assertFigures(
        bus.stats(),
        { published: 0, delivered: 0, lastPublishAt: undefined, lastErrorAt: undefined },
        "new",
      );
      for (const n of upTo(3)) await bus.publish(item, { n });
      await bus.publish(other, { n: 0 });
      await until(() => bus.stats().deadLettered === 1 && bus.stats().handled === 3, "all to have ended");

      const ends = { handled: 2, failed: 3, retried: 2, deadLettered: 1, inFlight: 0 };
      assertFigures(failing.stats(), { ...ends, delivered: 5 }, "the subscription's: runs of its handler");
      assertFigures(tail.stats(), { delivered: 1, handled: 1, failed: 0, retried: 0, deadLettered: 0 }, "the tail's");
      const whole = { ...ends, handled: 3, published: 4, publishFailed: 0, delivered: 6, duplicates: 0, unhandled: 0 };
      assertFigures(bus.stats(), { ...whole, reconnects: 0, rebalances: 0 }, "the bus's");
      assert.equal(await bus.deadLetters.count({ group: lab.group() }), 1);
      const { connectedAt, lastPublishAt, lastDeliveryAt, lastErrorAt } = bus.stats();
      const times = { connectedAt, lastPublishAt, lastDeliveryAt, lastErrorAt, of: failing.stats().lastDeliveryAt };
      for (const [name, time] of Object.entries({ ...times, error: failing.stats().lastErrorAt }))
        assert.ok(time !== undefined && time.getTime() >= began - 1 && time.getTime() <= Date.now() + 1, name);
      assert.ok(connectedAt!.getTime() <= lastPublishAt!.getTime(), "connected before it published");
      assert.equal(tail.stats().lastErrorAt, undefined);
      await tail.unsubscribe();
      assert.equal(bus.stats().subscriptions, 1);
    },
  );

  test({ name: "counts what runs now, of the bus and of each subscription", needs: ["groups"] }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const runs = new Runs();
    const gate = Promise.withResolvers<void>();
    const options = { group: lab.group(), order: "none", concurrency: 3 } as const;
    const subscription = await bus.subscribe(
      item,
      runs.handler("m1", () => gate.promise),
      options,
    );
    for (const n of upTo(10)) await bus.publish(item, { n });
    await until(() => runs.active === 3, "three to run");
    assert.deepEqual([bus.stats().inFlight, subscription.stats().inFlight], [3, 3]);
    gate.resolve();
    await until(() => bus.stats().handled === 10, "all to be handled");
    assert.deepEqual([bus.stats().inFlight, subscription.stats().inFlight], [0, 0]);
  });

  test({ name: "counts publishes that were refused, and those that the broker had already" }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    await bus.publish(item, { n: 1 }, { id: "twice" });
    await bus.publish(item, { n: 1 }, { id: "twice" });
    await rejection(bus.publish(item, { n: 2 }, { signal: AbortSignal.abort() }), "BUS_ABORTED");
    await bus.publish(item, { n: 3 }, { delivery: "at-most-once" });
    const duplicates = lab.driver.capabilities.dedupeWindowMs === 0 ? 0 : 1;
    assertFigures(bus.stats(), { published: 3, publishFailed: 1, duplicates }, "the bus's");
  });

  test(
    { name: "counts an event that no handler takes once, however often it is handed on", needs: ["groups"] },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      await bus.subscribe(item, () => undefined, { group: lab.group(), order: "none", handOnMs: 250 });
      await bus.publishTopic(lab.topic("item"), { n: 1 }, { type: lab.topic("unknown") });
      await until(() => bus.stats().deadLettered === 1, "it to be given up");
      assertFigures(bus.stats(), { unhandled: 1, handled: 0, failed: 0, retried: 0 }, "the bus's");
    },
  );

  test(
    { name: "says how long handlers take", needs: ["groups"], short: { messages: 48, tookMs: 30 } },
    async (lab, { messages, tookMs }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      assert.deepEqual(bus.stats().handleMs, { p50: 0, p99: 0 });
      const work = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, tookMs + 1));
      const options = { group: lab.group(), order: "none", concurrency: 16 } as const;
      const subscription = await bus.subscribe(item, runs.handler("m1", work), options);
      await Promise.all(upTo(messages).map((n) => bus.publish(item, { n })));
      await until(() => bus.stats().handled === messages, "all to be handled");
      const measured = runs.all.map(({ startedAt, endedAt }) => endedAt! - startedAt);
      for (const { p50, p99 } of [bus.stats().handleMs, subscription.stats().handleMs]) {
        assert.ok(p50 >= tookMs && p50 <= p99, `${p50} and ${p99} ms`);
        assert.ok(p99 <= Math.max(...measured) * 1.7 + 20, `${p99} ms; the longest took ${Math.max(...measured)} ms`);
      }
    },
  );

  test(
    {
      name: "counts partitions that went to another member, where they left",
      needs: ["groups", "order"],
      short: { keys: 32 },
    },
    async (lab, { keys }) => {
      const [first, second] = [await lab.bus(), await lab.bus()];
      const item = lab.event();
      const runs = new Runs();
      const options = { group: lab.group(), order: "group" } as const;
      await first.subscribe(item, runs.handler("first"), options);
      for (const n of upTo(keys)) await first.publish(item, { n }, { key: `k${n}` });
      await runs.until(keys);
      assert.equal(first.stats().rebalances, 0, "nobody else was there");
      await second.subscribe(item, runs.handler("second"), options);
      let round = 0;
      await until(async () => {
        for (const n of upTo(keys)) await first.publish(item, { n: keys * (round + 1) + n }, { key: `k${n}` });
        round += 1;
        return runs.by("second").length > 0;
      }, "the second to have a share");
      assert.ok(first.stats().rebalances > 0, "counted by who had them");
      assert.equal(second.stats().rebalances, 0, "and not by who got them");
    },
  );

  test({ name: "counts requests and answers, of the bus and of the responder" }, async (lab) => {
    const [bus, asking] = [await lab.bus(), await lab.bus()];
    const ask = defineRequest(lab.topic("ask"), { request: typed<number>(), response: typed<number>() });
    const gate = Promise.withResolvers<void>();
    const responder = await bus.respond(ask, async (n) => {
      if (n === 0) throw new Error("not zero");
      await gate.promise;
      return n;
    });
    await rejection(asking.request(ask, 0), "BUS_REMOTE");
    const answer = asking.request(ask, 1);
    await until(() => responder.stats().inFlight === 1, "it to be answered");
    assert.equal(bus.stats().inFlight, 1);
    gate.resolve();
    assert.equal(await answer, 1);
    for (const stats of [bus.stats(), responder.stats()]) {
      assertFigures(stats, { delivered: 2, handled: 1, failed: 1, inFlight: 0 }, "who answers");
      assert.ok(stats.lastErrorAt instanceof Date && stats.lastDeliveryAt instanceof Date);
      assert.ok(stats.handleMs.p99 > 0);
    }
    await until(() => bus.stats().published === 2, "two answers to be counted");
    assert.equal(asking.stats().published, 2, "two requests");
  });

  test(
    { name: "a bus that only publishes consumes nothing", needs: ["own driver", "groups"], short: { messages: 20 } },
    async (lab, { messages }) => {
      const consumed: string[] = [];
      const bus = await watched(lab, consumed);
      const item = lab.event();
      const reader = await lab.bus();
      const runs = new Runs();
      await reader.subscribe(item, runs.handler(), { group: lab.group() });
      for (const n of upTo(messages)) await bus.publish(item, { n });
      await bus.publishMany(upTo(messages).map((n) => item.of({ n: messages + n })));
      await bus.publish(item, { n: -1 }, { delivery: "at-most-once" });
      await bus.send(lab.group(), item, { n: 2 * messages });
      await bus.health();
      await runs.until(2 * messages + 1);
      await bus.flush();
      assert.deepEqual(consumed, []);
      assertFigures(bus.stats(), { delivered: 0, subscriptions: 0, lastDeliveryAt: undefined }, "the publisher's");
      const { members } = await reader.groups.info(lab.group());
      assert.equal(members.length, 1, "it is nobody's member");
      await bus.subscribe(item, () => undefined);
      assert.notDeepEqual(consumed, [], "the watch works");
    },
  );
}

/** A bus that notes what it consumes. */
async function watched(lab: Lab, consumed: string[]): Promise<Bus> {
  const config = lab.config();
  if (!("driver" in config)) throw new Error("no driver of its own");
  const { driver } = config;
  const watching = changed(driver, {
    connect: async (context) => {
      const connection = await driver.connect(context);
      return changed<DriverConnection>(connection, {
        consume: (source, sink, window) => {
          consumed.push(source.kind);
          return connection.consume(source, sink, window);
        },
      });
    },
  });
  return lab.adopt(await connect({ ...config, driver: watching }));
}
