import assert from "node:assert/strict";
import { Reject } from "../index.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";
import { failing, letters, brokenThenFixed } from "./letters.ts";

/** docs/guarantees.md, Dead letters: replay and discard, harmless twice and resumable. */
export function replayTests({ test }: Suite): void {
  test(
    { name: "replays to the group that gave it up, to the handlers that failed, with the same id", needs: ["groups"] },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      const [runs, others] = [new Runs(), new Runs()];
      let broken = true;
      const work = (): void => {
        if (broken) throw new Error("broken");
      };
      await bus.subscribe(item, runs.handler("bad", work), { group: lab.group(), name: "bad" });
      await bus.subscribe(item, runs.handler("fine"), { group: lab.group(), name: "fine" });
      await bus.subscribe(item, others.handler(), { group: lab.group("other") });
      const { id } = await bus.publish(item, { n: 1 }, { key: "k" });
      const [letter] = await letters(bus, lab.group(), 1);
      broken = false;
      assert.deepEqual(await bus.deadLetters.replay(letter?.id ?? ""), { replayed: 1, failed: 0 });
      await until(
        () => runs.by("bad").length === 6,
        () => `the replay; ${runs.by("bad").length} runs`,
      );
      await runs.silence(lab.quietMs);
      const last = runs.by("bad").at(-1);
      assert.deepEqual([last?.event.id, last?.event.key, last?.failed], [id, "k", false]);
      assert.deepEqual([runs.by("fine").length, others.all.length], [1, 1], "nobody else runs again");
      assert.equal(await bus.deadLetters.count({ group: lab.group() }), 0);
      assert.deepEqual(await bus.deadLetters.replay(letter?.id ?? ""), { replayed: 0, failed: 0 }, "harmless twice");
      await runs.silence(lab.quietMs);
      assert.equal(runs.by("bad").length, 6);
    },
  );

  test(
    { name: "a replay that fails again comes back as a letter with its history", needs: ["groups"] },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      await bus.subscribe(item, failing("always"), {
        group: lab.group(),
        retry: { maxAttempts: 2, backoff: { baseMs: 1 } },
      });
      const { id } = await bus.publish(item, { n: 1 });
      const [first] = await letters(bus, lab.group(), 1);
      await bus.deadLetters.replay(first?.id ?? "");
      await until(async () => {
        const { items } = await bus.deadLetters.list({ group: lab.group() });
        return (items[0]?.history.length ?? 0) > 2;
      }, "the letter to come back with a longer history");
      const [again, none] = await letters(bus, lab.group(), 1);
      assert.equal(none, undefined);
      assert.deepEqual([again?.event?.id, again?.id], [id, first?.id]);
      assert.deepEqual(again?.firstFailedAt, first?.firstFailedAt);
      assert.equal(again?.history.length, 4);
    },
  );

  test(
    {
      name: "lets one of two operators who replay at once win",
      needs: ["groups"],
      short: { letters: 20 },
      full: { letters: 500 },
    },
    async (lab, { letters: count }) => {
      const [bus, other] = [await lab.bus(), await lab.bus()];
      const item = lab.event();
      const runs = await brokenThenFixed(lab, bus, item, count);
      const both = await Promise.all([
        bus.deadLetters.replay({ group: lab.group() }),
        other.deadLetters.replay({ group: lab.group() }),
      ]);
      assert.equal(both[0].replayed + both[1].replayed, count);
      await runs.until(count);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(count));
      assert.equal(await bus.deadLetters.count({ group: lab.group() }), 0);
    },
  );

  test(
    {
      name: "replays what a query finds, and goes on after it was interrupted",
      needs: ["groups"],
      short: { letters: 12 },
    },
    async (lab, { letters: count }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = await brokenThenFixed(lab, bus, item, count);
      const controller = new AbortController();
      const progress: number[] = [];
      const interrupted = bus.deadLetters.replay(
        { group: lab.group() },
        {
          ratePerSecond: 200,
          signal: controller.signal,
          onProgress: (done) => {
            progress.push(done);
            if (done >= 3) controller.abort();
          },
        },
      );
      await interrupted.catch(() => undefined);
      const left = await bus.deadLetters.count({ group: lab.group() });
      assert.ok(left > 0 && left < count, `${left} of ${count} left`);
      assert.deepEqual(progress.slice(0, 3), [1, 2, 3]);
      assert.equal((await bus.deadLetters.replay({ group: lab.group() })).replayed, left);
      await runs.until(count);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(count));
    },
  );

  test(
    { name: "replays an event that two groups gave up to both of them", needs: ["groups"], short: { items: 3 } },
    async (lab, { items }) => {
      const bus = await lab.bus();
      const item = lab.event();
      let broken = true;
      const work = (): void => {
        if (broken) throw new Reject("broken");
      };
      const groups = [lab.group("a"), lab.group("b")].map((group) => ({ group, runs: new Runs() }));
      for (const { group, runs } of groups) await bus.subscribe(item, runs.handler("m1", work), { group });
      await Promise.all(upTo(items).map((n) => bus.publish(item, { n })));
      for (const { group } of groups) await letters(bus, group, items);
      broken = false;
      for (const { group } of groups)
        assert.deepEqual(await bus.deadLetters.replay({ group }), { replayed: items, failed: 0 });
      for (const { group, runs } of groups) {
        await runs.until(items, `items handled by ${group}`);
        await runs.silence(lab.quietMs);
        runs.assertOnce(upTo(items));
        assert.equal(await bus.deadLetters.count({ group }), 0);
      }
    },
  );

  test({ name: "replays one letter with mended data, validated", needs: ["groups"] }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const runs = new Runs();
    const work = ({ n }: { n: number }): void => {
      if (n < 0) throw new Reject("negative");
    };
    await bus.subscribe(item, runs.handler("m1", work), { group: lab.group() });
    const { id } = await bus.publish(item, { n: -1 });
    const [letter] = await letters(bus, lab.group(), 1);
    await bus.deadLetters.replay(letter?.id ?? "", { data: { n: 7 } });
    await runs.until(1);
    assert.deepEqual([runs.handled[0]?.n, runs.handled[0]?.event.id], [7, id]);
  });

  test(
    { name: "discards by id and by query, for good", needs: ["groups"], short: { letters: 6 } },
    async (lab, { letters: count }) => {
      const bus = await lab.bus();
      const item = lab.event();
      await bus.subscribe(item, failing("boom"), { group: lab.group(), retry: { maxAttempts: 1 } });
      for (const n of upTo(count)) await bus.publish(item, { n });
      const [first] = await letters(bus, lab.group(), count);
      assert.equal(await bus.deadLetters.discard(first?.id ?? ""), 1);
      assert.equal(await bus.deadLetters.discard(first?.id ?? ""), 0);
      assert.equal(await bus.deadLetters.count({ group: lab.group() }), count - 1);
      assert.equal(await bus.deadLetters.discard({ group: lab.group() }), count - 1);
      assert.equal(await bus.deadLetters.count({ group: lab.group() }), 0);
      assert.deepEqual(await bus.deadLetters.replay({ group: lab.group() }), { replayed: 0, failed: 0 });
    },
  );
}
