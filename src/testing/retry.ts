import assert from "node:assert/strict";
import { RetryAfter } from "../index.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";

/** docs/guarantees.md, Handling: throwing retries, with backoff, the same message and only that; attempts are counted exactly. */
export function retryTests({ test }: Suite): void {
  test(
    { name: "settles what returned: none of it comes again", needs: ["groups"], short: { messages: 50 } },
    async (lab, { messages }) => {
      const item = lab.event();
      const runs = new Runs();
      const bus = await lab.bus();
      await bus.subscribe(item, runs.handler("first"), { group: lab.group() });
      await Promise.all(upTo(messages).map((n) => bus.publish(item, { n })));
      await runs.until(messages);
      await runs.silence(lab.quietMs);
      await bus.close();
      const again = await lab.bus();
      await again.subscribe(item, runs.handler("again"), { group: lab.group() });
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages));
      const { waiting, inFlight } = await again.groups.info(lab.group());
      assert.deepEqual([waiting, inFlight], [0, 0]);
    },
  );

  test(
    {
      name: "redelivers the very message whose handler threw, as attempt 2",
      needs: ["groups"],
      short: { messages: 100 },
    },
    async (lab, { messages }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const failed: number[] = [];
      const runs = new Runs();
      await bus.subscribe(
        item,
        runs.handler("m1", ({ n, attempt }) => {
          if (attempt > 1 || failed.length === 2) return;
          failed.push(n);
          throw new Error("the first two");
        }),
        { group: lab.group() },
      );
      const receipts = await Promise.all(upTo(messages).map((n) => bus.publish(item, { n })));
      await runs.until(messages);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages));
      for (const n of upTo(messages))
        assert.deepEqual(runs.attempts(n), failed.includes(n) ? [1, 2] : [1], `item ${n}`);
      for (const run of runs.all) assert.equal(run.event.id, receipts[run.n]?.id, "the id stays");
    },
  );

  for (const order of ["process", "none"] as const) {
    test(
      {
        name: `fails the first two and then each fifth, and handles all of them (order: ${order})`,
        needs: ["groups"],
        short: { messages: 100 },
        full: { messages: 1_000 },
      },
      async (lab, { messages }) => {
        const bus = await lab.bus();
        const item = lab.event();
        const runs = new Runs();
        let run = 0;
        const work = ({ n }: { n: number }) => {
          run++;
          if (run <= 2 || run % 5 === 0) throw new Error(`run ${run} of item ${n}`);
        };
        await bus.subscribe(item, runs.handler("m1", work), {
          group: lab.group(),
          order,
          concurrency: 4,
          retry: { maxAttempts: 50, backoff: { baseMs: 1, jitter: 0 } },
        });
        await Promise.all(upTo(messages).map((n) => bus.publish(item, { n })));
        await runs.until(messages);
        await runs.silence(lab.quietMs);
        runs.assertOnce(upTo(messages));
        for (const n of upTo(messages))
          assert.deepEqual(
            runs.attempts(n),
            upTo(runs.attempts(n).length).map((a) => a + 1),
          );
      },
    );
  }

  test(
    {
      name: "goes on after members that failed and left, and keeps counting their attempts",
      needs: ["groups", "replay"],
      short: { messages: 50, members: 2, failures: 5 },
      full: { messages: 50, members: 3, failures: 100 },
    },
    async (lab, { messages, members, failures }) => {
      const item = lab.event();
      const runs = new Runs();
      const publisher = await lab.bus();
      await Promise.all(upTo(messages).map((n) => publisher.publish(item, { n })));
      const retry = { maxAttempts: 1_000, backoff: { baseMs: 1, maxMs: 1, jitter: 0 } };
      for (const m of upTo(members)) {
        const bus = await lab.bus();
        const fail = () => {
          throw new Error("always");
        };
        const before = runs.all.length;
        await bus.subscribe(item, runs.handler(`m${m}`, fail), { group: lab.group(), retry });
        await runs.untilStarted(before + Math.max(failures, messages));
        await bus.close();
      }
      const last = await lab.bus();
      await last.subscribe(item, runs.handler("last"), { group: lab.group(), retry });
      await runs.until(messages);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages));
      for (const n of upTo(messages)) {
        const attempts = runs.attempts(n);
        assert.deepEqual(
          attempts,
          upTo(attempts.length).map((a) => a + 1),
          `attempts of item ${n} over all members`,
        );
      }
    },
  );

  test(
    { name: "waits longer before each attempt, as the backoff says", needs: ["groups"], short: { baseMs: 40 } },
    async (lab, { baseMs }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      const work = ({ attempt }: { attempt: number }) => {
        if (attempt < 4) throw new Error("not yet");
      };
      await bus.subscribe(item, runs.handler("m1", work), {
        group: lab.group(),
        retry: { maxAttempts: 5, backoff: { baseMs, factor: 2, jitter: 0 } },
      });
      await bus.publish(item, { n: 1 });
      await runs.until(1);
      const waits = runs.all.slice(1).map((run, index) => run.startedAt - (runs.all[index]?.endedAt ?? 0));
      for (const [index, wait] of waits.entries()) {
        const expected = baseMs * 2 ** index;
        assert.ok(wait > expected - 5, `${wait} ms before attempt ${index + 2}, not ${expected}`);
        assert.ok(wait < expected + 5_000, `${wait} ms before attempt ${index + 2}, not ${expected}`);
      }
      assert.deepEqual(runs.attempts(1), [1, 2, 3, 4]);
    },
  );

  test({ name: "RetryAfter sets the wait, and counts as an attempt", needs: ["groups"] }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const runs = new Runs();
    const work = ({ attempt }: { attempt: number }) => {
      if (attempt === 1) throw new RetryAfter(150);
    };
    await bus.subscribe(item, runs.handler("m1", work), { group: lab.group() });
    await bus.publish(item, { n: 1 });
    await runs.until(1);
    const [first, second] = runs.all;
    const wait = (second?.startedAt ?? 0) - (first?.endedAt ?? 0);
    assert.ok(wait > 145 && wait < 6_000, `${wait} ms`);
    assert.deepEqual(runs.attempts(1), [1, 2]);
  });

  test(
    {
      name: "handles others meanwhile: one that fails delays neither another key nor another item",
      needs: ["groups"],
      short: { messages: 100 },
    },
    async (lab, { messages }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      const work = ({ n, attempt }: { n: number; attempt: number }) => {
        if (n === 0 && attempt === 1) throw new Error("poison");
      };
      await bus.subscribe(item, runs.handler("m1", work), {
        group: lab.group(),
        retry: { backoff: { baseMs: 60_000, jitter: 0 } },
      });
      await Promise.all(upTo(messages).map((n) => bus.publish(item, { n }, { key: `k${n}` })));
      await runs.until(messages - 1);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages).slice(1));
      assert.deepEqual(runs.attempts(0), [1]);
    },
  );
}
