import assert from "node:assert/strict";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";

/** What becomes of events among members that each know other ones, in a group without an order. */
export function handOnTests({ test }: Suite): void {
  test(
    {
      name: "finds among many members the one that knows an event, before waits between those that don't would end",
      needs: ["groups"],
      short: { members: 8, messages: 10, handOnMs: 10_000 },
      full: { members: 12, messages: 20, handOnMs: 10_000 },
    },
    async (lab, { members, messages, handOnMs }) => {
      const runs = new Runs();
      const events = upTo(members).map((n) => lab.event(`item${n}`));
      for (const [n, event] of events.entries()) {
        const bus = await lab.bus();
        await bus.subscribe(event, runs.handler(`m${n}`), { group: lab.group(), order: "none", handOnMs });
      }
      const publisher = await lab.bus();
      const all = members * messages;
      await Promise.all(upTo(all).map((n) => publisher.publish(events[n % members]!, { n })));
      await runs.until(all);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(all));
      assert.ok(
        runs.all.every(({ n, member }) => member === `m${n % members}`),
        "each by the one that knows it",
      );
      assert.equal(await publisher.deadLetters.count({ group: lab.group() }), 0);
    },
  );
}
