import pg from "pg";
import { describe, expect, it } from "vitest";
import { until } from "../../src/testing/until.ts";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import type { ScheduledMessage } from "../../src/driver.ts";
import { connectPostgres, freshSchema } from "../support/postgres-world.ts";
import { checkOneOfMany, checkRevisions, checkUntaken, type StatePair, stored } from "../support/state-cases.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres");

async function pair(): Promise<StatePair & { readonly schema: string }> {
  const { url, servers } = broker!;
  const schema = await freshSchema(servers[0]!.port);
  const [one, two] = [await connectPostgres({ url, schema }), await connectPostgres({ url, schema })];
  return { state: one.connection.state!, other: two.connection.state!, schema };
}

describe.skipIf(broker === undefined)("the state store", () => {
  it("keeps values under revisions, and changes them only where the expected one holds", async () => {
    await checkRevisions(await pair());
  });

  it("lets one of many who want a key at once have it", async () => {
    await checkOneOfMany(await pair());
  });

  it("forgets what ran out, and not what was put in its place while it did", async () => {
    const { state, schema } = await pair();
    const { port } = broker!.servers[0]!;
    // as if they had run out long ago, and nobody had come by
    const ranOut = `INSERT INTO ${schema}.omnibus_state (bucket, key, value, revision, expires) VALUES ('b', '%', '\\x01', 0, 1)`;
    const writer = new pg.Client({ connectionString: broker!.url });
    await writer.connect();
    try {
      await writer.query("BEGIN");
      for (const key of ["k", "other"]) await postgresCommand(port, ranOut.replace("%", key));
      await writer.query(`SELECT ${schema}.omnibus_1_put('b', 'k', '\\x02', 60000, true, NULL)`);
      const tidied = postgresCommand(port, `SELECT ${schema}.omnibus_1_tidy()`);
      const waits = `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%omnibus_1_tidy%'`;
      await until(async () => (await postgresCommand(port, waits))[0]?.[0] !== "0", "it to meet the new one");
      await writer.query("COMMIT");
      await tidied;
    } finally {
      await writer.end();
    }
    expect([...(await state.get("b", "k"))!.value]).toEqual([2]);
    expect(await postgresCommand(port, `SELECT key FROM ${schema}.omnibus_state`)).toEqual([["k"]]);
  });

  it("leases what is due, oldest first, and lists and takes back only what nobody has taken", async () => {
    const { state, other, schema } = await pair();
    const now = Date.now();
    await state.schedule([stored("late", now + 5_000.5), stored("b", now - 1), stored("a", now - 2)]);
    expect((await state.due(now, 10, 1_000)).map(({ id }) => id)).toEqual(["a", "b"]);
    expect(await other.due(now, 10, 1_000)).toEqual([]);
    expect(await state.unschedule(["a", "none"])).toEqual(["a"]);
    expect((await other.due(now + 1_000, 10, 1_000)).map(({ id }) => id)).toEqual(["b"]);
    await checkUntaken(state, now);
    const sql = (text: string): Promise<unknown> =>
      postgresCommand(broker!.servers[0]!.port, text.replace("{schedule}", `${schema}.omnibus_schedule`));
    await sql("UPDATE {schedule} SET leased_until = 1 WHERE id = 'u1'"); // two minutes later
    await state.schedule([stored("u1", now + 9_000)]);
    expect((await state.scheduled(undefined, 9)).map(({ id }) => id)).toEqual(["late", "u1"]);
    expect(await state.unschedule(["u1"], true)).toEqual(["u1"]);
    await sql("UPDATE {schedule} SET leased_until = 1 WHERE id = 'u1'");
    expect(await state.unschedule(["late"], true)).toEqual(["late"]);
    expect(await sql("SELECT id FROM {schedule} ORDER BY n")).toEqual([["late"], ["b"]]); // what is over is forgotten
  });

  it("lists what is due at one time page by page, each once", async () => {
    const { state } = await pair();
    const due = Date.now() + 60_000;
    const ids = Array.from({ length: 12 }, (_, n) => `e${n}`);
    await state.schedule(ids.map((id) => stored(id, due)));
    const found: ScheduledMessage[] = [];
    for (;;) {
      const page = await state.scheduled(found.at(-1)?.position, 5);
      found.push(...page);
      if (page.length < 5) break;
    }
    expect(found.map(({ id }) => id)).toEqual(ids);
  });
});
