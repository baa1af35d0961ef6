import amqp from "amqplib";
import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import { freshPrefix, openSession, rabbitWrittenMs } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq", { own: true });

it.skipIf(broker === undefined)(
  "what is published as soon as a restarted server takes connections is in the log, too",
  { timeout: 120_000 },
  async () => {
    const prefix = freshPrefix();
    const { url } = broker!;
    const first = await openSession(url, prefix);
    const log = first.names.stream("events");
    await first.ask(async (channel) => {
      await channel.assertExchange(log, "topic", { durable: true });
      for (const [queue, type] of [
        [log, "stream"],
        [`${log}-group`, "quorum"], // or the server would say that nobody takes it
      ] as const) {
        await channel.assertQueue(queue, { durable: true, arguments: { "x-queue-type": type } });
        await channel.bindQueue(queue, log, "#");
      }
    });
    await first.close(AbortSignal.timeout(2_000));
    await pause(rabbitWrittenMs);
    const stored: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      await broker!.stop();
      const started = broker!.start();
      await takesConnections(url);
      const session = await openSession(url, prefix);
      session.followLogs(() => [log]);
      await session.logsThere();
      const ids = Array.from({ length: 20 }, (_, n) => `${round}-${n}`);
      const put = (id: string): Promise<void> =>
        session.own.put({ exchange: log, routingKey: "a" }, Buffer.alloc(10), { messageId: id, deliveryMode: 2 });
      await Promise.all(ids.map(put));
      stored.push(...ids);
      await started;
      await session.close(AbortSignal.timeout(2_000));
    }
    expect(await idsIn(url, log, stored.at(-1)!)).toEqual(expect.arrayContaining(stored));
  },
);

async function takesConnections(url: string): Promise<void> {
  for (;;) {
    try {
      const connection = await amqp.connect(url);
      connection.on("error", () => undefined);
      return await connection.close();
    } catch {
      await pause(5);
    }
  }
}

/** Up to the last one. */
async function idsIn(url: string, log: string, last: string): Promise<readonly string[]> {
  const connection = await amqp.connect(url);
  const channel = await connection.createChannel();
  await channel.prefetch(1_000);
  const ids: string[] = [];
  const end = Promise.withResolvers<void>();
  await channel.consume(
    log,
    (message) => {
      ids.push(String(message?.properties.messageId));
      if (ids.at(-1) === last) end.resolve();
    },
    { arguments: { "x-stream-offset": "first" } },
  );
  await end.promise;
  await connection.close();
  return ids;
}
