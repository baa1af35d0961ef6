import pg from "pg";
import { describe, expect, it, onTestFinished } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { PoolLink } from "../../src/drivers/postgres/pool-link.ts";
import { systemClock } from "../../src/clock.ts";
import { until } from "../../src/testing/until.ts";
import { publish } from "../support/driver-harness.ts";
import { connectPostgres, freshSchema, refusal } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres", { own: true });
const port = broker?.servers[0]?.port ?? 0;

function poolOf(max: number): pg.Pool {
  const pool = new pg.Pool({ connectionString: broker!.url, max });
  onTestFinished(() => pool.end());
  return pool;
}

describe.skipIf(broker === undefined)("a pool of the user's", () => {
  it("may lose an idle client: it is listened to while the bus is open, and no longer", async () => {
    const pool = poolOf(6);
    const { connection, statuses } = await connectPostgres({ pool, schema: await freshSchema(port) });
    expect(pool.listenerCount("error")).toBe(1);
    await Promise.all([1, 2, 3].map(() => pool.query("SELECT pg_sleep(0.05)")));
    await postgresCommand(
      port,
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
    );
    await until(() => statuses.some(({ type }) => type === "connected"), "to be connected again");
    await connection.ping();
    await connection.close(AbortSignal.timeout(2_000));
    expect(pool.listenerCount("error")).toBe(0);
    expect(await refusal({ pool, schema: "nowhere" })).toBe("BUS_NOT_FOUND");
    expect(pool.listenerCount("error")).toBe(0);
  });

  it("is exhausted: what is published is refused after its time, all of a turn at once", async () => {
    const pool = poolOf(4);
    const schema = await freshSchema(port);
    const { connection } = await connectPostgres({ pool, schema, poolTimeoutMs: 1_000, listen: false });
    await connection.ensureStream({ name: "events", topics: [">"] });
    const taken = await Promise.all(Array.from({ length: 4 }, () => pool.connect()));
    onTestFinished(() => taken.splice(0).forEach((client) => client.release()));
    const from = performance.now();
    const sent = publish(
      connection,
      Array.from({ length: 20 }, (_, n) => `${n}`),
    );
    await until(() => sent.every(({ outcome }) => outcome === "no"), "all to be refused");
    expect(performance.now() - from).toBeLessThan(5_000);
    taken.splice(0).forEach((client) => client.release());
    const [again] = publish(connection, ["again"]);
    await until(() => again!.outcome === "stored", "one to be stored");
  });

  it("gives bytes in a form that is not the usual one: it is refused", async () => {
    const pool = poolOf(4);
    pool.on("connect", (client) => void client.query("SET bytea_output = escape"));
    const schema = await freshSchema(port);
    await expect(connectPostgres({ pool, schema })).rejects.toMatchObject({ code: "BUS_UNSUPPORTED" });
    await postgresCommand(port, "CREATE ROLE escaping LOGIN");
    await postgresCommand(port, "ALTER ROLE escaping SET bytea_output = 'escape'");
    await postgresCommand(port, `GRANT ALL ON SCHEMA ${schema} TO escaping`);
    await connectPostgres({ url: broker!.url, username: "escaping", schema }); // of our own we say it
  });

  it("gives a client too late: nothing is asked of it, and it is given back", async () => {
    const pool = poolOf(1);
    const schema = await freshSchema(port);
    await postgresCommand(port, `CREATE TABLE ${schema}.asked (n int)`);
    const taken = await pool.connect();
    const options = { poolTimeoutMs: 5_000, clock: systemClock, keep: false, blocked: () => undefined };
    const link = new PoolLink(pool, options, () => undefined);
    const asked = link.query(`INSERT INTO ${schema}.asked VALUES (1)`).catch((error: unknown) => error);
    link.destroy();
    taken.release();
    expect(await asked).toMatchObject({ code: "BUS_CONNECTION", message: expect.stringMatching(/can't be reached/) });
    expect(await postgresCommand(port, `SELECT count(*) FROM ${schema}.asked`)).toEqual([["0"]]);
    await until(() => pool.idleCount === 1, "the client to be given back");
  });
});
