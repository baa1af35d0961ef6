import assert from "node:assert/strict";
import { connect, createBus, isBusError } from "../index.ts";
import { codeOf, rejection } from "./rejection.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until, within } from "./until.ts";

/** docs/guarantees.md, Closing: always within the deadline, nothing lost, nothing made suspect, nothing afterwards. */
export function closingTests({ test }: Suite): void {
  test({ name: "lets handlers finish, who may still publish", needs: ["groups", "replay"] }, async (lab) => {
    const [bus, other] = [await lab.bus(), await lab.bus()];
    const [first, second] = [lab.event("first"), lab.event("second")];
    const [runs, results] = [new Runs(), new Runs()];
    const gate = Promise.withResolvers<void>();
    await bus.subscribe(
      first,
      runs.handler("m1", async (_, delivery) => {
        await gate.promise;
        await delivery.publish(second, { n: 2 });
      }),
      { group: lab.group() },
    );
    await bus.publish(first, { n: 1 });
    await runs.untilStarted(1);
    const closed = bus.close();
    assert.equal(bus.state, "closing");
    gate.resolve();
    assert.deepEqual(await within(closed, "close"), { unfinished: 0 });
    assert.equal(bus.state, "closed");
    await other.subscribe(second, results.handler(), { group: lab.group("results") });
    await other.subscribe(first, results.handler(), { group: lab.group() });
    await results.until(1);
    await results.silence(lab.quietMs);
    results.assertOnce([2]);
    runs.assertOnce([1]);
  });

  test(
    {
      name: "hands back what was prefetched, soon and without a mark",
      needs: ["groups", "replay"],
      short: { messages: 100, concurrency: 32 },
    },
    async (lab, { messages, concurrency }) => {
      const [bus, other] = [await lab.bus(), await lab.bus()];
      const item = lab.event();
      const runs = new Runs();
      const gate = Promise.withResolvers<void>();
      await Promise.all(upTo(messages).map((n) => bus.publish(item, { n }, { key: `k${n}` })));
      await bus.subscribe(
        item,
        runs.handler("first", () => gate.promise),
        { group: lab.group(), concurrency, order: "none" },
      );
      await until(() => runs.active === concurrency, "every slot to be taken");
      const closed = bus.close();
      gate.resolve();
      assert.deepEqual(await within(closed, "close"), { unfinished: 0 });
      const from = performance.now();
      let together = 0;
      await other.subscribe(
        item,
        runs.handler("second", async () => {
          together = Math.max(together, runs.active);
          await new Promise((resolve) => setTimeout(resolve, 5));
        }),
        { group: lab.group() },
      );
      await runs.until(messages);
      const took = performance.now() - from;
      const leaseMs = lab.driver.leaseMs ?? 10_000;
      // a shorter lease than a second says nothing on a busy machine
      assert.ok(leaseMs < 1_000 || took < leaseMs * 0.8, `it took ${took} ms, as if a lease had to run out`);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages));
      assert.deepEqual(new Set(runs.all.map((run) => run.attempt)), new Set([1]));
      assert.ok(together > 1, "a suspect would have run alone");
    },
  );

  test(
    {
      name: "gives up a handler that hangs at its deadline, says so, and another member gets the event",
      needs: ["groups"],
      short: { timeoutMs: 200 },
    },
    async (lab, { timeoutMs }) => {
      const [bus, other] = [await lab.bus(), await lab.bus()];
      const item = lab.event();
      const runs = new Runs();
      const aborted = Promise.withResolvers<string>();
      await bus.subscribe(
        item,
        runs.handler("hangs", (_, { signal }) => {
          signal.addEventListener("abort", () => aborted.resolve("aborted"));
          return new Promise(() => undefined);
        }),
        { group: lab.group() },
      );
      await bus.publish(item, { n: 1 });
      await runs.untilStarted(1);
      const from = performance.now();
      assert.deepEqual(await within(bus.close({ timeoutMs }), "close"), { unfinished: 1 });
      const took = performance.now() - from;
      assert.ok(took >= timeoutMs - 5 && took < timeoutMs + 3_000, `it took ${took} ms`);
      assert.equal(await within(aborted.promise, "the handler to be told"), "aborted");
      await other.subscribe(item, runs.handler("other"), { group: lab.group() });
      await until(
        () => runs.by("other").length === 1,
        "the other member to get it",
        (lab.driver.leaseMs ?? 10_000) + 15_000,
      );
      await runs.silence(lab.quietMs);
      assert.equal(runs.by("other").length, 1);
    },
  );

  test({ name: "refuses everything after it was closed, by one code", short: {} }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    await bus.close();
    await rejection(bus.publish(item, { n: 1 }), "BUS_CLOSED");
    await rejection(bus.publishTopic(item.type, {}), "BUS_CLOSED");
    await rejection(
      bus.subscribe(item, () => undefined),
      "BUS_CLOSED",
    );
    await rejection(bus.connect(), "BUS_CLOSED");
    await rejection(bus.groups.list(), "BUS_CLOSED");
    await rejection(bus.deadLetters.count(), "BUS_CLOSED");
    await rejection(bus.publishMany([item.of({ n: 1 })]), "BUS_CLOSED");
    assert.equal((await bus.health()).status, "down");
    assert.equal(bus.driver, undefined);
  });

  test({ name: "closes twice, and at once, and while it connects", short: { times: 5 } }, async (lab, { times }) => {
    const bus = await lab.bus();
    const closes = await within(Promise.all(upTo(times).map(() => bus.close())), "closing at once");
    assert.deepEqual(closes, Array(times).fill({ unfinished: 0 }));
    const connecting = createBus(lab.config());
    const connected = connecting.connect().then(() => "connected", codeOf);
    await within(connecting.close(), "closing while it connects");
    assert.ok(["connected", "BUS_CLOSED", "BUS_ABORTED"].includes(await within(connected, "connect")));
    assert.equal(connecting.state, "closed");
  });

  test({ name: "connects on first use, once, however many use it at once", needs: ["groups"] }, async (lab) => {
    const bus = lab.adopt(createBus(lab.config()));
    const item = lab.event();
    const runs = new Runs();
    assert.deepEqual([bus.state, bus.driver], ["new", undefined]);
    await Promise.all([
      bus.subscribe(item, runs.handler(), { group: lab.group() }),
      bus.publish(item, { n: 1 }),
      bus.publish(item, { n: 2 }),
      bus.connect(),
      bus.connect(),
    ]);
    assert.equal(bus.state, "connected");
    assert.equal(bus.stats().reconnects, 0);
    await runs.until(2);
    runs.assertOnce([1, 2]);
  });

  test(
    {
      name: "closing under 1,000 publishes: resolved is stored, rejected is not",
      needs: ["groups", "replay"],
      short: { messages: 1_000 },
      full: { messages: 10_000 },
    },
    async (lab, { messages }) => {
      const [bus, other] = [await lab.bus(), await lab.bus()];
      const item = lab.event();
      const publishes = upTo(messages).map((n) =>
        bus.publish(item, { n }).then(
          () => "stored",
          (error: unknown) =>
            (error as { outcome?: string }).outcome ?? (isBusError(error) ? "rejected" : String(error)),
        ),
      );
      const closed = bus.close();
      const late = bus.publish(item, { n: messages }).then(() => "stored", codeOf);
      const outcomes = await within(Promise.all(publishes), "every publish to be settled");
      await within(closed, "close");
      const runs = new Runs();
      await other.subscribe(item, runs.handler(), { group: lab.group() });
      // while it closes it may take one more
      const all = [...outcomes, await late];
      await runs.until(all.filter((outcome) => outcome === "stored").length);
      if (all.includes("unknown")) await runs.quiet(lab.quietMs);
      else await runs.silence(lab.quietMs);
      const arrived = new Set(runs.numbers());
      assert.deepEqual(
        outcomes.filter((outcome) => !["stored", "rejected", "unknown"].includes(outcome)),
        [],
      );
      for (const [n, outcome] of outcomes.entries()) {
        if (outcome !== "unknown") assert.equal(arrived.has(n), outcome === "stored", `${n} is ${outcome}`);
      }
      assert.ok(outcomes.includes("stored"), "what was published before closing is flushed");
      // While it closes handlers may publish, so others may; each is told truly.
      assert.equal(await late, arrived.has(messages) ? "stored" : "BUS_CLOSED");
      await rejection(bus.publish(item, { n: messages + 1 }), "BUS_CLOSED");
    },
  );

  test({ name: "closes when its signal aborts, and at the end of its block" }, async (lab) => {
    const controller = new AbortController();
    const bus = await lab.bus({ signal: controller.signal });
    controller.abort();
    await until(
      () => bus.state === "closed",
      () => `closed, not ${bus.state}`,
    );
    const inner = await connect(lab.config());
    await inner[Symbol.asyncDispose](); // what `await using` does; Node 22 can't parse it in TypeScript that it runs as it is
    assert.equal(inner.state, "closed");
  });

  test({ name: "leaves no timer, socket or listener behind", short: { times: 10 } }, async (lab, { times }) => {
    const cycle = async (): Promise<void> => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      await bus.subscribe(item, runs.handler());
      await bus.publish(item, { n: 1 });
      await runs.until(1);
      await bus.close();
    };
    const open = (): string => process.getActiveResourcesInfo().toSorted().join(" ");
    await cycle();
    let before = open();
    await until(() => open() === (before = open()), "a stable start");
    const listeners = process.eventNames().map((name) => process.listenerCount(name));
    for (const _ of upTo(times)) await cycle();
    const count = (text: string): number => text.split(" ").length;
    await until(
      () => count(open()) <= count(before) + 1,
      () => `${before} before, ${open()} after`,
    );
    assert.deepEqual(
      process.eventNames().map((name) => process.listenerCount(name)),
      listeners,
    );
  });
}
