import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { AmqpConfirmChannel, AmqpConnection } from "../../src/drivers/rabbitmq/client.ts";
import { Confirms, type Outcome } from "../../src/drivers/rabbitmq/confirms.ts";
import { classify, connectionLost } from "../../src/drivers/rabbitmq/errors.ts";
import { openConnection } from "../../src/drivers/rabbitmq/open-connection.ts";
import { resolveOptions } from "../../src/drivers/rabbitmq/options.ts";
import { FaultProxy } from "../../src/testing/index.ts";
import { until } from "../../src/testing/until.ts";
import { freshPrefix } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");

describe.skipIf(broker === undefined)("the confirms of a channel", () => {
  let proxy: FaultProxy;
  let connection: AmqpConnection;
  let channel: AmqpConfirmChannel;
  let queue: string;
  let said: string[];

  beforeEach(async () => {
    proxy = await FaultProxy.start(broker!.url);
    const options = resolveOptions({ url: proxy.url(broker!.url) });
    connection = await openConnection(options, "test", AbortSignal.timeout(10_000));
    channel = await connection.createConfirmChannel();
    channel.on("error", () => undefined);
    queue = freshPrefix();
    said = [];
    const declaring = await connection.createChannel();
    await declaring.assertQueue(queue, { durable: true, autoDelete: false, arguments: { "x-expires": 60_000 } });
    await declaring.close();
  });
  afterEach(async () => {
    connection.connection.stream?.destroy(new Error("the test is over"));
    await proxy.close();
  });

  const outcome = (name: string): Outcome => ({
    stored: () => said.push(`${name} stored`),
    returned: () => said.push(`${name} returned`),
    nacked: () => said.push(`${name} nacked`),
    lost: (written, error) => said.push(`${name} lost ${written}${classify(error).retryable ? "" : ", for good"}`),
  });
  const open = (timeoutMs = 10_000): Confirms => new Confirms({ channel, clock: systemClock, timeoutMs });
  const publish = (confirms: Confirms, name: string, routingKey = queue, messageId = name): void =>
    confirms.publish({ exchange: "", routingKey }, Buffer.from(name), { messageId }, true, outcome(name));

  it("knows which ones were returned, although a return has no number", async () => {
    const confirms = open();
    const expected: string[] = [];
    for (let n = 0; n < 600; n += 1) {
      const [routingKey, end] = n % 3 === 0 ? ["nowhere", "returned"] : [queue, "stored"];
      publish(confirms, String(n), routingKey, `id-${n >> 2}`); // four have one id
      expected.push(`${n} ${end}`);
    }
    await until(() => confirms.size === 0, "all confirms");
    expect(said.toSorted()).toEqual(expected.toSorted());
  });

  it("tells a nack from a confirm", async () => {
    const full = freshPrefix();
    const declaring = await connection.createChannel();
    await declaring.assertQueue(full, {
      durable: true,
      arguments: { "x-max-length": 1, "x-overflow": "reject-publish", "x-expires": 60_000 },
    });
    const confirms = open();
    for (let n = 0; n < 3; n += 1) {
      publish(confirms, String(n), full);
      await until(() => confirms.size === 0, "the answer");
    }
    expect(said[0]).toBe("0 stored");
    expect(said.at(-1)).toBe("2 nacked");
  });

  it("gives up what is not answered in time, and passes a late answer by", async () => {
    const confirms = open(1_000);
    proxy.replies.set({ latencyMs: 3_000 });
    publish(confirms, "late");
    await until(() => said.length > 0, "it to be given up");
    expect(said).toEqual(["late lost true, for good"]);
    proxy.replies.set({ latencyMs: 0 });
    publish(confirms, "next");
    await until(() => said.length > 1, "the next");
    expect(said).toEqual(["late lost true, for good", "next stored"]);
  });

  it("takes a late return for none of a later message of the same id and place", async () => {
    const confirms = open(1_000);
    proxy.replies.set({ latencyMs: 3_000 });
    const nowhere = freshPrefix();
    publish(confirms, "late", nowhere, "id");
    await until(() => said.length > 0, "it to be given up");
    proxy.replies.set({ latencyMs: 0 });
    const declaring = await connection.createChannel();
    await declaring.assertQueue(nowhere, { durable: true, arguments: { "x-expires": 60_000 } });
    publish(confirms, "next", nowhere, "id");
    await until(() => said.length > 1, "the next");
    await declaring.deleteQueue(nowhere);
    expect(said).toEqual(["late lost true, for good", "next stored"]);
  });

  it("ends its channel when too much is given up, so that nothing of it is kept for ever, and costs no connection", async () => {
    const confirms = open(500);
    const beside = await connection.createChannel();
    proxy.replies.set({ latencyMs: 3_000 });
    const nobody: Outcome = { ...outcome("x"), lost: () => undefined };
    for (let n = 0; n <= 10_000; n += 1)
      confirms.publish({ exchange: "", routingKey: queue }, Buffer.alloc(0), {}, false, nobody);
    await until(() => confirms.size === 0, "all to be given up");
    expect(confirms.isClosed).toBe(true);
    publish(confirms, "after");
    expect(said).toEqual(["after lost false"]);
    proxy.replies.set({ latencyMs: 0 });
    expect(await beside.checkQueue(queue)).toMatchObject({ queue });
  });

  it("loses what is open when the server closes the channel, and what comes later was never sent", async () => {
    const confirms = open();
    confirms.publish({ exchange: freshPrefix(), routingKey: "k" }, Buffer.alloc(0), {}, false, outcome("wrong"));
    publish(confirms, "beside");
    await until(() => said.length === 2, "both to end");
    publish(confirms, "after");
    expect(said).toEqual(["wrong lost true", "beside lost true", "after lost false"]);
  });

  it("never sent what is published in the turn in which the channel ends", async () => {
    const confirms = open();
    proxy.replies.set({ latencyMs: 5_000 });
    publish(confirms, "before");
    await new Promise((resolve) => setImmediate(resolve));
    publish(confirms, "beside");
    confirms.close(connectionLost());
    publish(confirms, "after");
    expect(said).toEqual(["before lost true", "beside lost false", "after lost false"]);
  });

  it("knows a channel that ended before it was asked for anything", async () => {
    const closing = connection.createConfirmChannel();
    const ended = await closing;
    ended.on("error", () => undefined);
    await ended.close();
    const confirms = new Confirms({ channel: ended, clock: systemClock, timeoutMs: 10_000 });
    expect(confirms.isClosed).toBe(true);
    publish(confirms, "late");
    expect(said).toEqual(["late lost false"]);
  });

  it("loses what is open at once when the line is cut", async () => {
    const confirms = open();
    proxy.replies.set({ latencyMs: 5_000 });
    publish(confirms, "cut");
    proxy.reset();
    await until(() => said.length === 1, "it to end");
    expect(said).toEqual(["cut lost true"]);
  });

  it("was never sent what the client throws at", async () => {
    const confirms = open();
    publish(confirms, "long", "k".repeat(256));
    expect(said).toEqual(["long lost false, for good"]);
    publish(confirms, "short");
    await until(() => said.length === 2, "the next");
    expect(said).toEqual(["long lost false, for good", "short stored"]);
  });
});
