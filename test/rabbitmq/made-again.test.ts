import { afterEach, describe, expect, it } from "vitest";
import { HistoryGate } from "../../src/drivers/rabbitmq/history-gate.ts";
import { Holder } from "../../src/drivers/rabbitmq/holder.ts";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import type { Session } from "../../src/drivers/rabbitmq/session.ts";
import { quorum } from "../../src/drivers/rabbitmq/topology.ts";
import { type Bus, connect } from "../../src/index.ts";
import { until } from "../../src/testing/index.ts";
import { failureOf, gate, Keyed, Tick, Tock } from "../support/events.ts";
import { freshPrefix, openSession } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");
const open: Bus[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((bus) => bus.close({ timeoutMs: 1_000 })));
});

async function busOf(prefix: string, manage: "create" | "verify" = "create"): Promise<Bus> {
  const bus = await connect({
    driver: rabbitmq({ url: broker!.url }),
    prefix,
    manage,
    streams: [{ name: "events", topics: [">"], partitions: 2 }],
  });
  open.push(bus);
  return bus;
}

async function natively(prefix: string, work: (session: Session) => Promise<unknown>): Promise<void> {
  const session = await openSession(broker!.url, prefix);
  await work(session);
  await session.close(AbortSignal.timeout(2_000));
}

/** What a group reads, and of its past nothing. */
const deleteQueues = (prefix: string, group: string): Promise<void> =>
  natively(prefix, (session) =>
    session.ask(async (channel) => {
      const { names } = session;
      const partitions = [0, 1].map((partition) => names.group(group, "events", partition));
      for (const queue of [names.group(group, "events"), ...partitions]) await channel.deleteQueue(queue);
    }),
  );

const numbers = Array.from({ length: 20 }, (_, n) => n);

describe.skipIf(broker === undefined)("a group whose queues were deleted while nobody of it was there", () => {
  it("has again what waited for it, also when who comes next wants more of it", { timeout: 30_000 }, async () => {
    const prefix = freshPrefix();
    const before = await busOf(prefix);
    await (await before.subscribe(Tick, () => undefined, { group: "g", order: "none" })).unsubscribe();
    for (const n of numbers) await before.publish(Tick, { n });
    await deleteQueues(prefix, "g");
    const seen = new Set<number>();
    const next = await busOf(prefix);
    const handler = ({ data }: { readonly data: { readonly n: number } }): void => void seen.add(data.n);
    await Promise.all([
      next.subscribe(Tick, handler, { group: "g", order: "none", name: "tick" }),
      next.subscribe(Tock, handler, { group: "g", order: "none", name: "tock" }),
    ]);
    await next.publish(Tock, { n: 100 });
    await until(
      () => [...numbers, 100].every((n) => seen.has(n)),
      () => `all: ${[...seen].join(" ")}`,
      15_000,
    );
  });

  it("has again what waited for it, also when its patterns were changed first", { timeout: 30_000 }, async () => {
    const prefix = freshPrefix();
    const bus = await busOf(prefix);
    await (await bus.subscribe(Tick, () => undefined, { group: "g", order: "none" })).unsubscribe();
    for (const n of numbers) await bus.publish(Tick, { n });
    await deleteQueues(prefix, "g");
    await bus.groups.update("g", ["tick", "tock"]);
    const seen = new Set<number>();
    await bus.subscribe(Tick, ({ data }) => void seen.add(data.n), { group: "g", order: "none" });
    await until(
      () => numbers.every((n) => seen.has(n)),
      () => `all: ${[...seen].join(" ")}`,
      15_000,
    );
  });

  it(
    "has its past again, of which it had handled one event, and which grew meanwhile",
    { timeout: 40_000 },
    async () => {
      const prefix = freshPrefix();
      const publisher = await busOf(prefix);
      for (const n of numbers) await publisher.publish(Keyed, { of: `k${n % 4}`, n });
      const former = await busOf(prefix);
      const never = gate();
      let begun = 0;
      const stuck = async (): Promise<void> => {
        if ((begun += 1) > 1) await never.opened;
      };
      await former.subscribe(Keyed, stuck, { group: "g", order: "group", concurrency: 1, name: "stuck" });
      await until(() => begun > 1, "the past to come");
      await former.subscribe(Tock, () => undefined, { group: "g", order: "group", name: "more" });
      await former.close({ timeoutMs: 100 });
      await deleteQueues(prefix, "g");
      const seen = new Map<string, number[]>();
      const next = await busOf(prefix);
      await next.subscribe(
        Keyed,
        ({ data }) => {
          const of = seen.get(data.of) ?? [];
          if (!of.includes(data.n)) seen.set(data.of, [...of, data.n]);
        },
        { group: "g", order: "group", name: "stuck" },
      );
      for (const n of [20, 21, 22, 23]) await publisher.publish(Keyed, { of: `k${n % 4}`, n });
      const wanted = [...numbers, 20, 21, 22, 23];
      await until(
        () => [...seen.values()].flat().length >= wanted.length - 1,
        () => `all but the first: ${JSON.stringify([...seen])}`,
        20_000,
      );
      for (const of of seen.values()) expect(of).toEqual(of.toSorted((one, other) => one - other));
      never.open();
    },
  );
});

it.skipIf(broker === undefined)(
  "the end of a past is acknowledged with its queue, whatever happens to the line between",
  async () => {
    const session = await openSession(broker!.url, freshPrefix());
    const queue = session.names.history("g", "a1", "events", 0);
    await session.ask((channel) => channel.assertQueue(queue, { durable: true, arguments: quorum() }));
    await session.own.put({ exchange: "", routingKey: queue }, Buffer.alloc(0), {
      deliveryMode: 2,
      headers: { m: "end" },
    });
    const came = Promise.withResolvers<number>();
    const holder = await Holder.open(session, {
      message: ({ fields }) => came.resolve(fields.deliveryTag),
      ended: () => undefined,
      cancelled: () => undefined,
    });
    let handled = 0;
    const past = new HistoryGate(session, holder, 100, queue, {
      isOurs: () => Promise.resolve(true),
      caughtUp: () => Promise.resolve(void (handled += 1)),
    });
    expect(await past.read(10)).toBe(true);
    const end = await came.promise;
    await session.ask(async (channel) => {
      const { stream } = (channel as unknown as { connection: { stream: { destroy(error: Error): void } } }).connection;
      stream.destroy(new Error("cut"));
      await Promise.resolve();
    });
    past.end(end); // nothing can be deleted now
    await until(() => handled === 1, "it to be said");
    await expect(session.ask((channel) => channel.checkQueue(queue))).rejects.toMatchObject({ code: 404 });
    await holder.close();
    await session.close(AbortSignal.timeout(2_000));
  },
);

it.skipIf(broker === undefined)(
  "who may create nothing is told what a group is not bound to, and changes nothing",
  async () => {
    const prefix = freshPrefix();
    const creator = await busOf(prefix);
    await creator.subscribe(Tick, () => undefined, { group: "g", order: "none" });
    const bus = await busOf(prefix, "verify");
    await bus.subscribe(Tick, () => undefined, { group: "g", order: "none", name: "same" });
    const more = bus.subscribe(Tock, () => undefined, { group: "g", order: "none", name: "more" });
    expect(await failureOf(more)).toMatchObject({ code: "BUS_NOT_FOUND" });
    expect((await creator.groups.info("g")).patterns).toEqual(["tick"]);
  },
);
