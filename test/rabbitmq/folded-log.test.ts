import { afterEach, describe, expect, it } from "vitest";
import { FoldedLog } from "../../src/drivers/rabbitmq/folded-log.ts";
import type { RabbitMqOptions } from "../../src/drivers/rabbitmq/options.ts";
import type { Session } from "../../src/drivers/rabbitmq/session.ts";
import { until } from "../../src/testing/index.ts";
import { freshPrefix, openSession } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");
const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.close();
});

async function sessionOf(prefix: string, options: RabbitMqOptions = {}): Promise<Session> {
  const session = await openSession(broker!.url, prefix, options);
  open.push({ close: () => session.close(AbortSignal.timeout(2_000)) });
  return session;
}

/** A log whose state is what was written, with the state as it was at each record. */
function logOf(session: Session): { readonly log: FoldedLog<number[]>; readonly replaced: number[][] } {
  const queue = session.names.own("d");
  const declare = async (): Promise<void> => {
    await session.ask((channel) =>
      channel.assertQueue(queue, { durable: true, arguments: { "x-queue-type": "stream" } }),
    );
  };
  const replaced: number[][] = [];
  const log: FoldedLog<number[]> = new FoldedLog<number[]>(session, queue, declare, {
    begin: () => [],
    take: (state, record) => void state.push(record as number),
    replaced: () => void replaced.push([...log.state]),
  });
  open.push(log);
  return { log, replaced };
}

describe.skipIf(broker === undefined)("a log that is folded", () => {
  it("may take longer to read than one answer may", { timeout: 60_000 }, async () => {
    const prefix = freshPrefix();
    const { log: writer } = logOf(await sessionOf(prefix));
    await writer.write(0);
    const count = 40_000;
    for (let from = 1; from < count; from += 1_000)
      await Promise.all(
        Array.from({ length: Math.min(1_000, count - from) }, (_, index) => writer.append(from + index)),
      );
    const { log } = logOf(await sessionOf(prefix, { confirmTimeoutMs: 200 }));
    const began = performance.now();
    await log.current();
    expect(performance.now() - began, "so that this says anything").toBeGreaterThan(200);
    expect(log.state.length).toBe(count);
  });

  it("that is deleted stays in force until the one made in its place is read", async () => {
    const prefix = freshPrefix();
    const { log, replaced } = logOf(await sessionOf(prefix));
    await log.write(1);
    await log.write(2);
    const other = await sessionOf(prefix);
    const seen = new Set<string>();
    let isOver = false;
    const watching = (async () => {
      while (!isOver) {
        seen.add(log.state.join());
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    await other.ask((channel) => channel.deleteQueue(other.names.own("d")));
    const { log: next } = logOf(other);
    await next.write(3);
    await next.write(4);
    await until(
      () => log.state.join() === "3,4",
      () => `the new one: ${log.state.join()}`,
    );
    isOver = true;
    await watching;
    expect([...seen], "never a part of it").toEqual(expect.arrayContaining(["1,2"]));
    // who reads the new one before anything is in it has read it to its end
    expect(seen.has("")).toBe(replaced[0]!.length === 0);
    expect(replaced.length).toBe(1);
  });
});
