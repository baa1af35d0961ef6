import assert from "node:assert/strict";
import type { Bus, ScheduledEvent } from "../index.ts";
import { rejection } from "./rejection.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";

const hourMs = 3_600_000;

/**
 * Does what has to be done before a time, later and with new names when the time came first: a busy machine is not a broker that
 * cancels too late.
 */
async function inTime<Result>(delayMs: number, work: (at: Date, round: number) => Promise<Result>): Promise<Result> {
  for (let [delay, round] = [delayMs, 0]; ; delay *= 3, round += 1) {
    const at = new Date(Date.now() + delay);
    const outcome = await work(at, round).then(
      (result) => ({ result }),
      (error: unknown) => ({ error }),
    );
    if (Date.now() >= at.getTime() && round < 3) continue;
    if ("error" in outcome) throw outcome.error;
    return outcome.result;
  }
}

/** Everything on these topics that a bus lists, page by page. */
async function listed(bus: Bus, topic: string, limit = 100): Promise<readonly ScheduledEvent[]> {
  const found: ScheduledEvent[] = [];
  let cursor: string | undefined;
  do {
    const page = await bus.scheduled.list({ topic, limit, cursor });
    assert.ok(page.items.length <= limit, `${page.items.length} of at most ${limit}`);
    found.push(...page.items);
    ({ cursor } = page);
  } while (cursor !== undefined);
  return found;
}

/** Times as the broker's clock has them, which is not the publisher's: to ten seconds. */
const lineOf = ({ id, at, topic }: ScheduledEvent): string => `${Math.round(at.getTime() / 10_000)} ${topic} ${id}`;
const idsOf = (events: readonly ScheduledEvent[]): readonly string[] => events.map(({ id }) => id);

