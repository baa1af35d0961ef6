import pg from "pg";
import { describe, expect, it, onTestFinished } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { PoolLink } from "../../src/drivers/postgres/pool-link.ts";
import { systemClock } from "../../src/clock.ts";
import { until } from "../../src/testing/until.ts";
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
