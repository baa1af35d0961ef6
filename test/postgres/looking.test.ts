import { expect, it } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { until } from "../../src/testing/until.ts";
import { groupSpec, joinGroup, publish } from "../support/driver-harness.ts";
import { connectPostgres, freshSchema } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres");
const port = broker?.servers[0]?.port ?? 0;
const rows = 20_000;

interface Looks {
  readonly many: number;
  /** Rows that they went through. */
  readonly walked: number;
}

async function looksAt(schema: string, table: string): Promise<Looks> {
  const [row] = await postgresCommand(
    port,
    `SELECT coalesce(idx_scan, 0) + coalesce(seq_scan, 0), coalesce(seq_tup_read, 0) +
       (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes i WHERE i.relid = t.relid)
     FROM pg_stat_user_tables t WHERE schemaname = '${schema}' AND relname = 'omnibus_${table}'`,
  );
  return { many: Number(row?.[0]), walked: Number(row?.[1]) };
}

it.skipIf(broker === undefined)("goes through no table of which nothing is wanted", async () => {
  const schema = await freshSchema(port);
  const { connection } = await connectPostgres({ url: broker!.url, schema });
  await connection.ensureStream({ name: "events", topics: [">"], partitions: 2 });
  await connection.ensureGroup(groupSpec("g"));
  await postgresCommand(
    port,
    `INSERT INTO ${schema}.omnibus_schedule (id, address, topic, headers, body, stored_at, not_before)
       SELECT 'id' || g, '{}', 't', '[]', '\\x00', 0, 1000000 + g FROM generate_series(1, ${rows}) g;
     INSERT INTO ${schema}.omnibus_claim (grp, stream, partition, first, last, low, done, deliveries, member)
       SELECT 1, 99, g % 2, g, g, g, '\\x00', 1, 7 FROM generate_series(1, ${rows}) g`,
  );
  // what an ANALYZE looks at counts, too
  await postgresCommand(port, `ANALYZE ${schema}.omnibus_schedule, ${schema}.omnibus_claim`);
  const [schedule, claim] = [await looksAt(schema, "schedule"), await looksAt(schema, "claim")];
  const { sink } = await joinGroup(connection, "g");
  publish(connection, ["1"]);
  await until(() => sink.messages.length === 1, "it to be delivered");
  expect(await connection.state!.due(1_000_000, 100, 1_000)).toHaveLength(0);
  expect(await connection.state!.unschedule([], true)).toEqual([]);
  const page = await connection.state!.scheduled(undefined, 100);
  const next = await connection.state!.scheduled(page.at(-1)!.position, 100);
  expect(next[0]!.id).toBe("id101");

  // the server counts up to a second later
  const since = async (table: string, before: Looks): Promise<Looks> => {
    const now = await looksAt(schema, table);
    return { many: now.many - before.many, walked: now.walked - before.walked };
  };
  await until(async () => (await since("schedule", schedule)).many >= 4, "looks at what is scheduled", 20_000);
  await until(async () => (await since("claim", claim)).many >= 2, "looks at claims", 20_000);
  expect((await since("schedule", schedule)).walked).toBeLessThan(rows / 2);
  expect((await since("claim", claim)).walked).toBeLessThan(rows / 2);
});
