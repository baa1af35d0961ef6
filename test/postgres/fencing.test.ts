import pg from "pg";
import { describe, expect, it, onTestFinished } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import type { InMessage } from "../../src/driver.ts";
import { until } from "../../src/testing/until.ts";
import { groupSpec, joinGroup, letterOf, publish } from "../support/driver-harness.ts";
import { connectPostgres, freshSchema } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres");
const port = broker?.servers[0]?.port ?? 0;
const events = { name: "events", topics: [">"], partitions: 1 };

describe.skipIf(broker === undefined)("what a former owner still writes", () => {
  it("changes nothing in a partition that was another's in between", async () => {
    const schema = await freshSchema(port);
    const { connection } = await connectPostgres({ url: broker!.url, schema });
    await connection.ensureStream(events);
    await connection.ensureGroup(groupSpec("g", { order: "group" }));
    const { sink, consumption } = await joinGroup(connection, "g");
    publish(connection, ["1", "2", "3"]);
    await until(() => sink.messages.length === 3, "all of them");
    await postgresCommand(port, `UPDATE ${schema}.omnibus_place SET epoch = epoch + 2 WHERE member IS NOT NULL`);
    const [first, second] = sink.messages;
    const note = { message: first!, attempts: 1, notBefore: undefined, headers: [] };
    expect(await consumption.record([note])).toEqual(["stale"]);
    expect(sink.revocations.length).toBeGreaterThan(0);
    expect(await consumption.settle([{ how: "dead", message: second!, letter: letterOf(second!, "g") }])).toEqual([
      "stale",
    ]);
    expect(await postgresCommand(port, `SELECT count(*) FROM ${schema}.omnibus_letter`)).toEqual([["0"]]);
  });

  it("settles no run that another has by now", async () => {
    const schema = await freshSchema(port);
    const options = { url: broker!.url, schema };
    const { connection } = await connectPostgres({ ...options, leaseMs: 60_000 });
    await connection.ensureStream(events);
    await connection.ensureGroup(groupSpec("g", { order: "none" }));
    // its window is full, so it asks for nothing more, and its beat comes in twenty seconds
    const former = await joinGroup(connection, "g", { messages: 3, bytes: 1_000_000 });
    publish(connection, ["1", "2", "3"]);
    await until(() => former.sink.messages.length === 3, "all of them");
    await postgresCommand(port, `UPDATE ${schema}.omnibus_claim SET member = NULL`);
    const other = await connectPostgres(options);
    const next = await joinGroup(other.connection, "g");
    await until(() => next.sink.messages.length === 3, "all of them at the next");
    former.consumption.ack(former.sink.messages);
    await former.consumption.flush();
    await former.consumption.close(AbortSignal.timeout(2_000));
    await next.consumption.close(AbortSignal.timeout(2_000));
    const last = await joinGroup(other.connection, "g");
    await until(() => last.sink.messages.length === 3, "all of them at the last");
    expect(last.sink.texts.toSorted()).toEqual(["1", "2", "3"]);
  });

  it.each(["note", "dead"] as const)(
    "stops nobody when its partition is lost while the call before is under way (%s)",
    async (how) => {
      const schema = await freshSchema(port);
      const { connection } = await connectPostgres({ url: broker!.url, schema });
      await connection.ensureStream({ ...events, partitions: 2 });
      await connection.ensureGroup(groupSpec("g", { order: "group" }));
      const { sink, consumption } = await joinGroup(connection, "g");
      for (const hash of [0, 1]) publish(connection, ["1", "2", "3"], { hash });
      await until(() => sink.messages.length === 6, "all of them");
      const mine = (at: number): InMessage[] => sink.messages.filter(({ partition }) => partition === `events/${at}`);
      const other = new pg.Client(broker!.url);
      await other.connect();
      onTestFinished(() => other.end());
      await other.query(`SET search_path = ${schema}; BEGIN; LOCK TABLE omnibus_place IN ACCESS EXCLUSIVE MODE`);
      await other.query("UPDATE omnibus_place SET member = NULL, epoch = epoch + 1 WHERE partition = 0");
      consumption.ack(mine(0).slice(0, 1));
      await until(async () => {
        const where = `wait_event_type = 'Lock' AND query LIKE '%${schema}%own_turn%'`;
        return (await postgresCommand(port, `SELECT 1 FROM pg_stat_activity WHERE ${where}`)).length > 0;
      }, "the call to be under way");
      const [, message] = mine(0);
      const late =
        how === "note"
          ? consumption.record([{ message: message!, attempts: 1, notBefore: undefined, headers: [] }])
          : consumption.settle([{ how, message: message!, letter: letterOf(message!, "g") }]);
      await other.query("COMMIT");
      expect(await late).toEqual(["stale"]);
      expect(await postgresCommand(port, `SELECT count(*) FROM ${schema}.omnibus_letter`)).toEqual([["0"]]);
      consumption.ack(mine(1));
      await consumption.flush();
      publish(connection, ["4"], { hash: 1 });
      await until(() => mine(1).length === 4, "the next of the other partition");
    },
  );
});
