import assert from "node:assert/strict";
import { nothingInvented, nothingLost } from "./invariants/delivery.ts";
import type { HistoryRecord } from "./invariants/history.ts";
import { definiteFailures } from "./invariants/publishing.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";

/** docs/guarantees.md, After an outage: everything comes back by itself, where it was. */
export function recoveryTests({ test }: Suite): void {
  test(
    {
      name: "keeps streams, groups, positions, queues and letters when every process is gone",
      needs: ["durable", "groups"],
      short: { messages: 30 },
    },
    async (lab, { messages }) => {
      const item = lab.event();
      const runs = new Runs();
      const first = await lab.bus();
      const fail = ({ n }: { n: number }): void => {
        if (n === 3) throw new Error("always");
      };
      await first.subscribe(item, runs.handler("first", fail), { group: lab.group(), retry: { maxAttempts: 1 } });
      for (const n of upTo(messages / 2)) await first.publish(item, { n });
      await runs.until(messages / 2 - 1);
      await until(async () => (await first.deadLetters.count({ group: lab.group() })) === 1, "one letter");
      await first.close();
      await lab.closeAll();
      const publisher = await lab.bus();
      for (const n of upTo(messages / 2)) await publisher.publish(item, { n: messages / 2 + n });
      await publisher.send(lab.group(), item, { n: messages });
      await lab.closeAll();
      const second = await lab.bus();
      assert.equal(await second.deadLetters.count({ group: lab.group() }), 1);
      assert.deepEqual((await second.groups.info(lab.group())).patterns, [item.pattern]);
      await second.subscribe(item, runs.handler("second"), { group: lab.group() });
      await runs.until(messages);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages + 1).filter((n) => n !== 3));
      assert.equal(runs.by("second").length, messages / 2 + 1);
      await second.deadLetters.replay({ group: lab.group() });
      await runs.until(messages + 1);
    },
  );

  test({ name: "says that nothing outlives its process", lacks: "durable" }, async (lab) => {
    const bus = await lab.bus();
    assert.equal((await bus.publish(lab.event(), { n: 1 })).stored, "not-durable");
  });

  test(
    {
      name: "goes on by itself after the broker was restarted, twice, under load",
      needs: ["durable", "groups", "restart"],
      short: { messages: 1_000, publishers: 10 },
      full: { messages: 10_000, publishers: 100 },
      timeoutMs: 300_000,
    },
    async (lab, { messages, publishers }) => {
      const item = lab.event();
      const [bus, consumer] = [await lab.bus(), await lab.bus()];
      const [runs, tail] = [new Runs(), new Runs()];
      const history: HistoryRecord[] = [];
      const disconnects: string[] = [];
      consumer.onStatus(({ type }) => disconnects.push(type));
      await consumer.subscribe(item, runs.handler(), { group: lab.group() });
      await consumer.subscribe(item, tail.handler());
      let published = 0;
      const publishing = upTo(publishers).map(async (p) => {
        for (const index of upTo(messages / publishers)) {
          const n = index * publishers + p;
          const id = `${lab.topic("id")}-${n}`;
          const record = { process: `p${p}`, id, sequence: index, group: undefined, key: undefined, attempt: 1 };
          history.push({ ...record, op: "publish-started", at: performance.now() });
          // The caller's own retry, with the same id, until the broker has it.
          await until(
            async () => {
              const ok = await bus.publish(item, { n }, { id }).then(
                () => true,
                () => false,
              );
              return ok;
            },
            `item ${n} to be stored`,
            60_000,
          );
          history.push({ ...record, op: "published", at: performance.now() });
          published++;
        }
      });
      for (const share of [1 / 3, 1 / 2]) {
        await until(
          () => published >= messages * share,
          () => `a share of ${share}; ${published} were published`,
          120_000,
        );
        await lab.world.restart?.();
      }
      await Promise.all(publishing);
      await until(
        () => runs.different >= messages,
        () => `${messages} handled; ${runs.numbers().length} were`,
        120_000,
      );
      const all = [...history, ...runs.history()];
      assert.deepEqual([...nothingLost(all), ...nothingInvented(all), ...definiteFailures(all, new Set())], []);
      assert.ok(disconnects.includes("disconnected"), "the restarts were noticed");
      await until(async () => (await consumer.health()).status === "up", "to be up again");
      const before = tail.numbers().length;
      await bus.publish(item, { n: messages });
      await until(() => tail.numbers().length > before, "the tail to get what comes now");
    },
  );
}
