import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { Holder } from "../../src/drivers/rabbitmq/holder.ts";
import { LogReader } from "../../src/drivers/rabbitmq/log-reader.ts";
import type { Line } from "../../src/drivers/rabbitmq/line.ts";
import type { Session } from "../../src/drivers/rabbitmq/session.ts";
import { quorum } from "../../src/drivers/rabbitmq/topology.ts";
import { until } from "../../src/testing/index.ts";
import { freshPrefix, openSession } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");
const messages = 1_000;
const frame = 21; // bytes of one acknowledgement

async function filled(session: Session, args: Readonly<Record<string, unknown>>): Promise<string> {
  const queue = session.names.queue("g");
  await session.ask((channel) => channel.assertQueue(queue, { durable: true, arguments: args }));
  const puts = Array.from({ length: messages }, (_, at) =>
    session.own.put({ exchange: "", routingKey: queue }, Buffer.from(String(at)), { deliveryMode: 2 }),
  );
  await Promise.all(puts);
  return queue;
}

const writtenBy = ({ connection }: Line): number =>
  (connection!.connection as unknown as { readonly stream: { readonly bytesWritten: number } }).stream.bytesWritten;

describe.skipIf(broker === undefined)("acknowledging", () => {
  it("tells what many turns dealt with together, and all of it", async () => {
    const session = await openSession(broker!.url, freshPrefix());
    const queue = await filled(session, quorum());
    let done = 0;
    let work = Promise.resolve();
    const holder = await Holder.open(session, {
      message: ({ fields }) => {
        work = work.then(async () => {
          await turn();
          holder.done(fields.deliveryTag);
          done += 1;
        });
      },
      ended: () => undefined,
      cancelled: () => undefined,
    });
    const before = writtenBy(session.consuming);
    await holder.consume(queue, 256);
    await until(() => done === messages, "all to come");
    await holder.flush();
    expect(writtenBy(session.consuming) - before).toBeLessThan((messages / 4) * frame);
    await holder.close();
    const { messageCount } = await session.ask((channel) => channel.checkQueue(queue));
    expect(messageCount, "what is left").toBe(0);
    await session.ask((channel) => channel.deleteQueue(queue));
    await session.close(AbortSignal.timeout(2_000));
  });

  it("tells what one does alone at once", async () => {
    const session = await openSession(broker!.url, freshPrefix());
    const queue = await filled(session, quorum());
    const tags: number[] = [];
    const holder = await Holder.open(session, {
      message: ({ fields }) => void tags.push(fields.deliveryTag),
      ended: () => undefined,
      cancelled: () => undefined,
    });
    await holder.consume(queue, 256);
    await until(() => tags.length === 256, "what it may hold");
    const first = writtenBy(session.consuming);
    holder.done(1);
    for (let turns = 0; turns < 4; turns += 1) await turn();
    expect(writtenBy(session.consuming) - first, "it waits for nothing").toBe(frame);
    await until(() => tags.length === 257, "one more for it");
    holder.done(2); // a moment later
    holder.done(4); // above one that is open
    await until(() => tags.length === 259, "two more");
    holder.done(6);
    const before = writtenBy(session.consuming);
    holder.tell();
    await turn();
    await turn();
    expect(writtenBy(session.consuming) - before, "what waits goes when it is asked for").toBe(frame);
    await holder.close();
    await session.ask((channel) => channel.deleteQueue(queue));
    await session.close(AbortSignal.timeout(2_000));
  });

  it("gives credit for a log back by quarters, whatever the order in which it is given", async () => {
    const session = await openSession(broker!.url, freshPrefix());
    const queue = await filled(session, { "x-queue-type": "stream" });
    let read = 0;
    const reader = new LogReader(
      session,
      queue,
      {
        record: (message) => {
          read += 1;
          if (read % 3 === 0) reader.release(message);
          else void turn().then(() => reader.release(message));
        },
        ended: () => undefined,
      },
      true,
    );
    await reader.open("first", 128);
    const before = writtenBy(session.reading);
    await until(() => read === messages, "all to be read");
    expect(writtenBy(session.reading) - before).toBeLessThan((messages / 2) * frame);
    reader.close();
    await session.ask((channel) => channel.deleteQueue(queue));
    await session.close(AbortSignal.timeout(2_000));
  });
});
