import assert from "node:assert/strict";
import type { Bus } from "../index.ts";
import type { SubscribeOptions } from "../handler.ts";
import type { Lab } from "./lab.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";

interface Loss {
  readonly reader: string;
  readonly count: number | undefined;
}

/** What a bus is told to be lost, by whom it was to be read. */
function toldOf(bus: Bus): (reader: string) => readonly Loss[] {
  const losses: Loss[] = [];
  bus.onStatus((status) => {
    if (status.type === "messages-lost") losses.push({ reader: status.stream, count: status.count });
  });
  return (reader) => losses.filter((loss) => loss.reader.includes(reader));
}

/** How many; fails on a loss without a number. */
function lossesOf(bus: Bus): (reader: string) => number {
  const told = toldOf(bus);
  return (reader) =>
    told(reader).reduce((sum, { count }) => {
      assert.ok(count !== undefined && count > 0, `${reader}: ${count} are lost`);
      return sum + count;
    }, 0);
}

/** How often; fails on a loss with a number. */
function timesOf(bus: Bus): (reader: string) => number {
  const told = toldOf(bus);
  return (reader) => {
    for (const { count } of told(reader)) assert.equal(count, undefined, `${reader}: ${count} are counted`);
    return told(reader).length;
  };
}

const cases = [
  ["none", "another"],
  ["none", "its own"],
  ["process", "another"],
  ["group", "another"],
  ["group", "its own"],
] as const;

interface Overflow {
  readonly slow: Runs;
  readonly quick: Runs;
  readonly told: (reader: string) => number;
  readonly open: () => void;
}

/** A ring that runs over while one of two groups has no room. */
async function runOver(
  lab: Lab,
  [order, by]: (typeof cases)[number],
  { messages, maxMessages }: { readonly messages: number; readonly maxMessages: number },
  told: (bus: Bus) => (reader: string) => number,
): Promise<Overflow> {
  const name = lab.group("ring");
  const bus = await lab.bus({
    streams: [{ name, topics: [lab.topic(">")], maxMessages, whenFull: "drop-oldest", partitions: 1 }],
  });
  const publisher = by === "another" ? await lab.bus() : bus;
  const item = lab.event();
  const [slow, quick] = [new Runs(), new Runs()];
  const losses = told(bus);
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
  return { slow, quick, told: losses, open: () => gate.resolve() };
}

/** A ring that runs over while a group has no member: the first that joins it then, and another. */
async function runOverUnread(
  lab: Lab,
  { messages, maxMessages }: { readonly messages: number; readonly maxMessages: number },
  told: (bus: Bus) => (reader: string) => number,
  bounds: "the stream" | "each group",
): Promise<readonly number[]> {
  const name = lab.group("ring");
  const publisher = await lab.bus({
    streams: [{ name, topics: [lab.topic(">")], maxMessages, whenFull: "drop-oldest", partitions: 1 }],
  });
  const [item, other] = [lab.event("item"), lab.event("other")];
  const subscription = await publisher.subscribe(item, () => undefined, { group: lab.group() });
  await subscription.unsubscribe();
  for (const n of upTo(messages)) await publisher.publish(n % 2 === 0 ? item : other, { n });
  const [first, second] = [await lab.bus(), await lab.bus()];
  const losses = [told(publisher), told(first), told(second)] as const;
  const runs = new Runs();
  await first.subscribe(item, runs.handler("first"), { group: lab.group() });
  await runs.until(maxMessages / 2);
  await until(() => losses[1](lab.group()) > 0, "the first to be told");
  await second.subscribe(item, runs.handler("second"), { group: lab.group() });
  if (bounds === "the stream") await runs.silence(lab.quietMs);
  else await runs.quiet(lab.quietMs);
  const read = upTo(messages).filter((n) => n % 2 === 0);
  const kept = read.filter((n) => n >= messages - maxMessages);
  runs.assertOnce(bounds === "the stream" ? kept : read.slice(-Math.max(runs.handled.length, kept.length)));
  assert.ok(runs.handled.length <= maxMessages, `${runs.handled.length} are handled`);
  return losses.map((lost) => lost(lab.group()));
}

