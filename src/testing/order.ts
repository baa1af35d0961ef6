import assert from "node:assert/strict";
import type { Bus } from "../bus.ts";
import { keyOrder } from "./invariants/key-order.ts";
import type { Lab } from "./lab.ts";
import { type Run, Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";
import { publishKeyed, assertOrder } from "./keyed.ts";

/** docs/guarantees.md, Order: per key, as published, across members, retries and hand-overs; other keys side by side. */
export function orderTests({ test }: Suite): void {
  test(
    {
      name: "keeps the order of publishes awaited one after another, per key",
      needs: ["groups", "replay"],
      short: { messages: 100, keys: 4 },
      full: { messages: 1_000, keys: 16 },
    },
    async (lab, { messages, keys }) => {
      const bus = await lab.bus();
      const item = lab.event();
      for (const n of upTo(messages)) await bus.publish(item, { n: Math.floor(n / keys) }, { key: `k${n % keys}` });
      await assertOrder(lab, item, [bus], messages, { order: lab.driver.capabilities.order ? "group" : "process" });
    },
  );

  test(
    {
      name: "keeps the order of publishes of one turn, per key",
      needs: ["groups", "replay"],
      short: { messages: 200, keys: 4 },
      full: { messages: 4_000, keys: 16 },
    },
    async (lab, { messages, keys }) => {
      const bus = await lab.bus();
      const item = lab.event();
      await publishKeyed(bus, item, messages, keys);
      await assertOrder(lab, item, [bus], messages, { order: lab.driver.capabilities.order ? "group" : "process" });
    },
  );

  test(
    {
      name: "a publish that fails takes the later ones of its key and turn with it, and no others",
      needs: ["groups", "replay", "publish order"],
    },
    async (lab) => {
      const { outcomes, stored } = await oneTooLarge(lab);
      assert.deepEqual(outcomes, ["stored", "rejected", "rejected", "stored", "rejected", "stored"]);
      assert.deepEqual(stored, ["a0", "a6", "b0", "b1"]);
    },
  );

  test(
    {
      name: "a publish that fails lets the later ones of its key overtake it",
      lacks: "publish order",
      needs: ["groups", "replay"],
    },
    async (lab) => {
      const { outcomes, stored } = await oneTooLarge(lab);
      assert.deepEqual(outcomes, ["stored", "rejected", "stored", "stored", "stored", "stored"]);
      assert.deepEqual(stored, ["a0", "a2", "a4", "a6", "b0", "b1"], "what is stored keeps its order all the same");
    },
  );

  test(
    {
      name: "order group: one event of a key at a time across all members",
      needs: ["groups", "order"],
      short: { messages: 320, keys: 16, members: 3 },
      full: { messages: 64_000, keys: 64, members: 4 },
    },
    async (lab, { messages, keys, members }) => {
      const item = lab.event();
      const buses = await Promise.all(upTo(members).map(() => lab.bus()));
      const published = publishKeyed(buses[0] as Bus, item, messages, keys);
      await assertOrder(
        lab,
        item,
        buses,
        messages,
        { order: "group" },
        async () => await new Promise((resolve) => setTimeout(resolve, lab.random() * 2)),
      );
      await published;
    },
  );

  test(
    {
      name: "order group: a retry keeps its place, and its key waits",
      needs: ["groups", "order"],
      short: { messages: 160, keys: 16, members: 2 },
      full: { messages: 64_000, keys: 64, members: 4 },
    },
    async (lab, { messages, keys, members }) => {
      const item = lab.event();
      const buses = await Promise.all(upTo(members).map(() => lab.bus()));
      const published = publishKeyed(buses[0] as Bus, item, messages, keys);
      const failing = ({ attempt }: Run): void => {
        if (attempt < 4 && lab.random() < 0.2) throw new Error("now and then");
      };
      const runs = await assertOrder(lab, item, buses, messages, { order: "group" }, failing);
      await published;
      assert.ok(runs.all.length > messages, "some were retried");
      const seen = new Map<string, number>();
      for (const { event, attempt } of runs.all) {
        const before = seen.get(event.id) ?? 0;
        assert.equal(attempt, before + 1, `an attempt of ${event.key}/${event.data.n}`);
        seen.set(event.id, attempt);
      }
    },
  );

  test(
    {
      name: "order group: a key that waits for its retry delays no other key",
      needs: ["groups", "order"],
      short: { messages: 60, keys: 12 },
    },
    async (lab, { messages, keys }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      const work = ({ event }: Run): void => {
        if (event.key === "k0") throw new Error("stuck");
      };
      await bus.subscribe(item, runs.handler("m1", work), {
        group: lab.group(),
        order: "group",
        retry: { backoff: { baseMs: 60_000, jitter: 0 } },
      });
      await publishKeyed(bus, item, messages, keys);
      const others = (): number => runs.handled.filter((run) => run.event.key !== "k0").length;
      await until(
        () => others() === messages - messages / keys,
        () => `all of the other keys; ${others()} were handled`,
      );
      await runs.silence(lab.quietMs);
      const stuck = runs.all.filter((run) => run.event.key === "k0");
      assert.deepEqual(
        stuck.map((run) => run.n),
        [0],
        "the key waits behind its first",
      );
    },
  );

  test(
    { name: "order group: a key goes on after its event became a dead letter", needs: ["groups", "order"] },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      const work = ({ n }: Run): void => {
        if (n === 0) throw new Error("always");
      };
      await bus.subscribe(item, runs.handler("m1", work), { group: lab.group(), order: "group" });
      await publishKeyed(bus, item, 10, 1);
      await runs.until(9);
      await runs.silence(lab.quietMs);
      assert.deepEqual(
        runs.all.map((run) => run.n),
        [0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
      );
    },
  );

  test(
    { name: "order group: holds the second event of a key until the first is done", needs: ["groups", "order"] },
    async (lab) => {
      const buses = [await lab.bus(), await lab.bus()];
      const item = lab.event();
      const runs = new Runs();
      const gate = Promise.withResolvers<void>();
      for (const [m, bus] of buses.entries()) {
        await bus.subscribe(
          item,
          runs.handler(`m${m}`, ({ n }) => (n === 0 ? gate.promise : undefined)),
          { group: lab.group(), order: "group" },
        );
      }
      await publishKeyed(buses[0] as Bus, item, 2, 1);
      await runs.untilStarted(1);
      await runs.silence(Math.max(100, lab.quietMs));
      assert.deepEqual(
        runs.all.map((run) => run.n),
        [0],
        "the second has not begun",
      );
      gate.resolve();
      await runs.until(2);
      await runs.silence(lab.quietMs);
      runs.assertOnce([0, 1]);
    },
  );

  test(
    {
      name: "order group: keeps it while members join and leave",
      needs: ["groups", "order"],
      short: { messages: 200, keys: 8, moves: 4 },
      full: { messages: 20_000, keys: 64, moves: 20 },
    },
    async (lab, { messages, keys, moves }) => {
      const item = lab.event();
      const runs = new Runs();
      const publisher = await lab.bus();
      const published = publishKeyed(publisher, item, messages, keys);
      const slow = () => new Promise((resolve) => setTimeout(resolve, lab.random() * 3));
      let previous: Bus | undefined;
      for (const move of upTo(moves)) {
        const bus = await lab.bus();
        await bus.subscribe(item, runs.handler(`m${move}`, slow), { group: lab.group(), order: "group" });
        await until(() => runs.done >= (messages * (move + 1)) / (moves + 1), "the next share");
        await previous?.close();
        previous = bus;
      }
      await until(
        () => ids(runs).size >= messages,
        () => `${messages} handled; ${ids(runs).size} were`,
      );
      await published;
      await runs.silence(lab.quietMs);
      const abrupt = lab.driver.capabilities.handover === "abrupt";
      if (!abrupt) assert.deepEqual(keyOrder(runs.history()), []);
      assert.equal(ids(runs).size, messages);
      if (!abrupt) assert.equal(runs.handled.length, messages, "closing made nobody repeat anything");
    },
  );

  test(
    { name: "order group: keys are handled side by side", needs: ["groups", "order"], short: { keys: 8 } },
    async (lab, { keys }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      const gate = Promise.withResolvers<void>();
      await bus.subscribe(
        item,
        runs.handler("m1", () => gate.promise),
        { group: lab.group(), order: "group" },
      );
      await publishKeyed(bus, item, keys * 2, keys);
      await until(
        () => runs.active === keys,
        () => `${keys} keys at once; ${runs.active} run`,
      );
      await runs.silence(lab.quietMs);
      assert.equal(new Set(runs.all.map((run) => run.event.key)).size, keys);
      gate.resolve();
      await until(() => runs.handled.length === keys * 2, "all");
    },
  );
}

function ids(runs: Runs): Set<string> {
  return new Set(runs.handled.map((run) => run.event.id));
}

/** Publishes in one turn a0, a1, a2, b0, a4, b1, of which a1 is larger than their stream may be; then a6, in a turn of its own. */
async function oneTooLarge(lab: Lab): Promise<{ readonly outcomes: readonly string[]; readonly stored: string[] }> {
  const stream = { name: lab.group("small"), topics: [lab.topic(">")], maxBytes: 20_000, partitions: 1 };
  const bus = await lab.bus({ streams: [stream] });
  const item = lab.event();
  const publish = (key: string, n: number, text?: string): Promise<string> =>
    bus.publish(item, { n, text }, { key }).then(
      () => "stored",
      (error: unknown) => (error as { readonly outcome?: string }).outcome ?? String(error),
    );
  const outcomes = await Promise.all([
    publish("a", 0),
    publish("a", 1, "x".repeat(30_000)),
    publish("a", 2),
    publish("b", 0),
    publish("a", 4),
    publish("b", 1),
  ]);
  assert.equal(await publish("a", 6), "stored", "a later turn is not concerned");
  const runs = new Runs();
  await bus.subscribe(item, runs.handler(), { group: lab.group(), concurrency: 1 });
  await until(
    () =>
      runs.handled.some(({ n }) => n === 6) &&
      runs.handled.length > outcomes.filter((each) => each === "stored").length,
    () => `all that was stored; ${runs.handled.length} were handled`,
  );
  await runs.silence(lab.quietMs);
  // Keys side by side, the events of each as they came.
  const stored = runs.all
    .map(({ event, n }) => `${event.key}${n}`)
    .toSorted((a, b) => a.charCodeAt(0) - b.charCodeAt(0));
  return { outcomes, stored };
}
