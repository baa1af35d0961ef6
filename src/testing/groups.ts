import assert from "node:assert/strict";
import type { Bus } from "../bus.ts";
import { Runs, upTo } from "./runs.ts";
import { shuffled } from "./settings.ts";
import type { Suite } from "./suite.ts";
import { silence, until } from "./until.ts";

/** docs/guarantees.md, Groups: every group gets every event, each event goes to one member, and a group outlives its members. */
export function groupTests({ test }: Suite): void {
  test(
    {
      name: "gives every group every event, and each event to one member",
      needs: ["groups"],
      short: { messages: 50 },
      full: { messages: 2_000 },
    },
    async (lab, { messages }) => {
      const item = lab.event();
      const groups = ["a", "b"].map((name) => ({ group: lab.group(name), runs: new Runs() }));
      for (const member of ["m1", "m2"]) {
        const bus = await lab.bus();
        for (const { group, runs } of groups) await bus.subscribe(item, runs.handler(member), { group });
      }
      const publisher = await lab.bus();
      await Promise.all(upTo(messages).map((n) => publisher.publish(item, { n })));
      for (const { runs, group } of groups) {
        await runs.until(messages);
        await runs.silence(lab.quietMs);
        runs.assertOnce(upTo(messages));
        assert.deepEqual(new Set(runs.all.map((run) => run.group)), new Set([group]));
      }
    },
  );

  test(
    {
      name: "shares what many publish among many members, each event once",
      needs: ["groups"],
      short: { messages: 100, publishers: 10, members: 10 },
      full: { messages: 5_000, publishers: 50, members: 50 },
    },
    async (lab, { messages, publishers, members }) => {
      const item = lab.event();
      const runs = new Runs();
      const buses = await Promise.all(upTo(members).map(() => lab.bus()));
      await Promise.all(buses.map((bus, m) => bus.subscribe(item, runs.handler(`m${m}`), { group: lab.group() })));
      const per = messages / publishers;
      await Promise.all(
        upTo(publishers).map(async (p) => {
          for (const n of upTo(per)) await (buses[p % members] as Bus).publish(item, { n: p * per + n });
        }),
      );
      await runs.until(messages);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages));
    },
  );

  test(
    {
      name: "keeps topics apart while all of them are subscribed and published at once",
      needs: ["groups", "replay"],
      short: { topics: 10, messages: 50 },
      full: { topics: 20, messages: 100 },
    },
    async (lab, { topics, messages }) => {
      const bus = await lab.bus();
      const all = upTo(topics).map((t) => ({ item: lab.event(`t${t}`), runs: new Runs(), group: lab.group(`g${t}`) }));
      const work = all.flatMap(({ item, runs, group }) => [
        async () => void (await bus.subscribe(item, runs.handler(), { group })),
        async () => void (await Promise.all(upTo(messages).map((n) => bus.publish(item, { n })))),
      ]);
      await Promise.all(shuffled(work, lab.random).map((each) => each()));
      for (const { runs, item } of all) {
        await runs.until(messages);
        runs.assertOnce(upTo(messages));
        assert.deepEqual(new Set(runs.all.map((run) => run.event.topic)), new Set([item.type]));
      }
    },
  );

  test({ name: "gives each member a share", needs: ["groups"], short: { members: 3 } }, async (lab, { members }) => {
    const item = lab.event();
    const runs = new Runs();
    for (const m of upTo(members)) {
      const bus = await lab.bus();
      await bus.subscribe(item, runs.handler(`m${m}`), { group: lab.group(), concurrency: 2 });
    }
    const publisher = await lab.bus();
    let published = 0;
    // Partitions may move for a while after a member has joined.
    await until(
      async () => {
        const keys = upTo(32).map((key) => ({ n: published++, key: `k${key}` }));
        await Promise.all(keys.map(({ n, key }) => publisher.publish(item, { n }, { key })));
        await runs.until(published);
        return upTo(members).every((m) => runs.by(`m${m}`).length > 0);
      },
      () =>
        `each of ${members} members to get one of ${published}: ${upTo(members)
          .map((m) => runs.by(`m${m}`).length)
          .join(" ")}`,
    );
    await runs.silence(lab.quietMs);
    runs.assertOnce(upTo(published));
  });

  test({ name: "matches patterns: * is one token, > is one or more", needs: ["groups"] }, async (lab) => {
    const bus = await lab.bus();
    const seen = new Map<string, string[]>();
    for (const [name, pattern] of Object.entries({ one: "a.*.c", rest: "a.>", exact: "a.b.c", any: "*" })) {
      seen.set(name, []);
      await bus.subscribePattern(
        lab.topic(pattern),
        (event) => seen.get(name)?.push(event.topic.slice(lab.topic("").length)),
        {
          group: lab.group(name),
        },
      );
    }
    for (const topic of ["a", "a.b", "a.b.c", "a.x.c", "a.b.c.d", "b.b.c"])
      await bus.publishTopic(lab.topic(topic), {});
    const expected = {
      one: ["a.b.c", "a.x.c"],
      rest: ["a.b", "a.b.c", "a.b.c.d", "a.x.c"],
      exact: ["a.b.c"],
      any: ["a"],
    };
    const state = (): unknown => Object.fromEntries([...seen].map(([name, topics]) => [name, topics.toSorted()]));
    await until(
      () => JSON.stringify(state()) === JSON.stringify(expected),
      () => JSON.stringify(state()),
    );
    await silence(() => [...seen.values()].flat().length, "more matches", lab.quietMs);
  });

  test(
    {
      name: "passes everything to the member that stays when another leaves",
      needs: ["groups"],
      short: { messages: 40 },
    },
    async (lab, { messages }) => {
      const item = lab.event();
      const runs = new Runs();
      const [leaving, staying, publisher] = [await lab.bus(), await lab.bus(), await lab.bus()];
      await leaving.subscribe(item, runs.handler("leaving"), { group: lab.group() });
      await staying.subscribe(item, runs.handler("staying"), { group: lab.group() });
      for (const n of upTo(messages / 2)) await publisher.publish(item, { n }, { key: `k${n}` });
      await runs.until(messages / 2);
      await leaving.close();
      const before = runs.by("leaving").length;
      for (const n of upTo(messages / 2)) await publisher.publish(item, { n: messages / 2 + n }, { key: `k${n}` });
      await runs.until(messages);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages));
      assert.equal(runs.by("leaving").length, before, "nothing for the one that left");
    },
  );

  test(
    {
      name: "survives members that subscribe and close at the same moment",
      needs: ["groups", "replay"],
      short: { members: 10, messages: 50 },
    },
    async (lab, { members, messages }) => {
      const item = lab.event();
      const runs = new Runs();
      const publisher = await lab.bus();
      await Promise.all(
        upTo(members).map(async (m) => {
          const bus = await lab.bus();
          const subscribed = bus.subscribe(item, runs.handler(`m${m}`), { group: lab.group() }).catch(() => undefined);
          await bus.close();
          await subscribed;
        }),
      );
      await Promise.all(upTo(messages).map((n) => publisher.publish(item, { n })));
      const fresh = await lab.bus();
      await fresh.subscribe(item, runs.handler("fresh"), { group: lab.group() });
      await runs.until(messages);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages));
      assert.equal(runs.by("fresh").length, messages, "a closed bus handles nothing");
    },
  );
}
