import { afterEach, expect, it } from "vitest";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { type Bus, connect } from "../../src/index.ts";
import { until } from "../../src/testing/index.ts";
import { Tick } from "../support/events.ts";
import { freshPrefix, openSession } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");
const open: Bus[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((bus) => bus.close({ timeoutMs: 1_000 })));
});

it.skipIf(broker === undefined)(
  "a stream deleted natively under its groups: they keep what they have, and what is published afterwards reaches them and tails",
  { timeout: 40_000 },
  async () => {
    const prefix = freshPrefix();
    const bus = await connect({
      driver: rabbitmq({ url: broker!.url }),
      prefix,
      streams: [{ name: "events", topics: [">"], partitions: 4 }],
    });
    open.push(bus);
    const gate = Promise.withResolvers<void>();
    const [loose, ordered, tail]: [number[], number[], number[]] = [[], [], []];
    const work =
      (seen: number[]) =>
      async ({ data }: { readonly data: { readonly n: number } }) => {
        await gate.promise;
        seen.push(data.n);
      };
    await bus.subscribe(Tick, work(loose), { group: "loose", order: "none", concurrency: 1 });
    await bus.subscribe(Tick, work(ordered), { group: "ordered", order: "group", concurrency: 1 });
    await bus.subscribe(Tick, ({ data }) => void tail.push(data.n));
    const before = Array.from({ length: 20 }, (_, n) => n);
    for (const n of before) await bus.publish(Tick, { n });
    const session = await openSession(broker!.url, prefix);
    await session.ask(async (channel) => {
      await channel.deleteQueue(session.names.stream("events"));
      await channel.deleteExchange(session.names.stream("events"));
    });
    await session.close(AbortSignal.timeout(2_000));
    gate.resolve();
    let next = 1_000;
    await until(
      async () => {
        await bus.publish(Tick, { n: (next += 1) }).catch(() => undefined);
        return [loose, ordered, tail].every((seen) => seen.some((n) => n > 1_000));
      },
      () => `new ones: ${JSON.stringify([loose, ordered, tail])}`,
      20_000,
    );
    await until(
      () => [loose, ordered].every((seen) => before.every((n) => seen.includes(n))),
      () => `those of before: ${JSON.stringify([loose, ordered])}`,
    );
    expect((await bus.health()).status).toBe("up");
  },
);
