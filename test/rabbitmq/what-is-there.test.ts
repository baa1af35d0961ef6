import { describe, expect, it } from "vitest";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { connect, defineEvent, typed } from "../../src/index.ts";
import { until } from "../../src/testing/index.ts";
import { connectTo, groupSpec } from "../support/driver-harness.ts";
import { forgetPrefix, freshPrefix, openSession } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");
const events = { name: "events", topics: [">"], partitions: 1 };

describe.skipIf(broker === undefined)("what is there already with other arguments", () => {
  it.each(["exchange", "log", "queue"] as const)(
    "what is ours, its %s, is refused by the argument's name",
    async (what) => {
      const prefix = freshPrefix();
      const session = await openSession(broker!.url, prefix);
      const { names } = session;
      const { connection } = await connectTo(rabbitmq({ url: broker!.url }), { prefix });
      await session.ask(async (channel) => {
        if (what === "exchange") await channel.assertExchange(names.stream("events"), "fanout", { durable: true });
        else if (what === "log") await channel.assertQueue(names.stream("events"), { durable: true });
        else await channel.assertQueue(names.group("g", "events"), { durable: true });
      });
      const making = async (): Promise<void> => {
        await connection.ensureStream(events);
        await connection.ensureGroup(groupSpec("g"));
      };
      await expect(making()).rejects.toMatchObject({
        code: "BUS_CONFLICT",
        message: expect.stringMatching(what === "exchange" ? /another "type"/ : /another "(?:x-|type)/) as string,
      });
      await connection.close(AbortSignal.timeout(2_000));
      await session.close(AbortSignal.timeout(2_000));
      await forgetPrefix(broker!.url, prefix);
    },
  );

  it("a declaration that is refused takes no publish in flight with it", async () => {
    const session = await openSession(broker!.url, freshPrefix());
    const queue = session.names.queue("g");
    await session.ask((channel) => channel.assertQueue(queue, { durable: true }));
    const puts = Array.from({ length: 500 }, (_, at) =>
      session.own.put({ exchange: "", routingKey: queue }, Buffer.from(String(at)), { deliveryMode: 2 }),
    );
    const refused = Array.from({ length: 5 }, () =>
      session.ask((channel) => channel.assertQueue(queue, { durable: true, arguments: { "x-max-length": 1 } })),
    );
    for (const each of await Promise.allSettled(refused)) expect(each.status).toBe("rejected");
    const outcomes = await Promise.allSettled(puts);
    expect(outcomes.filter(({ status }) => status === "rejected")).toEqual([]);
    await session.ask((channel) => channel.deleteQueue(queue));
    await session.close(AbortSignal.timeout(2_000));
  });
});

it.skipIf(broker === undefined)(
  "what another program sends and nobody can read is a letter, by that code, and others go on",
  async () => {
    const prefix = freshPrefix();
    const placed = defineEvent("order.placed", { schema: typed<{ readonly n: number }>() });
    const bus = await connect({
      driver: rabbitmq({ url: broker!.url }),
      prefix,
      streams: [events],
      retry: { maxAttempts: 2, backoff: { baseMs: 5, jitter: 0 } },
    });
    const handled: number[] = [];
    await bus.subscribe(placed, ({ data }) => void handled.push(data.n), { group: "g", order: "none" });
    const session = await openSession(broker!.url, prefix);
    const bodies = ["", "{oops", "null", '"text"', "\u0000\u0001"];
    for (const body of bodies)
      await session.own.put(
        { exchange: session.names.stream("events"), routingKey: "0.order.placed" },
        Buffer.from(body),
        {
          deliveryMode: 2,
        },
      );
    await bus.publish(placed, { n: 1 });
    await until(() => handled.length === 1, "what is well");
    let letters: readonly string[] = [];
    await until(
      async () => {
        const { items } = await bus.deadLetters.list({ group: "g" });
        letters = items.map(({ reason }) => reason.code);
        return letters.length === bodies.length;
      },
      () => `a letter of each: ${letters.join()}`,
    );
    expect(letters).toEqual(bodies.map(() => "BUS_UNDECODABLE"));
    await bus.close({ timeoutMs: 2_000 });
    await session.close(AbortSignal.timeout(2_000));
    await forgetPrefix(broker!.url, prefix);
  },
);