/** What was published for later, looked at and taken back. */
export function scheduledTests({ test }: Suite): void {
  test(
    {
      name: "lists what is published for later by its due time, page by page",
      needs: ["schedules", "groups"],
      short: { messages: 25 },
      full: { messages: 700 },
    },
    async (lab, { messages }) => {
      const [bus, operator] = [await lab.bus(), await lab.bus()];
      const [one, two] = [lab.event("one"), lab.event("two", "two.deep")];
      const start = Math.round((Date.now() + hourMs) / 10_000) * 10_000;
      // some at the same time, and none in the order of their times
      const at = (n: number): Date => new Date(start + Math.floor(((n * 7) % messages) / 2) * 10_000);
      const wanted: string[] = [];
      const published = upTo(messages).map(async (n) => {
        const [event, options] = [n % 2 === 0 ? one : two, { at: at(n), key: `k${n % 3}` }];
        const toGroup = n % 5 === 0;
        const { id } = await (toGroup
          ? bus.send(lab.group(), event, { n }, options)
          : bus.publish(event, { n }, options));
        wanted.push(lineOf({ id, at: at(n), topic: event.pattern }));
      });
      await Promise.all(published);
      await bus.publish(one, { n: -1 }); // at once, so not in the list
      await bus.publish(one, { n: -2 }, { at: new Date(Date.now() - hourMs) });
      for (const limit of [7, messages, 10_000]) {
        const all = await listed(operator, lab.topic(">"), limit);
        assert.deepEqual(all.map(lineOf).toSorted(), wanted.toSorted(), `in pages of ${limit}`);
        const times = all.map((event) => event.at.getTime());
        assert.deepEqual(
          times,
          times.toSorted((a, b) => a - b),
          `in pages of ${limit}`,
        );
      }
      const deep = await operator.scheduled.list({ topic: lab.topic("*.deep"), limit: 10_000 });
      assert.equal(deep.items.length, upTo(messages).filter((n) => n % 2 === 1).length);
      assert.equal(deep.cursor, undefined);
      assert.deepEqual((await operator.scheduled.list({ topic: lab.topic("none.>") })).items, []);
    },
  );

  test({ name: "goes on behind an event of the page before that is gone", needs: ["schedules"] }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const ids: string[] = [];
    for (const n of upTo(5)) ids.push((await bus.publish(item, { n }, { at: new Date(Date.now() + hourMs) })).id);
    const first = await bus.scheduled.list({ topic: item.pattern, limit: 2 });
    for (const { id } of first.items) assert.equal(await bus.scheduled.cancel(id), true);
    const rest = await bus.scheduled.list({ topic: item.pattern, cursor: first.cursor });
    assert.equal(rest.cursor, undefined);
    assert.deepEqual([...idsOf(first.items), ...idsOf(rest.items)].toSorted(), ids.toSorted());
  });

  test(
    {
      name: "never delivers what was cancelled, and says so once",
      needs: ["schedules", "groups"],
      short: { delayMs: 400 },
    },
    async (lab, { delayMs }) => {
      const [bus, operator] = [await lab.bus(), await lab.bus()];
      const { item, runs, ids } = await inTime(delayMs, async (at, round) => {
        const [item, group] = [lab.event(`item${round}`), lab.group(`group${round}`)];
        const runs = new Runs();
        await bus.subscribe(item, runs.handler(), { group });
        const receipts = await Promise.all(upTo(6).map((n) => bus.publish(item, { n }, { at })));
        const ids = [...receipts, await bus.send(group, item, { n: 6 }, { at })].map(({ id }) => id);
        for (const n of [1, 4, 6]) {
          assert.equal(await operator.scheduled.cancel(ids[n]!), true);
          assert.equal(await operator.scheduled.cancel(ids[n]!), false, "a second time it is not there");
          assert.equal(await bus.scheduled.cancel(ids[n]!), false);
        }
        const left = idsOf(await listed(operator, item.pattern));
        assert.deepEqual(left.toSorted(), [0, 2, 3, 5].map((n) => ids[n]!).toSorted());
        return { item, runs, ids };
      });
      assert.equal(await operator.scheduled.cancel("nobody-published-this"), false);
      await runs.until(4);
      await runs.silence(lab.quietMs);
      runs.assertOnce([0, 2, 3, 5]);
      await until(async () => (await listed(operator, item.pattern)).length === 0, "an empty list");
      for (const id of ids) assert.equal(await operator.scheduled.cancel(id), false, "too late, or gone");
    },
  );

  test(
    {
      name: "keeps away what was cancelled when its publish is tried again",
      needs: ["schedules", "groups"],
      short: { delayMs: 600 },
    },
    async (lab, { delayMs }) => {
      const [bus, operator] = [await lab.bus(), await lab.bus()];
      const { runs, kept } = await inTime(delayMs, async (at, round) => {
        const [item, group] = [lab.event(`item${round}`), lab.group(`group${round}`)];
        const [kept, cancelled] = [`kept-${group}`, `cancelled-${group}`];
        const runs = new Runs();
        await bus.subscribe(item, runs.handler(), { group });
        const publish = async (id: string): Promise<void> => {
          await bus.publish(item, { n: 1 }, { at, id });
          await bus.send(group, item, { n: 2 }, { at, id });
        };
        await publish(cancelled);
        assert.equal(await operator.scheduled.cancel(cancelled), true);
        await publish(cancelled); // as after an unknown outcome
        await publish(kept);
        assert.deepEqual(idsOf(await listed(bus, item.pattern)), [kept, kept]);
        assert.equal(await operator.scheduled.cancel(cancelled), false);
        return { runs, kept };
      });
      await until(() => new Set(runs.all.map(({ n }) => n)).size === 2, "both of the other");
      await runs.silence(lab.quietMs);
      assert.deepEqual(new Set(runs.all.map(({ event }) => event.id)), new Set([kept]));
    },
  );

  test(
    { name: "takes back everything that waits under one id", needs: ["schedules", "groups"], short: { delayMs: 600 } },
    async (lab, { delayMs }) => {
      const bus = await lab.bus();
      const { runs, kept } = await inTime(delayMs, async (at, round) => {
        const [item, group] = [lab.event(`item${round}`), lab.group(`group${round}`)];
        const [kept, cancelled] = [`kept-${group}`, `cancelled-${group}`];
        const runs = new Runs();
        await bus.subscribe(item, runs.handler(), { group });
        for (const id of [kept, cancelled]) {
          await bus.publish(item, { n: 1 }, { at, id });
          await bus.send(group, item, { n: 2 }, { at, id });
        }
        assert.equal((await listed(bus, item.pattern)).length, 4);
        assert.equal(await bus.scheduled.cancel(cancelled), true);
        assert.deepEqual(idsOf(await listed(bus, item.pattern)), [kept, kept]);
        return { runs, kept };
      });
      await until(() => new Set(runs.all.map(({ n }) => n)).size === 2, "both of the other");
      await runs.silence(lab.quietMs);
      assert.deepEqual(new Set(runs.all.map(({ event }) => event.id)), new Set([kept]));
    },
  );

  test(
    {
      name: "either cancels an event or delivers it, whatever the moment",
      needs: ["schedules", "groups"],
      short: { messages: 40, spreadMs: 300 },
      full: { messages: 600, spreadMs: 3_000 },
    },
    async (lab, { messages, spreadMs }) => {
      const buses = [await lab.bus(), await lab.bus(), await lab.bus()];
      const [bus] = buses as [Bus, Bus, Bus];
      const item = lab.event();
      const runs = new Runs();
      await bus.subscribe(item, runs.handler(), { group: lab.group() });
      const start = Date.now() + 400;
      const dueAt = (n: number): number => start + (n * spreadMs) / messages;
      const receipts = await Promise.all(
        upTo(messages).map((n) => bus.publish(item, { n }, { at: new Date(dueAt(n)) })),
      );
      // each by two at once, from well before its time to a little after
      const answers = await Promise.all(
        receipts.map(async ({ id }, n) => {
          const when = dueAt(n) - 40 + Math.floor(lab.random() * 60);
          await until(() => Date.now() >= when, "the moment", 60_000);
          return Promise.all(buses.slice(1).map((each) => each.scheduled.cancel(id)));
        }),
      );
      const gone = upTo(messages).filter((n) => answers[n]!.includes(true));
      for (const n of gone) assert.notDeepEqual(answers[n], [true, true], "one of the two took it back");
      await until(
        () => new Set(runs.all.map(({ n }) => n)).size >= messages - gone.length,
        () => `${messages - gone.length} to come; ${runs.all.length} came`,
      );
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages).filter((n) => !gone.includes(n)));
    },
  );

  test(
    {
      name: "keeps its schedule, and what was taken off it, while nobody is connected",
      needs: ["schedules", "groups", "durable"],
      short: { delayMs: 1_000 },
    },
    async (lab, { delayMs }) => {
      const first = await lab.bus();
      const { item, cancelled } = await inTime(delayMs, async (at, round) => {
        const item = lab.event(`item${round}`);
        const publish = async (n: number): Promise<string> => (await first.publish(item, { n }, { at })).id;
        const [, cancelled] = [await publish(0), await publish(1), await publish(2)];
        assert.equal(await first.scheduled.cancel(cancelled), true);
        return { item, cancelled };
      });
      await first.close();
      const second = await lab.bus();
      const runs = new Runs();
      await second.subscribe(item, runs.handler(), { group: lab.group() });
      assert.equal(await second.scheduled.cancel(cancelled), false);
      await runs.until(2);
      await runs.silence(lab.quietMs);
      runs.assertOnce([0, 2]);
    },
  );

  test({ name: "has no retries in its list, and can't cancel them", needs: ["schedules", "groups"] }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const runs = new Runs();
    const subscription = await bus.subscribe(
      item,
      runs.handler("m1", () => {
        throw new Error("later");
      }),
      { group: lab.group(), order: "none", retry: { maxAttempts: 3, backoff: { baseMs: hourMs, jitter: 0 } } },
    );
    const { id } = await bus.publish(item, { n: 1 });
    await until(async () => (await bus.groups.info(lab.group())).scheduled === 1, "the retry to wait");
    assert.deepEqual(await listed(bus, item.pattern), []);
    assert.equal(await bus.scheduled.cancel(id), false);
    assert.equal((await bus.groups.info(lab.group())).waiting, 1);
    await subscription.unsubscribe();
  });

  test({ name: "refuses a query that is none", needs: ["schedules"] }, async (lab) => {
    const { scheduled } = await lab.bus();
    for (const query of [{ limit: 0 }, { limit: 10_001 }, { cursor: "no cursor" }, { cursor: "12" }, { tpic: "a" }])
      await rejection(scheduled.list(query), "BUS_INVALID_OPTION");
    await rejection(scheduled.list({ topic: "a..b" }), "BUS_INVALID_TOPIC");
    for (const id of ["", undefined, 7]) await rejection(scheduled.cancel(id as string), "BUS_INVALID_OPTION");
  });

  test(
    { name: "refuses to list and to cancel where it can't tell what is scheduled", lacks: "schedules" },
    async (lab) => {
      const bus = await lab.bus();
      await rejection(bus.scheduled.list(), "BUS_UNSUPPORTED");
      await rejection(bus.scheduled.cancel("any"), "BUS_UNSUPPORTED");
      const { connection } = await lab.driverEnd();
      for (const method of ["scheduled", "cancelScheduled"] as const)
        assert.equal(typeof connection.admin[method], "undefined");
    },
  );
}
