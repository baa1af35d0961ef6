import assert from "node:assert/strict";
import { codeOf } from "./rejection.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { silence, until, within } from "./until.ts";

/** The other ways to receive: batches with partial success, pulling, iterating. */
export function batchTests({ test }: Suite): void {
  test(
    {
      name: "gives a batch handler at most maxSize events, each once",
      needs: ["groups", "replay"],
      short: { messages: 95, maxSize: 10 },
    },
    async (lab, { messages, maxSize }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const batches: number[][] = [];
      await Promise.all(upTo(messages).map((n) => bus.publish(item, { n })));
      await bus.subscribeBatch(item, async (events) => void batches.push(events.map((event) => event.data.n)), {
        group: lab.group(),
        order: "none",
        maxSize,
        maxAgeMs: 100,
      });
      await until(
        () => batches.flat().length >= messages,
        () => `${messages} in batches; ${batches.flat().length} were`,
      );
      await silence(() => batches.length, "batches", lab.quietMs);
      assert.deepEqual(
        batches.flat().toSorted((a, b) => a - b),
        upTo(messages),
      );
      assert.ok(Math.max(...batches.map((batch) => batch.length)) === maxSize, "full ones, and none above the limit");
      assert.ok(batches.every((batch) => batch.length <= maxSize && batch.length > 0));
    },
  );

  test(
    {
      name: "hands a batch over at its age, however steadily more comes",
      needs: ["groups"],
      short: { messages: 40, everyMs: 20, maxAgeMs: 150 },
      full: { messages: 240, everyMs: 125, maxAgeMs: 1_000 },
    },
    async (lab, { messages, everyMs, maxAgeMs }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const publishedAt: number[] = [];
      const waits: number[] = [];
      /** Of each event: how many were published while it waited. */
      const passed: number[] = [];
      await bus.subscribeBatch(
        item,
        async (events) => {
          waits.push(...events.map((event) => performance.now() - (publishedAt[event.data.n] ?? 0)));
          passed.push(...events.map((event) => publishedAt.length - event.data.n));
        },
        {
          group: lab.group(),
          order: "none",
          maxSize: 1_000,
          maxAgeMs,
          concurrency: 1_000,
        },
      );
      for (const n of upTo(messages)) {
        publishedAt.push(performance.now());
        await bus.publish(item, { n });
        await new Promise((resolve) => setTimeout(resolve, everyMs));
      }
      await until(
        () => waits.length === messages,
        () => `${messages} handled; ${waits.length} were`,
      );
      const most = Math.max(...passed);
      assert.ok(most < messages / 2, `one waited while ${most} came: a debounce makes the first wait for all`);
      const longest = Math.max(...waits);
      assert.ok(longest > maxAgeMs * 0.6, `none waited: the longest ${longest} ms`);
    },
  );

  test(
    {
      name: "retries only the events that a batch handler names",
      needs: ["groups", "replay"],
      short: { messages: 100 },
    },
    async (lab, { messages }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const seen: { n: number; attempt: number }[] = [];
      const bad = [7, 42, 99];
      await Promise.all(upTo(messages).map((n) => bus.publish(item, { n })));
      await bus.subscribeBatch(
        item,
        async (events, { deliveries }) => {
          for (const [index, event] of events.entries())
            seen.push({ n: event.data.n, attempt: deliveries[index]?.attempt ?? 0 });
          return events.flatMap((event, index) =>
            bad.includes(event.data.n) && deliveries[index]?.attempt === 1
              ? [{ id: event.id, error: new Error("this one") }]
              : [],
          );
        },
        { group: lab.group(), order: "none", maxSize: messages, maxAgeMs: 50, concurrency: messages },
      );
      await until(
        () => seen.length >= messages + bad.length,
        () => `${messages + bad.length} deliveries; ${seen.length} were`,
      );
      await silence(() => seen.length, "deliveries", lab.quietMs);
      const expected = [...upTo(messages).map((n) => `${n}/1`), ...bad.map((n) => `${n}/2`)];
      assert.deepEqual(seen.map(({ n, attempt }) => `${n}/${attempt}`).toSorted(), expected.toSorted());
    },
  );

  test(
    { name: "retries the whole batch whose handler threw", needs: ["groups", "replay"], short: { messages: 10 } },
    async (lab, { messages }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const seen: string[] = [];
      await Promise.all(upTo(messages).map((n) => bus.publish(item, { n })));
      await bus.subscribeBatch(
        item,
        async (events, { deliveries }) => {
          seen.push(...events.map((event, index) => `${event.data.n}/${deliveries[index]?.attempt}`));
          if (deliveries.some((delivery) => delivery.attempt === 1)) throw new Error("all of it");
        },
        { group: lab.group(), order: "none", maxSize: messages, maxAgeMs: 30 },
      );
      await until(
        () => upTo(messages).every((n) => seen.includes(`${n}/2`)),
        () => `a second attempt of each: ${seen.join(" ")}`,
      );
      await until(async () => (await bus.groups.info(lab.group())).inFlight === 0, "all of it settled");
      assert.equal(await bus.deadLetters.count({ group: lab.group() }), 0);
      assert.deepEqual(new Set(seen.filter((each) => each.endsWith("/1"))).size, messages);
    },
  );

  test(
    { name: "pulls at most max, and gives back what was asked to be tried again", needs: ["groups"] },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      const group = lab.group();
      assert.deepEqual(await bus.pull(item, { group, waitMs: 30 }), []);
      for (const n of upTo(5)) await bus.publish(item, { n });
      const pulled: string[] = [];
      const settled: Promise<void>[] = [];
      await until(
        async () => {
          const some = await bus.pull(item, { group, max: 2, waitMs: 200 });
          assert.ok(some.length <= 2, `${some.length} for a max of 2`);
          for (const each of some) {
            const { n } = each.event.data;
            pulled.push(`${n}/${each.attempt}`);
            if (n === 1 && each.attempt === 1) settled.push(each.retry({ delayMs: 1 }));
            else if (n === 2) settled.push(each.reject("not wanted"));
            else settled.push(each.ack());
          }
          await Promise.all(settled);
          return pulled.length >= 6;
        },
        () => `6 deliveries: ${pulled.join(" ")}`,
      );
      assert.deepEqual(pulled.toSorted(), ["0/1", "1/1", "1/2", "2/1", "3/1", "4/1"]);
      assert.deepEqual(await bus.pull(item, { group, waitMs: lab.quietMs }), []);
      const { items } = await bus.deadLetters.list({ group });
      assert.deepEqual(
        items.map((letter) => letter.reason.message),
        ["not wanted"],
      );
    },
  );

  test({ name: "takes a second settlement of a pulled delivery for nothing", needs: ["groups"] }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    await bus.publish(item, { n: 1 });
    await bus.publish(item, { n: 2 });
    const deliveries = await within(bus.pull(item, { group: lab.group(), max: 2, waitMs: 5_000 }), "two to be pulled");
    const rest = deliveries.length < 2 ? await bus.pull(item, { group: lab.group(), waitMs: 5_000 }) : [];
    for (const each of [...deliveries, ...rest]) {
      await each.ack();
      // It may say that it was settled before, and does nothing.
      await each.ack().catch((error: unknown) => assert.equal(codeOf(error), "BUS_LEASE_LOST"));
      await each.retry().catch((error: unknown) => assert.equal(codeOf(error), "BUS_LEASE_LOST"));
    }
    assert.deepEqual(await bus.pull(item, { group: lab.group(), waitMs: lab.quietMs }), []);
    assert.equal((await bus.groups.info(lab.group())).waiting, 0);
  });

  test(
    { name: "passes what was pulled and not settled to another when the bus closes", needs: ["groups", "replay"] },
    async (lab) => {
      const [bus, other] = [await lab.bus(), await lab.bus()];
      const item = lab.event();
      await bus.publish(item, { n: 1 });
      assert.equal((await bus.pull(item, { group: lab.group(), waitMs: 5_000 })).length, 1);
      await within(bus.close(), "closing: nobody will settle it any more", 5_000);
      const runs = new Runs();
      await other.subscribe(item, runs.handler(), { group: lab.group() });
      await runs.until(1);
    },
  );

  test(
    {
      name: "iterates: asking for the next settles the one before, leaving hands back what is open",
      needs: ["groups", "replay"],
      short: { messages: 10 },
    },
    async (lab, { messages }) => {
      const [bus, other] = [await lab.bus(), await lab.bus()];
      const item = lab.event();
      for (const n of upTo(messages)) await bus.publish(item, { n }, { key: "one" });
      const seen: number[] = [];
      for await (const event of await bus.events(item, { group: lab.group() })) {
        seen.push(event.data.n);
        if (seen.length === 4) break;
      }
      assert.deepEqual(seen, [0, 1, 2, 3]);
      const runs = new Runs();
      await other.subscribe(item, runs.handler(), { group: lab.group() });
      await runs.until(messages - 3);
      await runs.silence(lab.quietMs);
      // The fourth was not settled: leaving is not being done.
      runs.assertOnce(upTo(messages).slice(3));
    },
  );

  test(
    { name: "an iterator without a group is subscribed when it is given, and ends when it is closed" },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      const events = await bus.events(item);
      await bus.publish(item, { n: 1 });
      await bus.publish(item, { n: 2 });
      const first = await within(events.next(), "the first");
      const second = await within(events.next(), "the second");
      assert.deepEqual([first.value?.data.n, second.value?.data.n].toSorted(), [1, 2]);
      const next = events.next();
      await events[Symbol.asyncDispose]();
      assert.equal((await within(next, "the end")).done, true);
    },
  );
}