/** What a stream drops that a group was to have: who is told, when, and how many. */
export function lossTests({ test }: Suite): void {
  for (const each of cases) {
    const [order, by] = each;
    const how = `though its member has no room (order: ${order}; published by ${by} bus)`;
    test(
      {
        name: `says at once what it dropped of what nobody had yet, ${how}`,
        needs: order === "group" ? ["groups", "order", "loss counts"] : ["groups", "loss counts"],
        short: { messages: 60, maxMessages: 10 },
      },
      async (lab, parameters) => {
        const { slow, quick, told, open } = await runOver(lab, each, parameters, lossesOf);
        const { messages, maxMessages } = parameters;
        // the one that runs and the one that was fetched beside it are not lost: they are handled
        const dropped = messages - maxMessages;
        await until(
          () => told(lab.group("slow")) >= dropped - 2,
          () => `${dropped} less what it has in hand to be lost; told were ${told(lab.group("slow"))}`,
        );
        assert.equal(slow.active, 1, "it still has no room");
        open();
        await until(
          () => slow.handled.length + told(lab.group("slow")) >= messages,
          () => `each handled or lost: ${slow.handled.length} and ${told(lab.group("slow"))} of ${messages}`,
        );
        await slow.silence(lab.quietMs);
        assert.equal(slow.handled.length + told(lab.group("slow")), messages, "each is handled or lost, none twice");
        assert.equal(slow.numbers().length, slow.handled.length);
        assert.equal(slow.handled.at(-1)?.n, messages - 1, "the newest is kept");
        assert.equal(told(lab.group("quick")), 0, "who had handled it lost nothing");
        quick.assertOnce(upTo(messages));
      },
    );

    test(
      {
        name: `says that it dropped what nobody had yet, and no number, ${how}`,
        lacks: "loss counts",
        needs: order === "group" ? ["groups", "order"] : ["groups"],
        short: { messages: 60, maxMessages: 10 },
      },
      async (lab, parameters) => {
        const { slow, quick, told, open } = await runOver(lab, each, parameters, timesOf);
        const { messages, maxMessages } = parameters;
        await until(() => told(lab.group("slow")) > 0, "the slow one to be told");
        assert.equal(slow.active, 1, "it still has no room");
        open();
        await until(
          () => slow.handled.at(-1)?.n === messages - 1,
          () => `the newest to be handled; ${slow.handled.at(-1)?.n} was`,
        );
        await slow.silence(lab.quietMs);
        assert.equal(slow.numbers().length, slow.handled.length, "none is handled twice");
        assert.ok(slow.handled.length <= maxMessages + 2, `${slow.handled.length} are handled, most of them dropped`);
        assert.equal(told(lab.group("quick")), 0, "who had handled it lost nothing");
        quick.assertOnce(upTo(messages));
      },
    );
  }

  test(
    {
      name: "says what was dropped while a group had no member to the next one, once, and only what the group reads",
      needs: ["groups", "loss counts"],
      short: { messages: 30, maxMessages: 10 },
    },
    async (lab, parameters) => {
      const { messages, maxMessages } = parameters;
      const told = await runOverUnread(lab, parameters, lossesOf, "the stream");
      assert.deepEqual(told, [0, (messages - maxMessages) / 2, 0]);
    },
  );

  test(
    {
      name: "says that something was dropped while a group had no member to the next one, and to nobody else",
      lacks: "loss counts",
      needs: ["groups"],
      short: { messages: 30, maxMessages: 10 },
    },
    async (lab, parameters) => {
      // a broker that doesn't count may bound what each group has of the stream
      const [publisher, first, second] = await runOverUnread(lab, parameters, timesOf, "each group");
      assert.deepEqual([publisher, second], [0, 0]);
      assert.ok(first !== undefined && first > 0);
    },
  );
}
