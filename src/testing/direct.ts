import assert from "node:assert/strict";
import { Runs, upTo } from "./runs.ts";
import { until } from "./until.ts";
import type { Suite } from "./suite.ts";

/** At-most-once: reaches those who are connected now, and is stored nowhere. */
export function directTests({ test }: Suite): void {
  test(
    {
      name: "at-most-once reaches every subscriber that is connected, and no group that comes later",
      short: { messages: 50 },
    },
    async (lab, { messages }) => {
      const item = lab.event();
      const [one, two, publisher] = [await lab.bus(), await lab.bus(), await lab.bus()];
      const runs = new Runs();
      await one.subscribe(item, runs.handler("one"));
      await two.subscribe(item, runs.handler("two"));
      for (const n of upTo(messages)) {
        const receipt = await publisher.publish(item, { n }, { delivery: "at-most-once" });
        assert.deepEqual([receipt.stored, receipt.stream], ["not-durable", undefined]);
      }
      const counts = (): number[] => [runs.by("one").length, runs.by("two").length];
      await until(
        () => counts().every((count) => count >= messages),
        () => `both to have all: ${counts().join(" and ")}`,
      );
      await runs.silence(lab.quietMs);
      assert.deepEqual(counts(), [messages, messages]);
      if (!lab.driver.capabilities.groups) return;
      const later = new Runs();
      await publisher.subscribe(item, later.handler(), { group: lab.group() });
      await publisher.publish(item, { n: messages });
      await later.until(1);
      await later.silence(lab.quietMs);
      later.assertOnce([messages]);
    },
  );

  test(
    { name: "at-most-once goes to one member of each live group", needs: ["groups"], short: { messages: 60 } },
    async (lab, { messages }) => {
      const item = lab.event();
      const [one, two, publisher] = [await lab.bus(), await lab.bus(), await lab.bus()];
      const [shared, other] = [new Runs(), new Runs()];
      await one.subscribe(item, shared.handler("one"), { group: lab.group("shared"), live: true });
      await two.subscribe(item, shared.handler("two"), { group: lab.group("shared"), live: true });
      await two.subscribe(item, other.handler(), { group: lab.group("other"), live: true });
      await Promise.all(upTo(messages).map((n) => publisher.publish(item, { n }, { delivery: "at-most-once" })));
      await shared.until(messages);
      await other.until(messages);
      await shared.silence(lab.quietMs);
      shared.assertOnce(upTo(messages));
      other.assertOnce(upTo(messages));
    },
  );

  test({ name: "at-most-once to nobody is no error" }, async (lab) => {
    const bus = await lab.bus();
    assert.equal((await bus.publish(lab.event(), { n: 1 }, { delivery: "at-most-once" })).stored, "not-durable");
  });
}
