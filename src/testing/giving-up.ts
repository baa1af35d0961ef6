import assert from "node:assert/strict";
import { Reject } from "../index.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";

/** docs/guarantees.md, Handling: when a message is given up, and what counts as a failure. */
export function givingUpTests({ test }: Suite): void {
  test(
    {
      name: "runs a handler maxAttempts times and no more",
      needs: ["groups"],
      short: { maxAttempts: 5 },
      full: { maxAttempts: 10 },
    },
    async (lab, { maxAttempts }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      const work = ({ n, attempt }: { n: number; attempt: number }) => {
        if (n === 0 || attempt < maxAttempts) throw new Error("poison");
      };
      await bus.subscribe(item, runs.handler("m1", work), {
        group: lab.group(),
        retry: { maxAttempts, backoff: { baseMs: 1, jitter: 0 } },
      });
      await bus.publish(item, { n: 0 });
      await bus.publish(item, { n: 1 });
      await until(async () => (await bus.deadLetters.count({ group: lab.group() })) === 1, "one letter");
      await runs.until(1);
      await runs.silence(lab.quietMs);
      const all = upTo(maxAttempts).map((a) => a + 1);
      assert.deepEqual(
        [runs.attempts(0), runs.attempts(1)],
        [all, all],
        "one succeeds with its last attempt, one does not",
      );
      assert.equal(await bus.deadLetters.count({ group: lab.group() }), 1);
    },
  );

  test({ name: "an event's own maxAttempts goes before the group's", needs: ["groups"] }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const runs = new Runs();
    const fail = () => {
      throw new Error("always");
    };
    await bus.subscribe(item, runs.handler("m1", fail), { group: lab.group() });
    await bus.publish(item, { n: 1 }, { maxAttempts: 2 });
    await until(async () => (await bus.deadLetters.count({ group: lab.group() })) === 1, "the letter");
    await runs.silence(lab.quietMs);
    assert.deepEqual(runs.attempts(1), [1, 2]);
  });

  test({ name: "Reject skips the retries", needs: ["groups"] }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const runs = new Runs();
    const work = () => {
      throw new Reject("negative total");
    };
    await bus.subscribe(item, runs.handler("m1", work), { group: lab.group() });
    await bus.publish(item, { n: 1 });
    await until(async () => (await bus.deadLetters.count({ group: lab.group() })) === 1, "the letter");
    await runs.silence(lab.quietMs);
    assert.deepEqual(runs.attempts(1), [1]);
    const { items } = await bus.deadLetters.list({ group: lab.group() });
    assert.deepEqual(
      [items[0]?.reason.name, items[0]?.reason.message, items[0]?.attempts],
      ["Reject", "negative total", 1],
    );
  });

  test({ name: "drops after the last attempt where the policy says so", needs: ["groups"] }, async (lab) => {
    const bus = await lab.bus();
    const item = lab.event();
    const runs = new Runs();
    const work = ({ n }: { n: number }) => {
      if (n === 1) throw new Error("always");
    };
    await bus.subscribe(item, runs.handler("m1", work), {
      group: lab.group(),
      retry: { maxAttempts: 2, backoff: { baseMs: 1 }, exhausted: "drop" },
    });
    await bus.publish(item, { n: 1 }, { key: "one" });
    await bus.publish(item, { n: 2 }, { key: "one" });
    await runs.until(1);
    await until(() => runs.attempts(1).length === 2, "the second attempt");
    await runs.silence(lab.quietMs);
    assert.deepEqual([runs.attempts(1), await bus.deadLetters.count({ group: lab.group() })], [[1, 2], 0]);
    await until(async () => {
      const { waiting, inFlight } = await bus.groups.info(lab.group());
      return waiting + inFlight === 0;
    }, "nothing to be left of it");
  });

  test(
    {
      name: "treats whatever a handler throws alike: nothing, a string, an error that cannot be read",
      needs: ["groups"],
    },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      const hostile = {
        get message(): string {
          throw new Error("no");
        },
        get stack(): string {
          throw new Error("no");
        },
      };
      const thrown: unknown[] = [undefined, null, "text", 42, Object.create(null), hostile];
      const work = ({ n, attempt }: { n: number; attempt: number }) => {
        if (attempt === 1) throw thrown[n];
      };
      await bus.subscribe(item, runs.handler("m1", work), { group: lab.group() });
      await Promise.all(thrown.map((_, n) => bus.publish(item, { n })));
      await runs.until(thrown.length);
      await runs.silence(lab.quietMs);
      for (const n of thrown.keys()) assert.deepEqual(runs.attempts(n), [1, 2], `thrown ${n}`);
    },
  );
}
