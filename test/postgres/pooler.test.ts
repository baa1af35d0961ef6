import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { postgres } from "../../src/drivers/postgres/index.ts";
import { type Bus, connect, defineRequest, typed } from "../../src/index.ts";
import { FaultProxy } from "../../src/testing/fault-proxy.ts";
import { until } from "../../src/testing/until.ts";
import { groupSpec, joinGroup, outgoing, publish } from "../support/driver-harness.ts";
import { type Connected, connectPostgres, freshSchema, refusal } from "../support/postgres-world.ts";
import { TransactionPooler } from "../support/transaction-pooler.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres", { own: true });
const port = broker?.servers[0]?.port ?? 0;
const Echo = defineRequest("echo", { request: typed<{ text: string }>(), response: typed<{ text: string }>() });
const Other = defineRequest("other", { request: typed<{ text: string }>(), response: typed<{ text: string }>() });
let pooler: TransactionPooler;
let url: string;

describe.skipIf(broker === undefined)("behind a pooler of transactions", () => {
  beforeAll(async () => {
    pooler = await TransactionPooler.start(port, "omnibus", "postgres", 3);
    url = `postgres://omnibus@127.0.0.1:${pooler.port}/postgres`;
  });
  afterAll(() => pooler[Symbol.asyncDispose]());

  const join = async (schema: string): Promise<Connected> => {
    const connected = await connectPostgres({ url, schema });
    await connected.connection.ensureStream({ name: "events", topics: [">"] });
    return connected;
  };

  it("says that nothing is heard, and polls", async () => {
    const { connection, warnings } = await join(await freshSchema(port));
    expect(warnings).toEqual([expect.stringMatching(/nothing is heard by LISTEN/)]);
    await connection.ensureGroup(groupSpec("g"));
    const other = await connectPostgres({ url: broker!.url, schema: String((await connection.ping())["schema"]) });
    const { sink } = await joinGroup(connection, "g");
    const took: number[] = [];
    for (const text of ["one", "two", "three"]) {
      const from = performance.now();
      publish(other.connection, [text]);
      await until(() => sink.texts.at(-1) === text, "the message");
      took.push(performance.now() - from);
    }
    expect(Math.min(...took), "polled").toBeLessThan(1_000);
  });

  it.each(["none", "process", "group"] as const)("carries a group of order %s with three members", async (order) => {
    const schema = await freshSchema(port);
    const members = [await join(schema), await join(schema), await join(schema)];
    const [first] = members;
    await first!.connection.ensureGroup(groupSpec("g", { order }));
    const joined = await Promise.all(members.map(({ connection }) => joinGroup(connection, "g")));
    const texts = Array.from({ length: 60 }, (_, at) => `${at}`);
    const sent = members.flatMap(({ connection }, at) =>
      texts.slice(at * 20, at * 20 + 20).map((text) => {
        const one = outgoing({ kind: "topic", stream: "events", topic: "t" }, text, { hash: Number(text) });
        connection.send([one.message]);
        return one;
      }),
    );
    await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
    const handled = new Set<string>();
    await until(async () => {
      for (const { sink, consumption } of joined) {
        const fresh = sink.messages.splice(0);
        for (const each of fresh) handled.add(Buffer.from(each.body as Uint8Array).toString());
        if (fresh.length > 0) consumption.ack(fresh);
      }
      return handled.size === 60;
    }, "all to be handled");
    await Promise.all(joined.map(({ consumption }) => consumption.flush()));
    const [state] = await first!.connection.admin.groups();
    expect(state).toMatchObject({ waiting: 0, inFlight: 0 });
  });

  it("carries requests, answers above the size of a notification, tails and state", async () => {
    const schema = await freshSchema(port);
    const open = (): Promise<Bus> => connect({ driver: postgres({ url, schema }) });
    await using one = await open();
    await using two = await open();
    await two.respond(Echo, (asked) => asked);
    for (const text of ["small", "x".repeat(20_000)]) expect(await one.request(Echo, { text })).toEqual({ text });
    const seen: unknown[] = [];
    await two.subscribePattern("things.>", ({ data }) => void seen.push(data));
    await one.publishTopic("things.new", { n: 1 });
    await until(() => seen.length === 1, "the tail to have it");
    const bucket = one.kv("bucket");
    await bucket.put("k", { v: 1 });
    expect((await two.kv("bucket").get("k"))?.value).toEqual({ v: 1 });
  });

  it("finds who comes to it from a server of their own: requests and answers go on", async () => {
    const schema = await freshSchema(port);
    const proxy = await FaultProxy.start(broker!.url);
    const both = `postgres://omnibus@127.0.0.1:${proxy.port},127.0.0.1:${pooler.port}/postgres`;
    await using responder = await connect({ driver: postgres({ url: both, schema }) });
    await using asking = await connect({ driver: postgres({ url: broker!.url, schema }) });
    await responder.respond(Echo, (asked) => asked);
    expect(await asking.request(Echo, { text: "before" })).toEqual({ text: "before" });
    await proxy.close();
    const answer = async (): Promise<boolean> =>
      asking.request(Echo, { text: "after" }, { timeoutMs: 2_000 }).then(
        () => true,
        () => false,
      );
    await until(answer, "an answer from there", 20_000);
    await asking.respond(Other, (asked) => asked);
    expect(await responder.request(Other, { text: "and back" })).toEqual({ text: "and back" });
  });

  it("leaves no session with what was set or listened to in it that anybody could be hurt by", async () => {
    expect(pooler.moved).toBeGreaterThan(50); // clients did meet other sessions
    const locks = await postgresCommand(port, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'");
    expect(locks).toEqual([["0"]]);
  });

  it("is refused where its sessions are stricter than they may be", async () => {
    const schema = await freshSchema(port);
    await postgresCommand(
      port,
      "CREATE ROLE stricter LOGIN SUPERUSER; ALTER ROLE stricter SET default_transaction_isolation = 'serializable'",
    );
    await using strict = await TransactionPooler.start(port, "stricter", "postgres", 2);
    expect(await refusal({ url: `postgres://stricter@127.0.0.1:${strict.port}/postgres`, schema })).toBe(
      "BUS_UNSUPPORTED",
    );
  });
});
