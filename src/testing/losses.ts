import assert from "node:assert/strict";
import type { Bus } from "../index.ts";
import type { SubscribeOptions } from "../handler.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";

/** How many a bus was told to be lost, by whom they were to be read; fails on a loss without a number. */
function lossesOf(bus: Bus): (reader: string) => number {
  const losses: { readonly reader: string; readonly count: number | undefined }[] = [];
  bus.onStatus((status) => {
    if (status.type === "messages-lost") losses.push({ reader: status.stream, count: status.count });
  });
  return (reader) => {
    const those = losses.filter((loss) => loss.reader.includes(reader));
    for (const { count } of those) assert.ok(count !== undefined && count > 0, `${reader}: ${count} are lost`);
    return those.reduce((sum, { count = 0 }) => sum + count, 0);
  };
}

const cases = [
  ["none", "another"],
  ["none", "its own"],
  ["process", "another"],
  ["group", "another"],
  ["group", "its own"],
] as const;

/** What a stream drops that a group was to have: who is told, when, and how many. */
export function lossTests({ test }: Suite): void {
  for (const [order, by] of cases) {
    test(
      {
        name: `says at once what it dropped of what nobody had yet, though its member has no room (order: ${order}; published by ${by} bus)`,
        needs: order === "group" ? ["groups", "order"] : ["groups"],
        short: { messages: 60, maxMessages: 10 },
      },
      async (lab, { messages, maxMessages }) => {
        const name = lab.group("ring");
        const bus = await lab.bus({
          streams: [{ name, topics: [lab.topic(">")], maxMessages, whenFull: "drop-oldest", partitions: 1 }],
        });
        const publisher = by === "another" ? await lab.bus() : bus;
        const item = lab.event();
        const [slow, quick] = [new Runs(), new Runs()];
        const lost = lossesOf(bus);
        const gate = Promise.withResolvers<void>();
        const options: SubscribeOptions = { order, concurrency: 1 };
        await bus.subscribe(
          item,
          slow.handler("slow", () => gate.promise),
          { ...options, group: lab.group("slow") },
        );
        await bus.subscribe(item, quick.handler("quick"), { ...options, group: lab.group("quick") });
        for (const n of upTo(messages)) {
          await publisher.publish(item, { n });
          await quick.until(n + 1);
        }
        // the one that runs and the one that was fetched beside it are not lost: they are handled
        const dropped = messages - maxMessages;
        await until(
          () => lost(lab.group("slow")) >= dropped - 2,
          () => `${dropped} less what it has in hand to be lost; told were ${lost(lab.group("slow"))}`,
        );
        assert.equal(slow.active, 1, "it still has no room");
        gate.resolve();
        await until(
          () => slow.handled.length + lost(lab.group("slow")) >= messages,
          () => `each handled or lost: ${slow.handled.length} and ${lost(lab.group("slow"))} of ${messages}`,
        );
        await slow.silence(lab.quietMs);
        assert.equal(slow.handled.length + lost(lab.group("slow")), messages, "each is handled or lost, none twice");
        assert.equal(slow.numbers().length, slow.handled.length);
        assert.equal(slow.handled.at(-1)?.n, messages - 1, "the newest is kept");
        assert.equal(lost(lab.group("quick")), 0, "who had handled it lost nothing");
        quick.assertOnce(upTo(messages));
      },
    );
  }

  test(
    {
      name: "says what was dropped while a group had no member to the next one, once, and only what the group reads",
      needs: ["groups"],
      short: { messages: 30, maxMessages: 10 },
    },
    async (lab, { messages, maxMessages }) => {
      const name = lab.group("ring");
      const publisher = await lab.bus({
        streams: [{ name, topics: [lab.topic(">")], maxMessages, whenFull: "drop-oldest", partitions: 1 }],
      });
      const [item, other] = [lab.event("item"), lab.event("other")];
      const subscription = await publisher.subscribe(item, () => undefined, { group: lab.group() });
      await subscription.unsubscribe();
      for (const n of upTo(messages)) await publisher.publish(n % 2 === 0 ? item : other, { n });
      const [first, second] = [await lab.bus(), await lab.bus()];
      const told = [lossesOf(publisher), lossesOf(first), lossesOf(second)] as const;
      const runs = new Runs();
      await first.subscribe(item, runs.handler("first"), { group: lab.group() });
      await runs.until(maxMessages / 2);
      await until(() => told[1](lab.group()) > 0, "the first to be told");
      await second.subscribe(item, runs.handler("second"), { group: lab.group() });
      await runs.silence(lab.quietMs);
      assert.deepEqual(
        told.map((lost) => lost(lab.group())),
        [0, (messages - maxMessages) / 2, 0],
      );
      runs.assertOnce(upTo(messages).filter((n) => n >= messages - maxMessages && n % 2 === 0));
    },
  );
}
