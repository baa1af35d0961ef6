import { describe, expect, it } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { connect } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { groupSpec, joinGroup, outgoing, publish } from "../support/driver-harness.ts";
import { connectPostgres, freshSchema } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres", { own: true });
const port = broker?.servers[0]?.port ?? 0;
const events = { name: "events", topics: [">"], partitions: 1 };
const value = async (sql: string): Promise<string | null | undefined> => (await postgresCommand(port, sql))[0]?.[0];

describe.skipIf(broker === undefined)("the options of the PostgreSQL driver", () => {
  it("option: PostgresOptions.url, PostgresOptions.schema say where, in a section of the bus too", async () => {
    const schema = await freshSchema(port);
    await using bus = await connect(broker!.url, { postgres: { schema } });
    await bus.publishTopic("a.b", 1);
    expect(await value(`SELECT count(*) FROM ${schema}.omnibus_log`)).toBe("1");
  });

  it("option: PostgresOptions.database is the one of the tables", async () => {
    await postgresCommand(port, "CREATE DATABASE chosen");
    const { connection } = await connectPostgres({ url: broker!.url.replace(/\/[^/]*$/, ""), database: "chosen" });
    expect(connection.client).toMatchObject({ database: "chosen" });
    expect(await connection.ping()).toMatchObject({ schema: "public" });
  });

  it("option: PostgresOptions.leaseMs is how long a silent member keeps what it holds", async () => {
    const schema = await freshSchema(port);
    await connectPostgres({ url: broker!.url, schema, leaseMs: 40_000 });
    const left = Number(await value(`SELECT until - seen FROM ${schema}.omnibus_process`));
    expect(left).toBe(40_000);
  });

  it("option: PostgresOptions.pollMs is how often an idle member looks unasked", async () => {
    const schema = await freshSchema(port);
    const options = { url: broker!.url, schema, listen: false } as const;
    const { connection } = await connectPostgres({ ...options, pollMs: 10 });
    await connection.ensureStream(events);
    await connection.ensureGroup(groupSpec("g"));
    const other = await connectPostgres({ ...options, pollMs: 600_000 });
    const [often, never] = [await joinGroup(connection, "g"), await joinGroup(other.connection, "g")];
    const third = await connectPostgres(options);
    for (let n = 0; n < 3; n += 1) {
      publish(third.connection, [`${n}`]);
      await until(() => often.sink.texts.length === n + 1, "it to come");
    }
    expect(never.sink.texts).toEqual([]);
  });

  it("option: PostgresOptions.dedupeWindowMs is how long an event is recognised", async () => {
    const schema = await freshSchema(port);
    const outcomes: string[] = [];
    for (const dedupeWindowMs of [0, 60_000]) {
      const { connection } = await connectPostgres({ url: broker!.url, schema, dedupeWindowMs });
      await connection.ensureStream(events);
      for (let n = 0; n < 2; n += 1) {
        const sent = outgoing({ kind: "topic", stream: "events", topic: "t" }, "x", { id: `x${dedupeWindowMs}` });
        connection.send([sent.message]);
        await until(() => sent.outcome !== "waiting", "an outcome");
        outcomes.push(sent.outcome);
        await until(
          async () =>
            (await value(
              `SELECT max(at) < extract(epoch FROM clock_timestamp()) * 1000 - 5 FROM ${schema}.omnibus_log`,
            )) === "t",
          "it to be older",
        );
      }
      expect(connection.capabilities.dedupeWindowMs).toBe(dedupeWindowMs);
    }
    expect(outcomes).toEqual(["stored", "stored", "stored", "duplicate"]);
  });
});
