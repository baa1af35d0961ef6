import { describe, expect, it } from "vitest";
import { until } from "../../src/testing/until.ts";
import type { OwnLink } from "../../src/drivers/postgres/own-link.ts";
import { connect, type LogWorld, out, send, type Told, world, worldsAt } from "../support/postgres-log.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres");
worldsAt(broker?.url);

const stored = (position: string): Told => ["stored", position, false];

async function rowsOf({ names }: LogWorld, link: OwnLink): Promise<readonly string[]> {
  const rows = await link.query(names.fill("SELECT partition, seq FROM {log} ORDER BY 1, 2"));
  return rows.map((row) => row.join(":"));
}

/** Sessions that wait for the lock of a partition. */
async function waiting(link: OwnLink, { names }: LogWorld): Promise<number> {
  const text = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE $1";
  return Number((await link.query(text, [`%${names.prefix}_1_append%`]))[0]?.[0]);
}

describe.skipIf(broker === undefined)("positions", () => {
  it("are in the order of the commits: who comes second waits, and takes the place of one that is undone", async () => {
    const place = await world();
    const { sender } = place;
    const [first, reader] = [await connect(), await connect()];
    for (const [end, next] of [
      ["ROLLBACK", "1"],
      ["COMMIT", "3"],
    ] as const) {
      await first.query("BEGIN");
      const early = out();
      const begun = await send(sender(first), [early]);
      const late = out();
      const second = send(sender(await connect()), [late]);
      await until(async () => (await waiting(reader, place)) === 1, "the second to wait");
      // another partition waits for nobody, and what is open is seen by nobody
      const other = (await send(sender(reader), [out({ hash: 1 })]))[0];
      expect(other).toEqual(stored(end === "ROLLBACK" ? "1" : "2"));
      expect(late.told).toEqual([]);
      const seen = (await rowsOf(place, reader)).filter((row) => row.startsWith("0:"));
      expect(seen).toEqual(end === "ROLLBACK" ? [] : ["0:1"]);
      await first.query(end);
      expect(await second).toEqual([stored(next)]);
      expect(begun).toEqual([stored(end === "ROLLBACK" ? "1" : "2")]);
    }
    expect(await rowsOf(place, reader)).toEqual(["0:1", "0:2", "0:3", "1:1", "1:2"]);
  });

  it("have no gap for a reader beside fifty writers, whatever stands open here and in another database", async () => {
    const { names, link, sender } = await world();
    await link.query(`CREATE DATABASE "other of ${names.prefix}"`);
    const [here, elsewhere] = [await connect(), await connect(`other of ${names.prefix}`)];
    for (const open of [here, elsewhere]) await open.query("BEGIN; CREATE TEMPORARY TABLE held (x int)");
    const writers = (await Promise.all(Array.from({ length: 50 }, () => connect()))).map((each) => sender(each));
    let writing = true;
    const read = [0, 0, 0, 0];
    let during = 0;
    const reader = await connect();
    const look = async (): Promise<void> => {
      for (const [partition, last] of read.entries()) {
        const rows = await reader.query(
          names.fill("SELECT seq FROM {log} WHERE stream = 1 AND partition = $1 AND seq > $2 ORDER BY seq"),
          [String(partition), String(last)],
        );
        rows.forEach(([seq], at) => expect(Number(seq)).toBe(last + at + 1));
        read[partition] = last + rows.length;
      }
    };
    const reading = (async () => {
      for (; writing; during = read.reduce((sum, each) => sum + each)) await look();
    })();
    await Promise.all(
      writers.map(async (each, at) => {
        for (let round = 0; round < 10; round += 1)
          await send(each, [out({ hash: at }), out({ hash: at + round }), out({ hash: round })]);
      }),
    );
    writing = false;
    await reading;
    expect(during).toBeGreaterThan(100); // it went on beside the open transactions
    await look();
    expect(read.reduce((sum, each) => sum + each)).toBe(1_500);
    for (const open of [here, elsewhere]) expect(await open.query("SELECT count(*) FROM held")).toEqual([["0"]]); // they stood open all the time
  });
});
