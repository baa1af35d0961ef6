import { describe, expect, it } from "vitest";
import type { Link } from "../../src/drivers/postgres/link.ts";
import type { Session } from "../../src/drivers/postgres/session.ts";
import { Vacuum } from "../../src/drivers/postgres/vacuum.ts";
import { until } from "../../src/testing/until.ts";
import { connect, type LogWorld, world, worldsAt } from "../support/postgres-log.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres");
worldsAt(broker?.url);

const rows = 15_000;

/** A housekeeper, and what it ran. */
function keeper({ names, link }: LogWorld): { readonly vacuum: Vacuum; readonly ran: string[] } {
  const ran: string[] = [];
  const desk: Link = { query: (text, values) => link.query(names.fill(text), values) };
  const apart = async (text: string): Promise<void> => {
    ran.push(text);
    await link.query(names.fill(text));
  };
  return { vacuum: new Vacuum({ names, desk, apart } as unknown as Session), ran };
}

describe.skipIf(broker === undefined)("what is deleted", () => {
  it("leaves room that is used again, and is not looked through in vain", { timeout: 60_000 }, async () => {
    const place = await world();
    const { names, link } = place;
    const query = (text: string, ...values: string[]): ReturnType<Link["query"]> =>
      link.query(names.fill(text), values);
    let first = 1;
    const turn = async (): Promise<void> => {
      await query(
        `INSERT INTO {log} (stream, partition, seq, at, total, broker, topic, body)
         SELECT 1, 0, n, 0, 0, decode(md5(n::text), 'hex'), 't', decode(repeat('00', 100), 'hex') FROM generate_series($1::bigint, $2::bigint) n`,
        String(first),
        String(first + rows - 1),
      );
      await query(
        "DELETE FROM {log} WHERE stream = 1 AND partition = 0 AND seq BETWEEN $1 AND $2",
        String(first),
        String(first + rows - 2),
      );
      first += rows;
    };
    const dead = async (): Promise<number> =>
      Number((await link.query("SELECT pg_stat_get_dead_tuples(to_regclass($1))", [names.of("log")]))[0]?.[0]);
    const counted = async (least: number): Promise<void> => {
      await until(async () => (await dead()) >= least, "the server to count what is dead");
    };
    const size = async (): Promise<number> =>
      Number((await link.query("SELECT pg_total_relation_size($1)", [names.of("log")]))[0]?.[0]);
    await query("ALTER TABLE {log} SET (autovacuum_enabled = off)");

    const { vacuum, ran } = keeper(place);
    await vacuum.look();
    expect(ran).toEqual([]);
    const sizes: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      await turn();
      await counted(rows - 1);
      await vacuum.look();
      sizes.push(await size());
    }
    expect(ran).toHaveLength(5);
    expect(sizes.at(-1)).toBeLessThan(1.1 * sizes[1]!); // pages of an index are free from the next one on

    const open = await connect();
    await open.query("BEGIN; CREATE TEMPORARY TABLE held (x int)");
    await turn();
    await counted(rows - 1);
    await vacuum.look();
    expect(await dead()).toBeGreaterThan(rows - 1_000); // nothing could go
    for (let look = 0; look < 3; look += 1) await vacuum.look();
    expect(ran).toHaveLength(6);
    await open.query("COMMIT");
    await turn();
    await counted(2 * rows - 2);
    await vacuum.look();
    expect(await dead()).toBeLessThan(1_000);
  });
});
