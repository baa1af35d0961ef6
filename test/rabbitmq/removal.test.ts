import { afterEach, describe, expect, it } from "vitest";
import { Definitions } from "../../src/drivers/rabbitmq/definitions.ts";
import { pastOfJob } from "../../src/drivers/rabbitmq/group-setup.ts";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { noRemains } from "../../src/drivers/rabbitmq/remains.ts";
import { quorum } from "../../src/drivers/rabbitmq/topology.ts";
import { type Bus, connect } from "../../src/index.ts";
import { until } from "../../src/testing/index.ts";
import { Tick } from "../support/events.ts";
import { freshPrefix, openSession } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");
const open: AsyncDisposable[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each[Symbol.asyncDispose]()));
});

async function busOf(prefix: string): Promise<Bus> {
  const bus = await connect({
    driver: rabbitmq({ url: broker!.url }),
    prefix,
    streams: [{ name: "events", topics: [">"], partitions: 2 }],
  });
  open.push(bus);
  return bus;
}

/** Another process, up to where it dies. */
async function other(prefix: string) {
  const session = await openSession(broker!.url, prefix);
  const definitions = new Definitions(session);
  await definitions.start();
  open.push({
    [Symbol.asyncDispose]: async () => {
      definitions.close();
      await session.close(AbortSignal.timeout(2_000));
    },
  });
  const exists = (queue: string): Promise<boolean> =>
    session
      .ask((channel) => channel.checkQueue(queue))
      .then(
        () => true,
        () => false,
      );
  return { session, names: session.names, definitions, exists };
}

describe.skipIf(broker === undefined)("a removal at RabbitMQ whose process died", () => {
  it("of a group is finished by who connects next", async () => {
    const prefix = freshPrefix();
    const bus = await busOf(prefix);
    await (await bus.subscribe(Tick, () => undefined, { group: "g" })).unsubscribe();
    const { names, definitions, exists } = await other(prefix);
    const queue = names.group("g", "events", 0);
    expect(await exists(queue)).toBe(true);
    const left = { exchanges: [names.group("g", "events")], queues: [queue, names.notes("g")] };
    expect(await definitions.deleteGroup("g", left, noRemains, definitions.group("g").rev)).toBe(true);
    expect(await exists(queue)).toBe(true);
    await busOf(prefix);
    await until(async () => !(await exists(queue)) && !(await exists(names.notes("g"))), "its queues to go");
    await until(() => definitions.remains.length === 0, "it to be said");
  });

  it("of a group is finished before a new one of its name is made, which has nothing of it", async () => {
    const prefix = freshPrefix();
    const bus = await busOf(prefix);
    await (await bus.subscribe(Tick, () => undefined, { group: "g", order: "none" })).unsubscribe();
    await bus.publish(Tick, { n: 1 });
    const { names, definitions } = await other(prefix);
    const left = { exchanges: [names.group("g", "events")], queues: [names.group("g", "events")] };
    expect(await definitions.deleteGroup("g", left, noRemains, definitions.group("g").rev)).toBe(true);
    const seen: number[] = [];
    await bus.subscribe(Tick, ({ data }) => void seen.push(data.n), { group: "g", order: "none", from: "newest" });
    await bus.publish(Tick, { n: 2 });
    await until(() => seen.length > 0, "the new one");
    expect(seen).toEqual([2]);
    await until(() => definitions.remains.length === 0, "it to be said");
    expect((await bus.groups.list()).map(({ group }) => group)).toEqual(["g"]);
  });

  it("of what was copied for a group that was made again is finished by who connects next", async () => {
    const prefix = freshPrefix();
    const bus = await busOf(prefix);
    await (await bus.subscribe(Tick, () => undefined, { group: "g" })).unsubscribe();
    const { session, names, definitions, exists } = await other(prefix);
    const past = pastOfJob(session, { group: "g", id: "a1", stream: "events", partitions: 2 });
    const [seam, history] = past.queues as [string, string];
    await session.ask(async (channel) => {
      await channel.assertQueue(history, { durable: true, arguments: quorum() });
      await channel.assertQueue(seam, { durable: true, arguments: { "x-queue-type": "stream" } });
      await channel.bindQueue(seam, names.group("g", "events"), "#");
    });
    const { definition, rev } = definitions.group("g");
    expect(await definitions.putGroup("g", { ...definition!, id: "a2" }, rev, past)).toBe(true);
    await busOf(prefix);
    await until(async () => !(await exists(seam)) && !(await exists(history)), "its queues to go");
    await until(() => definitions.remains.length === 0, "it to be said");
    expect(await exists(names.group("g", "events", 0)), "what the group reads").toBe(true);
  });

  it("of a stream is finished by who makes it again", async () => {
    const prefix = freshPrefix();
    const bus = await busOf(prefix);
    await bus.publish(Tick, { n: 1 });
    const { names, definitions, exists } = await other(prefix);
    const log = names.stream("events");
    const left = { exchanges: [log], queues: [log] };
    expect(await definitions.deleteStream("events", left, noRemains, definitions.streamsRev)).toBe(true);
    expect(await exists(log)).toBe(true);
    const again = await busOf(prefix);
    expect(await exists(log)).toBe(true);
    await until(() => definitions.remains.length === 0, "it to be said");
    const seen: number[] = [];
    await again.subscribe(Tick, ({ data }) => void seen.push(data.n), { group: "late", from: "oldest" });
    await again.publish(Tick, { n: 2 });
    await until(() => seen.includes(2), "what is published to the new one");
    expect(seen).toEqual([2]);
  });
});
