import { expect, it } from "vitest";
import { HistoryGate } from "../../src/drivers/rabbitmq/history-gate.ts";
import { Holder } from "../../src/drivers/rabbitmq/holder.ts";
import { quorum } from "../../src/drivers/rabbitmq/topology.ts";
import { until } from "../../src/testing/index.ts";
import { freshPrefix, openSession } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");

it.skipIf(broker === undefined)(
  "the past of a partition is not taken for read because the server could not be asked",
  async () => {
    const session = await openSession(broker!.url, freshPrefix());
    const queue = session.names.history("g", "a1", "events", 0);
    await session.ask((channel) => channel.assertQueue(queue, { durable: true, arguments: quorum() }));
    await session.own.put({ exchange: "", routingKey: queue }, Buffer.from("of the past"), { deliveryMode: 2 });
    const came: string[] = [];
    const holder = await Holder.open(session, {
      message: ({ content }) => void came.push(String(content)),
      ended: () => undefined,
      cancelled: () => undefined,
    });
    const group = { isOurs: () => Promise.resolve(true), caughtUp: () => Promise.resolve() };
    const gate = new HistoryGate(session, holder, 1, queue, group);
    await session.ask(async (channel) => {
      const { stream } = (channel as unknown as { connection: { stream: { destroy(error: Error): void } } }).connection;
      stream.destroy(new Error("cut"));
      await Promise.resolve();
    });
    expect(await gate.read(10), "there is a past").toBe(true);
    await until(() => came.length === 1, "it to be read");
    await session.ask((channel) => channel.deleteQueue(queue));
    expect(await new HistoryGate(session, holder, 1, queue, group).read(10), "it is gone").toBe(false);
    await holder.close();
    await session.close(AbortSignal.timeout(2_000));
  },
);
