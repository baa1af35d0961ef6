import { setTimeout as wait } from "node:timers/promises";
import pg from "pg";
import { describe, expect, it, onTestFinished } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { until } from "../../src/testing/until.ts";
import { CutLines } from "../support/cut-lines.ts";
import { consume, groupSpec, joinGroup, outgoing, publish, toDirect } from "../support/driver-harness.ts";
import { connectPostgres, freshSchema, type Connected } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres", { own: true });
const port = broker?.servers[0]?.port ?? 0;
const events = { name: "events", topics: [">"], partitions: 2 };

async function overProxy(schema: string): Promise<Connected & { readonly proxy: CutLines }> {
  const proxy = await CutLines.start(port);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  const url = broker!.url.replace(`:${port}/`, `:${proxy.port}/`);
  return Object.assign(await connectPostgres({ url, schema, leaseMs: 60_000 }), { proxy });
}

async function session(schema: string): Promise<pg.Client> {
  const client = new pg.Client(broker!.url);
  await client.connect();
  onTestFinished(() => client.end());
  await client.query(`SET search_path = ${schema}`);
  return client;
}

async function count(schema: string, what: string): Promise<number> {
  return Number((await postgresCommand(port, `SELECT count(*) FROM ${schema}.omnibus_${what}`))[0]?.[0]);
}

/** The server's sessions in which a call of this waits for a lock. */
async function waiting(schema: string, call: string): Promise<readonly (string | null)[]> {
  const where = `wait_event_type = 'Lock' AND query LIKE '%${schema}%' AND query LIKE '%_1_${call}"($1%'`;
  return (await postgresCommand(port, `SELECT pid FROM pg_stat_activity WHERE ${where}`)).map(([pid = null]) => pid);
}
const waits = async (schema: string, call: string): Promise<boolean> => (await waiting(schema, call)).length > 0;

describe.skipIf(broker === undefined)("a member", () => {
  it.each(["none", "group"] as const)("whose start fails gives its seat up (order: %s)", async (order) => {
    const schema = await freshSchema(port);
    const { connection } = await connectPostgres({ url: broker!.url, schema });
    await connection.ensureStream(events);
    await connection.ensureGroup(groupSpec("g", { order }));
    await postgresCommand(
      port,
      `CREATE FUNCTION ${schema}.fail() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$;
       CREATE TRIGGER fail BEFORE UPDATE OF version ON ${schema}.omnibus_member EXECUTE FUNCTION ${schema}.fail()`,
    );
    await expect(joinGroup(connection, "g")).rejects.toThrow(/no room/);
    expect(await count(schema, "member")).toBe(0);
    await postgresCommand(port, `DROP TRIGGER fail ON ${schema}.omnibus_member`);
    const { sink } = await joinGroup(connection, "g");
    publish(connection, ["1", "2"]);
    await until(() => sink.messages.length === 2, "all of them at the one that there is");
  });

  it("keeps what it settled and could not write yet through a reconnect", async () => {
    const schema = await freshSchema(port);
    const { proxy, connection, statuses } = await overProxy(schema);
    await connection.ensureStream(events);
    await connection.ensureGroup(groupSpec("g"));
    const { sink, consumption } = await joinGroup(connection, "g");
    publish(connection, ["1"]);
    await until(() => sink.messages.length === 1, "it to be delivered");
    const retry = { how: "retry" as const, attempts: 1, headers: [] };
    expect(await consumption.settle([{ ...retry, delayMs: 0, message: sink.messages[0]! }])).toEqual(["done"]);
    await until(() => sink.messages.length === 2, "it to come again, in a row of its own");
    proxy.breakAll();
    await until(() => statuses.some(({ type }) => type === "disconnected"), "the line to be lost");
    expect(await consumption.settle([{ ...retry, delayMs: 600_000, message: sink.messages[1]! }])).toEqual(["done"]);
    expect(sink.messages).toHaveLength(2);
    expect(
      await count(schema, "held WHERE member IS NULL AND due > floor(extract(epoch FROM clock_timestamp()) * 1000)"),
    ).toBe(1);
  });

  it("goes on showing that it lives while another process is buried", async () => {
    const schema = await freshSchema(port);
    const { connection } = await connectPostgres({ url: broker!.url, schema, leaseMs: 900 });
    await connection.ping();
    const other = await session(schema);
    const now = "floor(extract(epoch FROM clock_timestamp()) * 1000)";
    await other.query(
      `INSERT INTO omnibus_process (member, name, host, pid, since, seen, until) VALUES ('ghost', 'ghost', 'there', 1, 0, ${now}, ${now} + 1500)`,
    );
    await other.query("BEGIN");
    await other.query("SELECT 1 FROM omnibus_process WHERE member = 'ghost' FOR UPDATE");
    await until(() => waits(schema, "bury"), "its burial to begin");
    const seen = async (): Promise<number> =>
      Number(
        (await postgresCommand(port, `SELECT seen FROM ${schema}.omnibus_process WHERE member <> 'ghost'`))[0]?.[0],
      );
    const before = await seen();
    await until(async () => (await seen()) > before + 900, "three heartbeats", 10_000);
    expect(await waits(schema, "bury")).toBe(true);
    await other.query("COMMIT");
    await until(async () => (await count(schema, "process")) === 1, "the burial");
  });
});

