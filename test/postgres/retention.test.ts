import { describe, expect, it } from "vitest";
import { decodeSequences, encodeSequences } from "../../src/internal/rows/sequence-set.ts";
import { until } from "../../src/testing/until.ts";
import type { DriverConnection } from "../../src/driver.ts";
import { groupSpec, joinGroup, publish } from "../support/driver-harness.ts";
import { connect, world, worldsAt } from "../support/postgres-log.ts";
import { connectPostgres, freshSchema } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres");
worldsAt(broker?.url);

const events = { name: "events", topics: [">"], partitions: 1 };

/** One after the other, as each may have to make room. */
async function stored(connection: DriverConnection, texts: readonly string[]): Promise<void> {
  for (const text of texts) {
    const [sent] = publish(connection, [text]);
    await until(() => sent!.outcome !== "waiting", "an outcome");
    expect(sent!.outcome).toBe("stored");
  }
}

describe.skipIf(broker === undefined)("retention", () => {
  it("knows still what was settled out of turn in a partition that nobody owns", async () => {
    const schema = await freshSchema(broker!.servers[0]!.port);
    const { connection } = await connectPostgres({ url: broker!.url, schema });
    await connection.ensureStream({ ...events, maxMessages: 6, whenFull: "drop-oldest" });
    await connection.ensureGroup(groupSpec("g", { order: "group" }));
    await stored(connection, ["1", "2", "3", "4", "5", "6"]);
    const former = await joinGroup(connection, "g");
    await until(() => former.sink.messages.length === 6, "all of them");
    former.consumption.ack(former.sink.messages.filter((_, index) => index === 2 || index === 5));
    await former.consumption.flush();
    await former.consumption.close(AbortSignal.timeout(2_000));
    await stored(connection, ["7", "8", "9"]); // 1, 2 and 3 go, of which the last is settled
    const { sink } = await joinGroup(connection, "g");
    await until(() => sink.texts.includes("9"), "the last");
    expect(sink.texts).toEqual(["4", "5", "7", "8", "9"]);
    await until(() => sink.losses.length > 0, "the loss to be said");
    expect(sink.losses.map(({ count }) => count)).toEqual([2]);
  });

  it("gives nobody what was dropped and stands in the log still, as the newest does", async () => {
    const schema = await freshSchema(broker!.servers[0]!.port);
    const { connection } = await connectPostgres({ url: broker!.url, schema });
    await connection.ensureStream({ ...events, maxMessages: 1, whenFull: "drop-oldest" });
    await connection.ensureGroup(groupSpec("g", { order: "group" }));
    const { sink, consumption } = await joinGroup(connection, "g");
    consumption.window({ messages: 0, bytes: 0 });
    await stored(connection, ["1", "2"]); // of which the first is dropped
    consumption.window({ messages: 10, bytes: 10_000 });
    await until(() => sink.texts.includes("2"), "the newest");
    await until(() => sink.losses.length > 0, "the loss to be said");
    expect([sink.texts, sink.losses.map(({ count }) => count)]).toEqual([["2"], [1]]);
  });

  it("cuts what is settled above a cursor as the client has it", async () => {
    const { names } = await world();
    const link = await connect();
    const base = 1_000;
    for (const steps of [[1], [1, 1, 5], [127, 128, 1, 129], [20_000, 3, 2_100_000, 16_384]]) {
      const settled: number[] = [];
      for (const step of steps) settled.push((settled.at(-1) ?? base) + step);
      const bytes = encodeSequences(base, settled);
      for (const upTo of [base, ...settled.flatMap((seq) => [seq - 1, seq, seq + 1])]) {
        const [row] = await link.query(names.fill("SELECT passed, encode(rest, 'hex') FROM {1:above}($1, $2, $3)"), [
          String(base),
          bytes,
          String(upTo),
        ]);
        const passed = settled.filter((seq) => seq <= upTo);
        expect(row?.[0]).toBe(`{${passed.join(",")}}`);
        const rest = row?.[1] === null || row?.[1] === undefined ? null : Buffer.from(row[1], "hex");
        expect([...decodeSequences(upTo, rest)]).toEqual(settled.slice(passed.length));
      }
    }
  });
});
