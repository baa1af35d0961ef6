import assert from "node:assert/strict";
import { rejection } from "./rejection.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";

/** Streams: who captures what, how much they keep, and what they say when they drop. */
export function streamTests({ test }: Suite): void {
  test({ name: "the most specific stream captures a topic, in every process", needs: ["groups"] }, async (lab) => {
    const [bus, other] = [await lab.bus(), await lab.bus()];
    const orders = { name: lab.group("orders"), topics: [lab.topic("orders.>")] };
    const placed = { name: lab.group("placed"), topics: [lab.topic("orders.*.placed")] };
    assert.equal(await bus.streams.ensure(orders), "created");
    assert.equal(await bus.streams.ensure(placed), "created");
    assert.equal(await bus.streams.ensure(placed), "unchanged");
    const streamOf = async (topic: string): Promise<string | undefined> =>
      (await other.publishTopic(lab.topic(topic), {})).stream;
    await until(async () => (await streamOf("orders.eu.placed")) === placed.name, "the other process to know");
    assert.deepEqual([await streamOf("orders.eu.paid"), await streamOf("else")], [orders.name, "events"]);
    const names = (await bus.streams.list()).map((stream) => stream.name);
    assert.deepEqual(names.filter((name) => name === orders.name || name === placed.name).length, 2);
    const info = await bus.streams.info(placed.name);
    assert.deepEqual([info.name, info.topics, info.partitions], [placed.name, placed.topics, 16]);
    assert.ok(info.messages >= 1);
  });

  test({ name: "refuses two streams with one pattern, and changing what is fixed" }, async (lab) => {
    const bus = await lab.bus();
    const stream = { name: lab.group("a"), topics: [lab.topic("a.>")], partitions: 4 };
    await bus.streams.ensure(stream);
    const same = await rejection(
      bus.streams.ensure({ name: lab.group("b"), topics: [lab.topic("a.>")] }),
      "BUS_CONFLICT",
    );
    assert.ok(same.message.includes(lab.topic("a.>")), `${same.message} does not name the pattern`);
    const fixed = await rejection(bus.streams.ensure({ ...stream, partitions: 8 }), "BUS_CONFLICT");
    assert.match(fixed.message, /\b4 partitions\b.*\b8\b/);
    assert.equal(await bus.streams.ensure({ ...stream, maxAgeMs: 60_000 }, { dryRun: true }), "updated");
    assert.equal(await bus.streams.ensure({ ...stream, maxAgeMs: 60_000 }), "updated");
    assert.equal(await bus.streams.ensure({ ...stream, maxAgeMs: 60_000 }), "unchanged");
    await rejection(bus.streams.info(lab.group("none")), "BUS_NOT_FOUND");
  });

  test(
    { name: "reads a pattern from every stream that it overlaps, each event once", needs: ["groups", "replay"] },
    async (lab) => {
      const bus = await lab.bus({
        streams: [
          { name: lab.group("a"), topics: [lab.topic("a.>")] },
          { name: lab.group("b"), topics: [lab.topic("b.*")] },
          { name: "events", topics: [">"] },
        ],
      });
      const [group, tail, narrow] = [new Runs(), new Runs(), new Runs()];
      const items = ["a.x", "b.x", "c.x", "b.x.y"].map((topic) => lab.event(topic));
      await bus.subscribePattern(lab.topic(">"), tail.handler("tail") as never);
      const streams = await Promise.all(items.map(async (item, n) => (await bus.publish(item, { n })).stream));
      assert.deepEqual(streams, [lab.group("a"), lab.group("b"), "events", "events"]);
      await bus.subscribePattern(lab.topic(">"), group.handler("group") as never, { group: lab.group("all") });
      await bus.subscribePattern(lab.topic("*.x"), narrow.handler() as never, { group: lab.group("narrow") });
      await Promise.all([group.until(4), tail.until(4), narrow.until(3)]);
      await group.silence(lab.quietMs);
      group.assertOnce(upTo(4));
      tail.assertOnce(upTo(4));
      narrow.assertOnce(upTo(3));
    },
  );

  test({ name: "refuses what no stream captures, and stores nothing of it" }, async (lab) => {
    const streams = [{ name: lab.group("known"), topics: [lab.topic("known.>")] }];
    const bus = await lab.bus({ streams, prefix: lab.group("own") });
    const [known, unknown] = [lab.event("known.item"), lab.event("unknown.item")];
    const seen = new Runs();
    await bus.subscribe(known, seen.handler());
    const error = await rejection(bus.publish(unknown, { n: 1 }), "BUS_NOT_FOUND");
    assert.match(error.message, /no stream captures/);
    assert.equal((await bus.publish(known, { n: 2 })).stream, lab.group("known"));
    await seen.until(1);
    assert.equal((await bus.streams.info(lab.group("known"))).messages, 1);
  });

  test(
    { name: "a group reads a stream that was added later from its oldest", needs: ["groups", "replay"] },
    async (lab) => {
      const [bus, other] = [await lab.bus(), await lab.bus()];
      const item = lab.event("item", "new.item");
      const runs = new Runs();
      await bus.subscribePattern(lab.topic(">"), runs.handler() as never, { group: lab.group() });
      await bus.publish(item, { n: 1 });
      await other.streams.ensure({ name: lab.group("new"), topics: [lab.topic("new.>")] });
      await until(
        async () => (await other.publish(item, { n: 2 })).stream === lab.group("new"),
        "the new stream to capture it",
      );
      await until(
        () => runs.numbers().includes(1) && runs.numbers().includes(2),
        () => `both; ${runs.numbers().join(" ")} came`,
      );
    },
  );

  test(
    {
      name: "trims what is handled and never what a group has not",
      needs: ["groups", "replay", "trim"],
      short: { messages: 30 },
    },
    async (lab, { messages }) => {
      const name = lab.group("trimmed");
      const bus = await lab.bus({ streams: [{ name, topics: [lab.topic(">")], partitions: 1 }] });
      const item = lab.event();
      const [quick, lagging] = [new Runs(), new Runs()];
      await bus.subscribe(item, quick.handler(), { group: lab.group("quick") });
      const gate = Promise.withResolvers<void>();
      await bus.subscribe(
        item,
        lagging.handler("m1", ({ n }) => (n >= 10 ? gate.promise : undefined)),
        { group: lab.group("lagging"), concurrency: 1 },
      );
      for (const n of upTo(messages)) await bus.publish(item, { n }, { key: "one" });
      await quick.until(messages);
      await lagging.untilStarted(11);
      await until(
        async () =>
          (await bus.groups.info(lab.group("lagging"))).waiting +
            (await bus.groups.info(lab.group("lagging"))).inFlight ===
          messages - 10,
        "ten to be settled",
      );
      const trimmed = await bus.streams.trim(name, new Date(Date.now() + 1_000));
      assert.ok(trimmed <= 10, `${trimmed} went, and only 10 were handled by all`);
      assert.equal((await bus.streams.info(name)).messages, messages - trimmed);
      gate.resolve();
      await lagging.until(messages);
      lagging.assertOnce(upTo(messages));
      await until(async () => (await bus.groups.info(lab.group("lagging"))).inFlight === 0, "all settled");
      assert.equal((await bus.streams.trim(name, new Date(Date.now() + 1_000))) + trimmed, messages);
    },
  );

  test(
    { name: "drops by age, handled or not, and says what was not", needs: ["groups"], short: { maxAgeMs: 1_000 } },
    async (lab, { maxAgeMs }) => {
      const name = lab.group("short");
      const bus = await lab.bus({ streams: [{ name, topics: [lab.topic(">")], maxAgeMs }] });
      const item = lab.event();
      const runs = new Runs();
      const said: string[] = [];
      bus.onStatus((status) => status.type === "messages-lost" && said.push(status.reason));
      const subscription = await bus.subscribe(item, runs.handler(), { group: lab.group() });
      await subscription.unsubscribe();
      for (const n of upTo(5)) await bus.publish(item, { n });
      await until(async () => (await bus.streams.info(name)).messages === 0, "the stream to be empty");
      await bus.subscribe(item, runs.handler(), { group: lab.group() });
      const fresh: number[] = [];
      while (runs.handled.length === 0 && fresh.length < 10) {
        fresh.push(5 + fresh.length);
        await bus.publish(item, { n: fresh.at(-1)! });
        // one that nobody was quick enough for has gone by its age, too
        await until(() => runs.handled.length > 0, "it", maxAgeMs).catch(() => undefined);
      }
      await runs.silence(lab.quietMs);
      assert.ok(runs.all.length > 0 && runs.all.every(({ n }) => fresh.includes(n)), "none that was too old");
      runs.assertOnce(runs.all.map(({ n }) => n));
      await until(() => said.length > 0, "messages-lost");
    },
  );

  test(
    {
      name: "refuses above its size, typed, and takes more when there is room",
      needs: ["groups"],
      short: { maxMessages: 10 },
    },
    async (lab, { maxMessages }) => {
      const name = lab.group("full");
      const bus = await lab.bus({
        streams: [{ name, topics: [lab.topic(">")], maxMessages, whenFull: "reject" }],
        publishing: { retry: { maxAttempts: 1 } },
      });
      const item = lab.event();
      const runs = new Runs();
      const subscription = await bus.subscribe(item, runs.handler(), { group: lab.group() });
      await subscription.unsubscribe();
      for (const n of upTo(maxMessages)) await bus.publish(item, { n });
      const error = await rejection(bus.publish(item, { n: -1 }), "BUS_FULL");
      assert.equal((error as { outcome?: string }).outcome, "rejected");
      await bus.subscribe(item, runs.handler(), { group: lab.group() });
      await runs.until(maxMessages);
      let n = maxMessages;
      await until(
        async () =>
          await bus.publish(item, { n }).then(
            () => true,
            () => false,
          ),
        "room after handling",
      );
      await runs.until(++n);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(n));
    },
  );

  test(
    {
      name: "stores what was refused for lack of room when it is published again with its id, and calls it no duplicate",
      needs: ["dedupe", "groups"],
      short: { maxMessages: 3 },
    },
    async (lab, { maxMessages }) => {
      const streams = [{ name: lab.group("full"), topics: [lab.topic(">")], maxMessages, whenFull: "reject" as const }];
      const bus = await lab.bus({ streams, publishing: { retry: { maxAttempts: 1 } } });
      const item = lab.event();
      const runs = new Runs();
      const subscription = await bus.subscribe(item, runs.handler(), { group: lab.group() });
      await subscription.unsubscribe();
      for (const n of upTo(maxMessages)) await bus.publish(item, { n });
      const again = (): Promise<{ readonly duplicate: boolean }> =>
        bus.publish(item, { n: maxMessages }, { id: lab.topic("again") });
      await rejection(again(), "BUS_FULL");
      await rejection(again(), "BUS_FULL");
      await bus.subscribe(item, runs.handler(), { group: lab.group() });
      let receipt: { readonly duplicate: boolean } | undefined;
      await until(async () => {
        receipt = await again().catch(() => undefined);
        return receipt !== undefined;
      }, "room after handling");
      assert.equal(receipt?.duplicate, false);
      await runs.until(maxMessages + 1);
      assert.equal((await again()).duplicate, true);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(maxMessages + 1));
    },
  );

  test(
    {
      name: "a group without a member for long enough holds nothing back any more",
      needs: ["groups"],
      short: { idleGroupMs: 100, maxMessages: 10 },
      full: { idleGroupMs: 1_000, maxMessages: 1_000 },
    },
    async (lab, { idleGroupMs, maxMessages }) => {
      const name = lab.group("forgotten");
      const stream = { name, topics: [lab.topic(">")], maxMessages, partitions: 1 } as const;
      const item = lab.event();
      const bus = await lab.bus({ streams: [{ ...stream, idleGroupMs }] });
      const subscription = await bus.subscribe(item, () => undefined, { group: lab.group() });
      await subscription.unsubscribe();
      for (const n of upTo(maxMessages)) await bus.publish(item, { n });
      await until(
        () =>
          bus.publish(item, { n: maxMessages }, { timeoutMs: 50 }).then(
            () => true,
            () => false,
          ),
        "room for one more",
      );
      assert.ok((await bus.streams.info(name)).messages <= maxMessages);
    },
  );

  test(
    {
      name: "drops the oldest above its size where that was asked, and says so",
      needs: ["groups"],
      short: { messages: 30, maxMessages: 10 },
    },
    async (lab, { messages, maxMessages }) => {
      const name = lab.group("ring");
      const bus = await lab.bus({
        streams: [{ name, topics: [lab.topic(">")], maxMessages, whenFull: "drop-oldest", partitions: 1 }],
      });
      const item = lab.event();
      const runs = new Runs();
      let lost = 0;
      bus.onStatus((status) => {
        if (status.type === "messages-lost") lost += status.count ?? 1;
      });
      const subscription = await bus.subscribe(item, runs.handler(), { group: lab.group() });
      await subscription.unsubscribe();
      for (const n of upTo(messages)) await bus.publish(item, { n }, { key: "one" });
      await bus.subscribe(item, runs.handler(), { group: lab.group() });
      await until(() => runs.numbers().includes(messages - 1), "the newest");
      await runs.silence(lab.quietMs);
      assert.deepEqual(runs.numbers(), upTo(messages).slice(messages - runs.numbers().length), "the newest, in order");
      assert.ok(runs.numbers().length <= maxMessages);
      await until(() => lost > 0, "messages-lost");
    },
  );

  test({ name: "deletes a stream, once" }, async (lab) => {
    const bus = await lab.bus();
    const name = lab.group("gone");
    await bus.streams.ensure({ name, topics: [lab.topic("gone.>")] });
    assert.equal(await bus.streams.delete(name), true);
    assert.equal(await bus.streams.delete(name), false);
    await rejection(bus.streams.info(name), "BUS_NOT_FOUND");
    await until(
      async () => (await bus.publishTopic(lab.topic("gone.x"), {})).stream === "events",
      "the catch-all to take over",
    );
  });
}
