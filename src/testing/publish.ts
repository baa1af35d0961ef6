import assert from "node:assert/strict";
import { defineEvent, outgoing, type PublishOptions } from "../index.ts";
import type { PublishOutcome } from "../receipt.ts";
import { itemsWhere } from "./items-where.ts";
import { codeOf, rejection } from "./rejection.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";

/** docs/guarantees.md, Publishing: what a receipt means, what travels, what is refused. */
export function publishTests({ test }: Suite): void {
  test(
    {
      name: "delivers what was published before anybody subscribed, each once, as it was sent",
      needs: ["groups", "replay"],
      short: { messages: 100 },
    },
    async (lab, { messages }) => {
      const bus = await lab.bus({ name: "shop" });
      const item = lab.event();
      const time = new Date(1_718_000_000_250);
      const receipts = await Promise.all(
        upTo(messages).map((n) =>
          bus.publish(
            item,
            { n, text: `x${n}` },
            {
              key: `k${n % 7}`,
              time,
              correlationId: "c-1",
              causationId: "c-0",
              priority: "high",
              metadata: { tenant: n },
            },
          ),
        ),
      );
      const runs = new Runs();
      await bus.subscribe(item, runs.handler(), { group: lab.group() });
      await runs.until(messages);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages));
      for (const { event, n } of runs.all) {
        assert.equal(event.id, receipts[n]?.id);
        assert.deepEqual(event.data, { n, text: `x${n}` });
        assert.deepEqual(
          [event.type, event.version, event.topic, event.source, event.key, event.priority, event.time.getTime()],
          [item.type, 1, item.type, "shop", `k${n % 7}`, "high", time.getTime()],
        );
        assert.deepEqual([event.correlationId, event.causationId, event.metadata], ["c-1", "c-0", { tenant: n }]);
      }
    },
  );

  test({ name: "resolves with a receipt that says where and how safely the event is stored" }, async (lab) => {
    const bus = await lab.bus();
    const receipt = await bus.publish(lab.event(), { n: 1 }, { id: "my-own-id" });
    assert.equal(receipt.id, "my-own-id");
    assert.equal(receipt.driver, bus.driver?.name);
    assert.equal(receipt.stored, lab.driver.capabilities.durable ? "broker" : "not-durable");
    assert.equal(receipt.duplicate, false);
    assert.equal(receipt.stream, "events");
  });

  test(
    {
      name: "stores a second publish of one id once, and says that it is a duplicate",
      needs: ["dedupe", "groups", "replay"],
    },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      assert.equal((await bus.publish(item, { n: 1 }, { id: lab.topic("id") })).duplicate, false);
      assert.equal((await bus.publish(item, { n: 1 }, { id: lab.topic("id") })).duplicate, true);
      await bus.publish(item, { n: 2 });
      const runs = new Runs();
      await bus.subscribe(item, runs.handler(), { group: lab.group() });
      await runs.until(2);
      await runs.silence(lab.quietMs);
      runs.assertOnce([1, 2]);
    },
  );

  test({ name: "delivers a second publish of one id again, with the same id", lacks: "dedupe" }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const runs = new Runs();
    await bus.subscribe(item, runs.handler());
    for (const _ of [1, 2]) assert.equal((await bus.publish(item, { n: 1 }, { id: "twice" })).duplicate, false);
    await until(() => runs.handled.length === 2, "both copies");
    assert.deepEqual(new Set(runs.all.map((run) => run.event.id)), new Set(["twice"]));
  });

  test(
    { name: "refuses to publish inside a transaction where it can't, and stores nothing", lacks: "transactions" },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      await bus.subscribe(item, runs.handler());
      const inside = { tx: { query: () => undefined } } as object as PublishOptions;
      // BUS_INVALID_OPTION as long as no driver has it and the bus does not know the option
      await rejection(bus.publish(item, { n: 1 }, inside), "BUS_UNSUPPORTED", "BUS_INVALID_OPTION");
      await bus.publish(item, { n: 2 });
      await runs.until(1);
      await runs.silence(lab.quietMs);
      runs.assertOnce([2]);
    },
  );

  test(
    { name: "gives publishMany one outcome for each item, in order, and stores the good ones", needs: ["groups"] },
    async (lab) => {
      const bus = await lab.bus();
      const strict = defineEvent(lab.topic("strict"), { schema: itemsWhere((n) => n % 2 === 0, "is odd") });
      const runs = new Runs();
      await bus.subscribe(strict, runs.handler(), { group: lab.group() });
      async function* items(): AsyncGenerator<ReturnType<typeof outgoing>> {
        for (const n of upTo(10))
          yield outgoing(strict.type, { n }, { id: `${lab.topic("id")}-${n}`, type: strict.type });
      }
      const typedItems = [strict.of({ n: 12 }), strict.of({ n: 13 }), strict.of({ n: 14 })];
      const outcomes = [...(await bus.publishMany(items())), ...(await bus.publishMany(typedItems))];
      assert.deepEqual(
        outcomes.map((outcome) => (outcome.ok ? "ok" : codeOf(outcome.error))),
        [...Array<string>(10).fill("ok"), "ok", "BUS_INVALID_DATA", "ok"],
      );
      assert.deepEqual(
        outcomes.slice(0, 10).map(idOf),
        upTo(10).map((n) => `${lab.topic("id")}-${n}`),
      );
      await runs.until(7); // odd untyped ones fail on receipt
      await runs.silence(lab.quietMs);
      runs.assertOnce([0, 2, 4, 6, 8, 12, 14]);
    },
  );

  test(
    { name: "stores nothing of a publish whose signal was aborted before it began", needs: ["groups"] },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      await bus.subscribe(item, runs.handler(), { group: lab.group() });
      await rejection(bus.publish(item, { n: 1 }, { signal: AbortSignal.abort() }), "BUS_ABORTED");
      await bus.publish(item, { n: 2 });
      await runs.until(1);
      await runs.silence(lab.quietMs);
      runs.assertOnce([2]);
    },
  );

  test(
    {
      name: "never says of a publish aborted on the way that it was certainly not stored, when it was",
      needs: ["groups"],
      short: { messages: 100 },
      full: { messages: 2_000 },
    },
    async (lab, { messages }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      await bus.subscribe(item, runs.handler(), { group: lab.group() });
      const outcomes = await Promise.all(
        upTo(messages).map(async (n) => {
          const controller = new AbortController();
          const publish = bus.publish(item, { n }, { signal: controller.signal });
          if (lab.random() < 0.3) controller.abort();
          else if (lab.random() < 0.5) setImmediate(() => controller.abort());
          return await outcomeOf(publish);
        }),
      );
      const stored = outcomes.flatMap((outcome, n) => (outcome === "stored" ? [n] : []));
      const rejected = outcomes.flatMap((outcome, n) => (outcome === "rejected" ? [n] : []));
      await until(
        () => stored.every((n) => runs.attempts(n).length > 0),
        () => `${stored.length} stored ones; handled ${runs.numbers().length}`,
      );
      await runs.quiet(lab.quietMs); // of those whose outcome is unknown some are stored
      assert.deepEqual(
        rejected.filter((n) => runs.attempts(n).length > 0),
        [],
        "rejected, and yet delivered",
      );
      assert.ok(stored.length < messages, "some were aborted in time");
    },
  );

  test(
    { name: "flush resolves when everything published so far is settled", short: { messages: 200 } },
    async (lab, { messages }) => {
      const bus = await lab.bus();
      const item = lab.event();
      let settled = 0;
      const publishes = upTo(messages).map((n) => bus.publish(item, { n }).then(() => settled++));
      await bus.flush();
      await Promise.resolve();
      assert.equal(settled, messages);
      await Promise.all(publishes);
    },
  );

  test(
    {
      name: "stores what many publishers publish at once, each once",
      needs: ["groups", "replay"],
      short: { messages: 400, publishers: 4 },
      full: { messages: 10_000, publishers: 20 },
    },
    async (lab, { messages, publishers }) => {
      const item = lab.event();
      const buses = await Promise.all(upTo(publishers).map(() => lab.bus()));
      await Promise.all(
        buses.map((bus, p) =>
          Promise.all(upTo(messages / publishers).map((n) => bus.publish(item, { n: n * publishers + p }))),
        ),
      );
      const runs = new Runs();
      await (buses[0] as (typeof buses)[0]).subscribe(item, runs.handler(), { group: lab.group() });
      await runs.until(messages);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages));
    },
  );
}

async function outcomeOf(publish: Promise<unknown>): Promise<"stored" | "rejected" | "unknown"> {
  try {
    await publish;
    return "stored";
  } catch (error) {
    return (error as { outcome?: "rejected" | "unknown" }).outcome ?? "rejected";
  }
}

function idOf(outcome: PublishOutcome): string {
  return outcome.ok ? outcome.receipt.id : outcome.id;
}
