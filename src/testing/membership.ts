import assert from "node:assert/strict";
import { defineEvent, typed } from "../index.ts";
import { keyOrder } from "./invariants/key-order.ts";
import type { Item } from "./lab.ts";
import { rejection } from "./rejection.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";

/** docs/guarantees.md, Groups: the definition at the broker, members that know different events, groups that are live only. */
export function membershipTests({ test }: Suite): void {
  test(
    { name: "refuses a durable group, pulling from one and sending to one where it has none", lacks: "groups" },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      await rejection(
        bus.subscribe(item, () => undefined, { group: lab.group() }),
        "BUS_UNSUPPORTED",
      );
      await rejection(bus.pull(item, { group: lab.group() }), "BUS_UNSUPPORTED");
      await rejection(bus.send(lab.group(), item, { n: 1 }), "BUS_UNSUPPORTED");
      assert.deepEqual(await bus.groups.list(), []);
      const end = await lab.driverEnd();
      await end.refuses(end.ensureGroup(lab.group()), "it made a group");
      await end.refusesToSend({ kind: "queue", group: lab.group(), topic: item.pattern });
    },
  );

  test(
    { name: "grows a group's patterns by subscribing, and delivers what they add", needs: ["groups", "replay"] },
    async (lab) => {
      const bus = await lab.bus();
      const [first, second] = [lab.event("first"), lab.event("second")];
      const runs = new Runs();
      await bus.subscribe(first, runs.handler(), { group: lab.group() });
      await bus.subscribe(second, runs.handler(), { group: lab.group() });
      assert.deepEqual(
        new Set((await bus.groups.info(lab.group())).patterns),
        new Set([first.pattern, second.pattern]),
      );
      await bus.publish(first, { n: 1 });
      await bus.publish(second, { n: 2 });
      await runs.until(2);
      await runs.silence(lab.quietMs);
      runs.assertOnce([1, 2]);
    },
  );

  test(
    { name: "lets two members grow a group at once, and both win", needs: ["groups"], short: { members: 6 } },
    async (lab, { members }) => {
      const buses = await Promise.all(upTo(members).map(() => lab.bus()));
      const runs = new Runs();
      const items = upTo(members).map((m) => lab.event(`e${m}`));
      await Promise.all(
        buses.map(async (bus, m) => {
          await bus.subscribe(items[m] as (typeof items)[0], runs.handler(`m${m}`), {
            group: lab.group(),
            order: "none",
          });
        }),
      );
      const [bus] = buses as [(typeof buses)[0]];
      assert.deepEqual(
        new Set((await bus.groups.info(lab.group())).patterns),
        new Set(items.map((item) => item.pattern)),
      );
      await Promise.all(items.map((item, n) => bus.publish(item, { n })));
      await runs.until(members);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(members));
      for (const run of runs.all) assert.equal(run.member, `m${run.n}`, "the one that can handle it did");
    },
  );

  test({ name: "shrinks a group's patterns by groups.update only", needs: ["groups"] }, async (lab) => {
    const bus = await lab.bus();
    const [kept, dropped] = [lab.event("kept"), lab.event("dropped")];
    const runs = new Runs();
    const subscription = await bus.subscribe(dropped, runs.handler(), { group: lab.group() });
    await bus.subscribe(kept, runs.handler(), { group: lab.group() });
    await subscription.unsubscribe();
    assert.equal((await bus.groups.info(lab.group())).patterns.length, 2, "unsubscribing leaves them");
    await bus.groups.update(lab.group(), [kept.pattern]);
    assert.deepEqual((await bus.groups.info(lab.group())).patterns, [kept.pattern]);
    await bus.publish(dropped, { n: 1 });
    await bus.publish(kept, { n: 2 });
    await runs.until(1);
    await runs.silence(lab.quietMs);
    runs.assertOnce([2]);
    await until(async () => (await bus.groups.info(lab.group())).waiting === 0, "nobody to wait for what nobody reads");
  });

  test(
    {
      name: "hands an event that one member cannot handle to the member that can",
      needs: ["groups"],
      short: { messages: 20 },
      full: { messages: 200 },
    },
    async (lab, { messages }) => {
      const [older, newer, publisher] = [await lab.bus(), await lab.bus(), await lab.bus()];
      const [known, added] = [lab.event("known"), lab.event("added")];
      const runs = new Runs();
      const options = { group: lab.group(), order: "none" } as const;
      await older.subscribe(known, runs.handler("older"), options);
      await newer.subscribe([known, added], runs.handler("newer"), options);
      let [published, handedOn] = [0, 0];
      older.onStatus(({ type }) => (handedOn += Number(type === "unhandled")));
      // Until the member that can't handle it got one: nobody says whom an event goes to first.
      await until(
        async () => {
          const items = upTo(messages).map(() => ({ n: published++, item: lab.random() < 0.5 ? added : known }));
          await Promise.all(items.map(({ n, item }) => publisher.publish(item, { n }, { key: `k${n % 5}` })));
          await runs.until(published);
          return handedOn > 0;
        },
        () => `one to be handed on, of ${published}`,
      );
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(published));
      const wrong = runs.by("older").filter((run) => run.event.type === added.type);
      assert.equal(wrong.length, 0);
      assert.equal(await publisher.deadLetters.count({ group: lab.group() }), 0);
    },
  );

  test(
    {
      name: "hands an event of a newer version to the member that knows it",
      needs: ["groups"],
      short: { messages: 20 },
      full: { messages: 200 },
    },
    async (lab, { messages }) => {
      const [older, newer, publisher] = [await lab.bus(), await lab.bus(), await lab.bus()];
      const first = lab.event();
      const upcast = { 1: (data: unknown) => data as Item };
      const second = defineEvent(first.type, { schema: typed<Item>(), topic: first.pattern, version: 2, upcast });
      const runs = new Runs();
      const options = { group: lab.group(), order: "none" } as const;
      let handedOn = 0;
      older.onStatus(({ type }) => (handedOn += Number(type === "unhandled")));
      await older.subscribe(first, runs.handler("older"), options);
      for (const n of upTo(messages)) await publisher.publish(second, { n });
      await until(() => handedOn > 0, "one to be handed on");
      await newer.subscribe(second, runs.handler("newer"), options);
      await publisher.publish(first, { n: messages }); // which both of them know
      await runs.until(messages + 1);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages + 1));
      assert.ok(runs.by("older").every((run) => run.event.version === 1));
      assert.equal(await publisher.deadLetters.count({ group: lab.group() }), 0);
    },
  );

  test(
    {
      name: "holds in an ordered group what its owner cannot handle, with its key, until one owns it who can",
      needs: ["groups", "order"],
      short: { messages: 20, keys: 5 },
      full: { messages: 200, keys: 20 },
    },
    async (lab, { messages, keys }) => {
      const [older, newer, publisher] = [await lab.bus(), await lab.bus(), await lab.bus()];
      const [known, added] = [lab.event("known"), lab.event("added")];
      const runs = new Runs();
      const options = { group: lab.group(), order: "group" } as const;
      await older.subscribe(known, runs.handler("older"), options);
      await newer.subscribe([known, added], runs.handler("newer"), options);
      const sent = upTo(messages).map((n) => ({ n: Math.floor(n / keys), key: `k${n % keys}` }));
      await Promise.all(sent.map(({ n, key }) => publisher.publish(n % 2 ? added : known, { n }, { key })));
      const firsts = (): number => runs.handled.filter((run) => run.n === 0).length;
      await until(
        () => firsts() === keys,
        () => `the first of ${keys} keys; ${firsts()} were handled`,
      );
      await older.close();
      await until(
        () => runs.done === messages,
        () => `${messages} handled; ${runs.handled.length} were`,
      );
      await runs.silence(lab.quietMs);
      assert.deepEqual(keyOrder(runs.history()), []);
      assert.equal(await publisher.deadLetters.count({ group: lab.group() }), 0);
    },
  );

  test(
    { name: "makes a dead letter no-handler of what no member can handle for too long", needs: ["groups"] },
    async (lab) => {
      const bus = await lab.bus();
      const [known, unknown] = [lab.event("known"), lab.event("unknown")];
      const runs = new Runs();
      const subscription = await bus.subscribe(unknown, runs.handler(), { group: lab.group() });
      await subscription.unsubscribe();
      await bus.subscribe(known, runs.handler(), { group: lab.group(), handOnMs: 150 });
      const { id } = await bus.publish(unknown, { n: 1 });
      await bus.publish(known, { n: 2 });
      await runs.until(1);
      await until(async () => (await bus.deadLetters.count({ group: lab.group() })) === 1, "the letter");
      const { items } = await bus.deadLetters.list({ group: lab.group() });
      assert.deepEqual([items[0]?.event?.id, items[0]?.reason.code, items[0]?.attempts], [id, "BUS_NO_HANDLER", 0]);
      runs.assertOnce([2]);
    },
  );

  test(
    {
      name: "runs every handler of a member that matches, and retries the failed one without the others",
      needs: ["groups"],
    },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      const fail = (attempts: number) => (run: { attempt: number }) => {
        if (run.attempt < attempts) throw new Error("not yet");
      };
      await bus.subscribe(item, runs.handler("steady"), { group: lab.group(), name: "steady" });
      await bus.subscribe(item, runs.handler("shaky", fail(3)), { group: lab.group(), name: "shaky" });
      await bus.subscribePattern(lab.topic(">"), runs.handler("pattern") as never, {
        group: lab.group(),
        name: "pattern",
      });
      await bus.publish(item, { n: 1 });
      await until(
        () => runs.handled.length === 3,
        () => `3 handlers done, ${runs.handled.length} are`,
      );
      await runs.silence(lab.quietMs);
      const attempts = (member: string): number[] => runs.by(member).map((run) => run.attempt);
      assert.deepEqual([attempts("steady"), attempts("shaky"), attempts("pattern")], [[1], [1, 2, 3], [1]]);
    },
  );

  test(
    { name: "a live group shares load and stores nothing", needs: ["groups"], short: { messages: 60 } },
    async (lab, { messages }) => {
      const item = lab.event();
      const [one, two, publisher] = [await lab.bus(), await lab.bus(), await lab.bus()];
      const runs = new Runs();
      const live = { group: lab.group(), live: true } as const;
      await publisher.publish(item, { n: -1 });
      await one.subscribe(item, runs.handler("one"), live);
      await two.subscribe(item, runs.handler("two"), live);
      await Promise.all(upTo(messages).map((n) => publisher.publish(item, { n }, { key: `k${n}` })));
      await runs.until(messages);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages));
      assert.ok(runs.by("one").length > 0 && runs.by("two").length > 0, "both got a share");
      await one.close();
      await two.close();
      await publisher.publish(item, { n: -2 });
      const later = await lab.bus();
      await later.subscribe(item, runs.handler("later"), live);
      await publisher.publish(item, { n: messages });
      await runs.until(messages + 1);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages + 1));
    },
  );

  test({ name: "sends to one group's own lane, and to no other", needs: ["groups"] }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const [mine, other] = [new Runs(), new Runs()];
    // Before the group exists and after.
    await bus.send(lab.group("mine"), item, { n: 1 });
    await bus.subscribe(item, mine.handler(), { group: lab.group("mine") });
    await bus.subscribe(item, other.handler(), { group: lab.group("other") });
    await bus.send(lab.group("mine"), item, { n: 2 });
    await bus.publish(item, { n: 3 });
    await mine.until(3);
    await other.until(1);
    await mine.silence(lab.quietMs);
    mine.assertOnce([1, 2, 3]);
    other.assertOnce([3]);
  });

  test({ name: "sends one id to two groups, at once or later, and both get it", needs: ["groups"] }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const groups = [lab.group("a"), lab.group("b")].map((group) => ({ group, runs: new Runs() }));
    const later = lab.driver.capabilities.delay === "none" ? [] : [{ n: 2, delayMs: 50 }];
    for (const { n, ...options } of [{ n: 1 }, ...later])
      for (const { group } of groups) {
        const receipt = await bus.send(group, item, { n }, { id: lab.topic(`id${n}`), ...options });
        assert.equal(receipt.duplicate, false);
      }
    for (const { group, runs } of groups) await bus.subscribe(item, runs.handler(), { group });
    for (const { group, runs } of groups) {
      await runs.until(1 + later.length, `items handled by ${group}`);
      await runs.silence(lab.quietMs);
      runs.assertOnce([1, ...later.map(({ n }) => n)]);
    }
  });

  test({ name: "never lets two prefixes meet", needs: ["groups"] }, async (lab) => {
    const [here, there] = [await lab.bus({ prefix: "here" }), await lab.bus({ prefix: "there" })];
    const item = lab.event();
    const [mine, theirs] = [new Runs(), new Runs()];
    await here.subscribe(item, mine.handler(), { group: lab.group() });
    await there.subscribe(item, theirs.handler(), { group: lab.group() });
    await here.publish(item, { n: 1 });
    await there.publish(item, { n: 2 });
    await here.publish(item, { n: 3 }, { delivery: "at-most-once" });
    await mine.until(1);
    await theirs.until(1);
    await theirs.silence(lab.quietMs);
    assert.deepEqual(theirs.numbers(), [2]);
    assert.ok(!mine.numbers().includes(2));
  });

  test({ name: "refuses two handlers of one name in one group", needs: ["groups"] }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    await bus.subscribe(item, () => undefined, { group: lab.group(), name: "ship" });
    await rejection(
      bus.subscribe(item, () => undefined, { group: lab.group(), name: "ship" }),
      "BUS_CONFLICT",
    );
  });
}
