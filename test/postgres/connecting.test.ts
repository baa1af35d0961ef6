import { createServer } from "node:net";
import pg from "pg";
import { afterAll, describe, expect, it } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { connect } from "../../src/connect.ts";
import type { DriverConnection } from "../../src/driver.ts";
import { postgres } from "../../src/drivers/postgres/index.ts";
import { layoutVersion } from "../../src/drivers/postgres/names.ts";
import { until } from "../../src/testing/until.ts";
import { groupSpec, joinGroup, publish } from "../support/driver-harness.ts";
import { connectPostgres, freshSchema, refusal } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres", { own: true });
const port = broker?.servers[0]?.port ?? 0;

async function outcomeOf(connection: DriverConnection, text: string): Promise<string> {
  const [sent] = publish(connection, [text]);
  await until(() => sent!.outcome !== "waiting", "an outcome");
  return sent!.outcome;
}

const events = { name: "events", topics: [">"] };

describe.skipIf(broker === undefined)("connecting", () => {
  it("finds a layout that a newer version made, and refuses it by name; one that is missing too", async () => {
    const schema = await freshSchema(port);
    const options = { url: broker!.url, schema };
    expect(await refusal(options, { manage: "off" })).toBe("BUS_NOT_FOUND");
    expect(await refusal(options, { manage: "verify" })).toBe("BUS_NOT_FOUND");
    await connectPostgres(options);
    await connectPostgres(options, { manage: "off" });
    await postgresCommand(
      port,
      `UPDATE ${schema}.omnibus_meta SET value = '${layoutVersion + 1}' WHERE key = 'layout'`,
    );
    await expect(connectPostgres(options)).rejects.toMatchObject({
      code: "BUS_CONFLICT",
      message: expect.stringMatching(new RegExp(`layout ${layoutVersion + 1}, this version knows ${layoutVersion}`)),
    });
    await postgresCommand(port, `UPDATE ${schema}.omnibus_meta SET value = 'zero' WHERE key = 'layout'`);
    expect(await refusal(options)).toBe("BUS_CORRUPT");
  });

  it("refuses a database in another encoding, and a schema that is not there", async () => {
    await postgresCommand(
      port,
      "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    );
    const url = broker!.url.replace(/[^/]*$/, "latin");
    await expect(connectPostgres({ url })).rejects.toMatchObject({ code: "BUS_UNSUPPORTED" });
    expect(await refusal({ url: broker!.url, schema: "nowhere" })).toBe("BUS_NOT_FOUND");
    expect(await refusal({ url: broker!.url.replace(/[^/]*$/, "nowhere") })).toBe("BUS_NOT_FOUND");
  });

  it("works whatever isolation the user's sessions begin with", async () => {
    const schema = await freshSchema(port);
    await postgresCommand(
      port,
      `CREATE ROLE strict LOGIN; ALTER ROLE strict SET default_transaction_isolation = 'serializable'; GRANT ALL ON SCHEMA ${schema} TO strict`,
    );
    const { connection } = await connectPostgres({ url: broker!.url, username: "strict", schema });
    await connection.ensureStream(events);
    expect(await outcomeOf(connection, "one")).toBe("stored");
  });

  it("leaves a session that takes no writes any more, though no line was lost", async () => {
    const schema = await freshSchema(port);
    const { connection, statuses } = await connectPostgres({ url: broker!.url, schema, leaseMs: 1_500 });
    await connection.ensureStream(events);
    const readOnly = async (change: string): Promise<void> => {
      await postgresCommand(port, `ALTER SYSTEM ${change}`);
      await postgresCommand(port, "SELECT pg_reload_conf()");
    };
    await readOnly("SET default_transaction_read_only = on"); // as behind a pooler, before a server that became a standby
    try {
      await until(() => statuses.some(({ type }) => type === "disconnected"), "it to be left", 10_000);
    } finally {
      await readOnly("RESET default_transaction_read_only");
    }
    await until(() => statuses.some(({ type }) => type === "connected"), "another session", 10_000);
    expect(await outcomeOf(connection, "one")).toBe("stored");
  });

  it("says of a standby that it is one, and takes the next host", async () => {
    const url = new URL(broker!.url);
    const schema = await freshSchema(port);
    await postgresCommand(port, "CREATE ROLE reader LOGIN");
    await postgresCommand(port, "ALTER ROLE reader SET default_transaction_read_only = on");
    await expect(connectPostgres({ url: broker!.url, username: "reader", schema })).rejects.toMatchObject({
      code: "BUS_CONNECTION",
      retryable: true,
      message: expect.stringMatching(/read-only standby/),
    });
    const dead = `postgres://omnibus@127.0.0.1:1,127.0.0.1:${url.port}/postgres`;
    await connectPostgres({ url: dead, schema });
  });

  it("option: PostgresOptions.connectTimeoutMs, PostgresOptions.socketTimeoutMs bound a connect that nobody answers", async () => {
    const silent = createServer(() => undefined).listen(0, "127.0.0.1");
    await until(() => silent.listening, "the server to listen");
    const { port: mute } = silent.address() as { readonly port: number };
    const url = `postgres://omnibus@127.0.0.1:${mute}/postgres`;
    const from = performance.now();
    expect(await refusal({ url, connectTimeoutMs: 100, socketTimeoutMs: 100 })).toBe("BUS_TIMEOUT");
    expect(performance.now() - from).toBeLessThan(5_000);
    expect(await refusal({ url: "postgres://omnibus@127.0.0.1:1/postgres" })).toBe("BUS_CONNECTION");
    silent.close();
  });

  it("goes past silent hosts in the time that there is for all of them", async () => {
    const silent = createServer(() => undefined).listen(0, "127.0.0.1");
    await until(() => silent.listening, "the server to listen");
    const { port: mute } = silent.address() as { readonly port: number };
    const hosts = `127.0.0.1:${mute},127.0.0.1:${mute},127.0.0.1:${port}`;
    const url = `postgres://omnibus@${hosts}/postgres`;
    const [connectTimeoutMs, schema] = [6_000, await freshSchema(port)];
    const driver = postgres({
      url,
      schema,
      connectTimeoutMs: connectTimeoutMs / 2,
      socketTimeoutMs: connectTimeoutMs / 2,
    });
    const bus = await connect({ driver }, { connectTimeoutMs });
    await bus.close();
    silent.close();
  });
});

describe.skipIf(broker === undefined)("a pool of the user's", () => {
  const pools: pg.Pool[] = [];
  const pool = (max: number): pg.Pool => {
    const made = new pg.Pool({ connectionString: broker!.url, max });
    pools.push(made);
    return made;
  };
  afterAll(async () => {
    await Promise.all(pools.map((each) => each.end()));
  });

  it("option: PostgresOptions.pool is used, shared and never ended", async () => {
    const schema = await freshSchema(port);
    const own = pool(8);
    const { connection } = await connectPostgres({ pool: own, schema });
    expect(connection.client).toBe(own);
    await connection.ensureStream(events);
    await connection.ensureGroup(groupSpec("g"));
    const { sink } = await joinGroup(connection, "g");
    publish(connection, ["one", "two"]);
    await until(() => sink.messages.length === 2, "both to be delivered");
    expect(sink.texts.toSorted()).toEqual(["one", "two"]);
    await connection.close(AbortSignal.timeout(2_000));
    await until(() => own.totalCount - own.idleCount === 0, "all clients to be given back");
    expect(await own.query("SELECT 1 AS one")).toMatchObject({ rows: [{ one: 1 }] });
  });

  it("option: PostgresOptions.poolTimeoutMs, PostgresOptions.listen: it must have clients enough, and may be exhausted for a while", async () => {
    expect(() => postgres({ pool: pool(3) })).toThrow(/3 clients at most, and 4 are needed/);
    expect(() => postgres({ pool: pool(3), listen: false })).not.toThrow();
    expect(() => postgres({ pool: pool(4), url: broker!.url })).toThrow(/"url" is the pool's own/);
    const schema = await freshSchema(port);
    const own = pool(4);
    const { connection, statuses } = await connectPostgres({ pool: own, schema, poolTimeoutMs: 200 });
    await connection.ensureStream(events);
    // the fourth is the one that listens
    const taken = await Promise.all([own.connect(), own.connect(), own.connect()]);
    expect(await outcomeOf(connection, "one")).toBe("no");
    const [sent] = publish(connection, ["refused"]);
    await until(() => sent!.outcome === "no", "a refusal");
    expect(postgres({ url: broker!.url }).classify(sent!.error)).toEqual({ code: "BUS_TIMEOUT", retryable: true });
    expect(statuses.map(({ type }) => type)).toContain("blocked");
    for (const client of taken) client.release();
    await until(async () => (await outcomeOf(connection, "two")) === "stored", "room in the pool");
    expect(statuses.map(({ type }) => type)).toContain("unblocked");
  });
});

describe.skipIf(broker === undefined)("a connection that is lost", () => {
  it("is made again, with what was in hand", async () => {
    const schema = await freshSchema(port);
    const { connection, statuses } = await connectPostgres({ url: broker!.url, schema, leaseMs: 3_000 });
    await connection.ensureStream(events);
    for (const order of ["process", "group"] as const) {
      await connection.ensureGroup(groupSpec(order, { order }));
      const { sink, consumption } = await joinGroup(connection, order);
      publish(connection, [`${order} 1`, `${order} 2`]);
      const mine = (): string[] => sink.texts.filter((text) => text.startsWith(order));
      await until(() => mine().length === 2, "both to be delivered");
      statuses.length = 0;
      await postgresCommand(
        port,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'omnibus test'",
      );
      await until(() => statuses.some(({ type }) => type === "connected"), "to be connected again");
      consumption.ack(sink.messages);
      await consumption.flush();
      publish(connection, [`${order} 3`]);
      await until(() => mine().length === 3, "the next to be delivered");
      expect(mine()).toEqual([1, 2, 3].map((n) => `${order} ${n}`));
      expect(sink.revocations).toEqual([]);
      const [state] = (await connection.admin.groups()).filter(({ spec }) => spec.group === order);
      expect(state).toMatchObject({ waiting: 0, inFlight: 1 });
    }
  });
});
