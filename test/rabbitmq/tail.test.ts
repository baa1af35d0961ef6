import { afterEach, describe, expect, it } from "vitest";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { FaultProxy, until } from "../../src/testing/index.ts";
import { connectTo, consume, outgoing, type TestConnection, toTopic } from "../support/driver-harness.ts";
import { freshPrefix } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");
const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.close();
});

type Connection = TestConnection["connection"];

async function join(prefix: string, url: string = broker!.url): Promise<Connection> {
  const { connection } = await connectTo(rabbitmq({ url }), { prefix });
  open.push({ close: () => connection.close(AbortSignal.timeout(1_000)) });
  return connection;
}

async function sent(connection: Connection, texts: readonly string[]): Promise<void> {
  const each = texts.map((text) => outgoing(toTopic("a"), text));
  connection.send(each.map(({ message }) => message));
  await until(() => each.every(({ outcome }) => outcome === "stored"), "all to be stored");
}

describe.skipIf(broker === undefined)("a tail whose line is cut", () => {
  it("before anything came misses nothing that was published meanwhile", { timeout: 30_000 }, async () => {
    const prefix = freshPrefix();
    const proxy = await FaultProxy.start(broker!.url);
    open.push(proxy);
    const direct = await join(prefix);
    await direct.ensureStream({ name: "events", topics: [">"] });
    await sent(direct, ["before"]);
    const { sink } = await consume(await join(prefix, proxy.url(broker!.url)), {
      kind: "tail",
      stream: "events",
      from: { at: "newest" },
      resume: undefined,
    });
    proxy.reset();
    await sent(direct, ["meanwhile"]);
    await until(() => sink.texts.includes("meanwhile"), "what was published meanwhile", 15_000);
    await sent(direct, ["after"]);
    await until(() => sink.texts.includes("after"), "what came after");
    expect(sink.texts).toEqual(["meanwhile", "after"]);
  });

  it("begins no earlier than the time that was asked for", async () => {
    const prefix = freshPrefix();
    const connection = await join(prefix);
    await connection.ensureStream({ name: "events", topics: [">"] });
    await sent(connection, ["1", "2", "3"]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const time = Date.now();
    await new Promise((resolve) => setTimeout(resolve, 20));
    await sent(connection, ["4"]);
    const { sink } = await consume(connection, { kind: "tail", stream: "events", from: { time }, resume: undefined });
    await until(() => sink.texts.includes("4"), "the one after it");
    expect(sink.texts).toEqual(["4"]);
  });
});