describe.skipIf(broker === undefined)("a listener of the direct lane", () => {
  it("that left while the line was down is not chosen afterwards", async () => {
    const schema = await freshSchema(port);
    const { proxy, connection, statuses } = await overProxy(schema);
    const other = await connectPostgres({ url: broker!.url, schema });
    const left = await consume(connection, { kind: "direct", group: "g" });
    await left.consumption.wants(["a"], ["a"]);
    const stays = await consume(other.connection, { kind: "direct", group: "g" });
    await stays.consumption.wants(["b"], ["b"]);
    proxy.breakAll();
    await left.consumption.close(AbortSignal.timeout(1_000));
    expect(await count(schema, "listener")).toBe(2); // it could not be told
    await until(() => statuses.some(({ type }) => type === "connected"), "another line");
    await until(async () => (await count(schema, "listener")) === 1, "its row to go");
    const asked = outgoing(toDirect("a"), "?", { replyTo: "inbox.x" });
    other.connection.send([asked.message]);
    await until(() => asked.outcome !== "waiting", "an answer");
    expect(asked.error).toMatchObject({ code: "BUS_NO_RESPONDER" });
  });

  it("that comes again is not forgotten when the line is lost meanwhile", async () => {
    const schema = await freshSchema(port);
    const { proxy, connection } = await overProxy(schema);
    const { connection: other } = await connectPostgres({ url: broker!.url, schema });
    const { sink, consumption } = await consume(connection, { kind: "direct", group: undefined });
    await consumption.wants(["a"], ["a"]);
    const holder = await session(schema);
    await holder.query("TRUNCATE omnibus_listener"); // as a crash of the server does it
    await holder.query("BEGIN");
    await holder.query("LOCK TABLE omnibus_listener IN EXCLUSIVE MODE");
    proxy.breakAll();
    await until(() => waits(schema, "hear"), "it to come again");
    const before = await waiting(schema, "hear");
    proxy.breakAll();
    await until(
      async () => (await waiting(schema, "hear")).some((pid) => !before.includes(pid)),
      "and again, by another line",
    );
    await holder.query("COMMIT"); // the server goes on with both, unless it has ended the former by now
    await until(async () => (await count(schema, "listener")) > 0, "it to be there");
    await until(async () => (await count(schema, "listener")) === 1, "the one that nobody knows to go");
    await until(() => {
      other.send([outgoing(toDirect("a"), "x").message]);
      return sink.messages.length > 0;
    }, "a message to be heard");
  });
});

describe.skipIf(broker === undefined)("a pool that is exhausted for a while", () => {
  it("is no server that is silent: the time in its queue does not count", async () => {
    const schema = await freshSchema(port);
    const pool = new pg.Pool({ connectionString: broker!.url, max: 4 });
    onTestFinished(() => pool.end());
    const socketTimeoutMs = 3_000;
    const { connection, statuses } = await connectPostgres({ pool, schema, socketTimeoutMs, poolTimeoutMs: 30_000 });
    await connection.ensureStream(events);
    const [first] = publish(connection, ["0"]);
    await until(() => first!.outcome === "stored", "its stream to be known: nothing else is asked first");
    const holder = await session(schema);
    await holder.query("BEGIN");
    await holder.query("LOCK TABLE omnibus_log IN ACCESS EXCLUSIVE MODE");
    const taken = await Promise.all([pool.connect(), pool.connect(), pool.connect()]); // the fourth listens
    const [sent] = publish(connection, ["1"]);
    await wait(socketTimeoutMs + 200);
    for (const client of taken) client.release();
    await until(() => waits(schema, "append"), "it to be asked at last");
    await wait(1_000); // it is looked every half second
    await holder.query("COMMIT");
    await until(() => sent!.outcome !== "waiting", "an outcome");
    expect(sent!.outcome).toBe("stored");
    expect(statuses.map(({ type }) => type)).not.toContain("disconnected");
    await connection.close(AbortSignal.timeout(2_000));
  });
});
