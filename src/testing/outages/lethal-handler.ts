import assert from "node:assert/strict";
import type { Child } from "../child.ts";
import { loud } from "../invariants/faults.ts";
import type { HistoryRecord } from "../invariants/history.ts";
import { upTo } from "../runs.ts";
import { until } from "../until.ts";
import { assertNone, drained } from "./aftermath.ts";
import type { RecoverySuite } from "./recovery-topics.ts";

const maxAttempts = 3;

/** A handler that kills its process: the event pays for it, and nobody else. */
export function lethalHandler({ test }: RecoverySuite): void {
  for (const order of ["none", "group"] as const) {
    test(
      {
        name: `a handler kills its own process for one event, each time (order: ${order})`,
        needs: ["durable", "groups", "replay", ...(order === "group" ? (["order"] as const) : [])],
        short: { others: 20 },
        full: { others: 200 },
      },
      async (lab, { others }) => {
        const publisher = await lab.bus();
        const item = lab.event();
        const group = lab.group("g");
        const { journal, leaseMs } = lab;
        const joined = await publisher.subscribe(item, () => undefined, { group, order });
        await joined.unsubscribe(); // the group is there, and nobody of it
        const ids = upTo(others).map((n) => `${lab.topic("k")}-${n}`);
        const lethal = ids[Math.floor(others / 2)]!;
        for (const [n, id] of ids.entries()) {
          const record = { id, key: `k${n % 4}`, sequence: n, hash: id === lethal ? "kill" : `k-${n}` };
          await publisher.publish(item, { n, text: record.hash }, { id, key: record.key });
          journal.note("published", "publisher", record);
        }

        const runsOf = (id: string): readonly HistoryRecord[] =>
          journal.history.filter((record) => record.op === "handling" && record.id === id);
        const letters = (): Promise<number> => publisher.deadLetters.count({ group });
        let last: Child | undefined;
        for (let start = 0; (await letters()) === 0; start++) {
          assert.ok(start <= maxAttempts + 1, `started ${start} times: ${runs(runsOf(lethal))}`);
          const child = await lab.member(`member-${start}`, {
            group,
            order,
            type: item.type,
            work: 1,
            concurrency: 4,
            maxAttempts,
          });
          last = child;
          await until(
            async () => child.gone || (await letters()) > 0,
            () => `member ${start} to die of it, or to give it up; it ran as attempt ${runs(runsOf(lethal))}`,
            leaseMs * 2 + 15_000,
          );
        }
        await drained(publisher, [group]);
        await last?.end(); // all that it noted has been read

        const { items } = await publisher.deadLetters.list({ group });
        assert.deepEqual(
          items.map(({ event }) => event?.id),
          [lethal],
          "it is the one letter",
        );
        const attempts = runsOf(lethal).map(({ attempt }) => attempt ?? 0);
        assert.ok(attempts.length <= maxAttempts + 1, `it ran as attempt ${attempts.join(", ")}`);
        assert.deepEqual([...new Set(attempts)], [1, 2, 3], `it ran as attempt ${attempts.join(", ")}`);
        const handled = journal.history.filter(({ op }) => op === "handled");
        assert.deepEqual(
          [...new Set(handled.map(({ id }) => id))].toSorted(),
          ids.filter((id) => id !== lethal).toSorted(),
          "all others are handled",
        );
        // one that had just been handled may come again, for its acknowledgement went down with the process
        const paid = journal.history.filter(
          ({ id, op, attempt, at }) =>
            op === "handling" &&
            id !== lethal &&
            (attempt ?? 0) > 1 + handled.filter((before) => before.id === id && before.at < at).length,
        );
        assert.deepEqual(paid, [], "none of the others paid for it");
        assertNone(loud([], [], lab.watch.complaints));
      },
    );
  }
}

const runs = (records: readonly HistoryRecord[]): string => records.map(({ attempt }) => attempt).join(", ");
