import { expect, it } from "vitest";
import { HistoryGate } from "../../src/drivers/rabbitmq/history-gate.ts";
import { Holder } from "../../src/drivers/rabbitmq/holder.ts";
import { quorum } from "../../src/drivers/rabbitmq/topology.ts";
import { until } from "../../src/testing/index.ts";
import { isLocal, rabbitCommand } from "../support/rabbitmq-command.ts";
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

it.skipIf(!isLocal(broker))(
  "who may not delete a queue leaves it, empty, and what is live comes all the same",
  async () => {
    const prefix = freshPrefix();
    const owner = await openSession(broker!.url, prefix);
    const queue = owner.names.history("g", "a1", "events", 0);
    await owner.ask((channel) => channel.assertQueue(queue, { durable: true, arguments: quorum() }));
    await owner.own.put({ exchange: "", routingKey: queue }, Buffer.alloc(0), {
      deliveryMode: 2,
      headers: { m: "end" },
    });
    const user = `reader-${prefix}`;
    await rabbitCommand(broker!, "add_user", user, "secret");
    try {
      await rabbitCommand(broker!, "set_permissions", user, "^$", ".*", ".*");
      const url = new URL(broker!.url);
      [url.username, url.password] = [user, "secret"];
      const session = await openSession(url.href, prefix);
      const came = Promise.withResolvers<number>();
      const holder = await Holder.open(session, {
        message: ({ fields }) => came.resolve(fields.deliveryTag),
        ended: () => undefined,
        cancelled: () => undefined,
      });
      let handled = 0;
      const gate = new HistoryGate(session, holder, 100, queue, {
        isOurs: () => Promise.resolve(true),
        caughtUp: () => Promise.resolve(void (handled += 1)),
      });
      expect(await gate.read(10)).toBe(true);
      gate.end(await came.promise);
      expect([gate.closed, gate.isOver]).toEqual([false, true]);
      await until(() => handled === 1, "it to be said");
      await holder.close();
      // what it held goes back to the head
      await owner.own.put({ exchange: "", routingKey: queue }, Buffer.from("later"), { deliveryMode: 2 });
      let first: string | undefined;
      await until(async () => {
        const got = await owner.ask((channel) => channel.get(queue));
        if (got !== false) first = String(got.content);
        return first !== undefined;
      }, "what is first in it");
      expect(first, "its end is acknowledged").toBe("later");
      await session.close(AbortSignal.timeout(2_000));
    } finally {
      await rabbitCommand(broker!, "delete_user", user);
      await owner.ask((channel) => channel.deleteQueue(queue));
      await owner.close(AbortSignal.timeout(2_000));
    }
  },
  60_000, // each command of the server's own takes seconds on a busy machine
);
