import { setTimeout as wait } from "node:timers/promises";
import pg from "pg";
import { describe, expect, it, onTestFinished } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { systemClock } from "../../src/clock.ts";
import { resolveOptions } from "../../src/drivers/postgres/options.ts";
import { Session } from "../../src/drivers/postgres/session.ts";
import { until } from "../../src/testing/until.ts";
import { CutLines } from "../support/cut-lines.ts";
import {
  consume,
  groupSpec,
  joinGroup,
  outgoing,
  publish,
  toDirect,
  type TestConsumption,
} from "../support/driver-harness.ts";
import { connectPostgres, freshSchema } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres", { own: true });
const port = broker?.servers[0]?.port ?? 0;
const events = { name: "events", topics: [">"], partitions: 1 };
const hasty = { socketTimeoutMs: 600, connectTimeoutMs: 600, leaseMs: 3_000 };

async function lines(): Promise<{ readonly proxy: CutLines; readonly url: string }> {
  const proxy = await CutLines.start(port);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  return { proxy, url: broker!.url.replace(`:${port}/`, `:${proxy.port}/`) };
}

async function session(schema: string): Promise<pg.Client> {
  const client = new pg.Client(broker!.url);
  await client.connect();
  onTestFinished(() => client.end());
  await client.query(`SET search_path = ${schema}`);
  return client;
}

describe.skipIf(broker === undefined)("what the server does for a line that is lost", () => {
  it.each(["none", "group"] as const)(
    "comes to nothing once its member goes on by another (order: %s)",
    async (order) => {
      const schema = await freshSchema(port);
      const { url } = await lines();
      const { connection, statuses } = await connectPostgres({ url, schema, ...hasty });
      await connection.ensureStream(events);
      await connection.ensureGroup(groupSpec("g", { order }));
      const { sink, consumption } = await joinGroup(connection, "g", { messages: 10, bytes: 1_000_000 });
      publish(
        connection,
        Array.from({ length: 60 }, (_, n) => `${n}`),
      );
      await until(() => sink.messages.length === 10, "the first ten");
      const other = await session(schema);
      await other.query("BEGIN");
      await other.query("LOCK TABLE omnibus_log IN ACCESS EXCLUSIVE MODE");
      consumption.ack(sink.messages.slice(0, 10)); // asks for more, which waits
      await until(
        () => statuses.some(({ type }) => type === "connected"),
        "the line to be taken for lost, and another",
      );
      await until(async () => {
        const waiting = "wait_event_type = 'Lock' AND query ~ '_1_(claim|own_turn|renew)\"[(]'";
        return (await postgresCommand(port, `SELECT 1 FROM pg_stat_activity WHERE ${waiting}`)).length > 1;
      }, "the new one to ask, too");
      await other.query("COMMIT");
      let acked = 10;
      await until(() => {
        const fresh = sink.messages.slice(acked);
        acked += fresh.length;
        if (fresh.length > 0) consumption.ack(fresh);
        return new Set(sink.texts).size === 60;
      }, "all of them");
      await consumption.flush();
      expect((await connection.admin.groups())[0]).toMatchObject({ waiting: 0, inFlight: 0 });
    },
  );

  it("is refused by the number of the line, in each function of a member", async () => {
    const schema = await freshSchema(port);
    const { connection } = await connectPostgres({ url: broker!.url, schema });
    await connection.ensureStream(events);
    await connection.ensureGroup(groupSpec("g"));
    const { sink, consumption } = await joinGroup(connection, "g");
    publish(connection, ["1", "2"]);
    await until(() => sink.messages.length === 2, "both");
    // as a reconnect whose answer was lost, or one that came late
    await postgresCommand(port, `UPDATE ${schema}.omnibus_member SET session = session + 5`);
    const retry = { how: "retry" as const, delayMs: 0, attempts: 1, headers: [] };
    expect(await consumption.settle([{ ...retry, message: sink.messages[0]! }])).toEqual(["done"]);
    await until(() => sink.messages.length === 3, "it to come again");
    expect(sink.revocations).toEqual([]);
    const [call] = await postgresCommand(
      port,
      `SET search_path = ${schema}; SELECT o_kind FROM omnibus_1_claim((SELECT id FROM omnibus_member), 1, 1, 1, 'm', '{1}', '{>}', 1, 10, 10, '{}', '{}')`,
    );
    expect(call).toEqual(["8"]);
  });

  it.each(["none", "group"] as const)(
    "is compared again when comparing fails, though the line stands (order: %s)",
    async (order) => {
      const schema = await freshSchema(port);
      const { connection } = await connectPostgres({ url: broker!.url, schema });
      await connection.ensureStream(events);
      await connection.ensureGroup(groupSpec("g", { order }));
      const { sink } = await joinGroup(connection, "g");
      publish(connection, ["1"]);
      await until(() => sink.messages.length === 1, "the first");
      await postgresCommand(
        port,
        `SET search_path = ${schema}; UPDATE omnibus_member SET session = session + 5;
         CREATE SEQUENCE tried;
         CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN PERFORM nextval('${schema}.tried'); RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$;
         CREATE TRIGGER fail BEFORE UPDATE OF session ON omnibus_member FOR EACH ROW EXECUTE FUNCTION fail()`,
      );
      publish(connection, ["2"]);
      const tried = async (): Promise<boolean> =>
        (await postgresCommand(port, `SELECT is_called FROM ${schema}.tried`))[0]?.[0] === "t";
      await until(tried, "it to be compared, in vain");
      await postgresCommand(port, `DROP TRIGGER fail ON ${schema}.omnibus_member`);
      await until(() => sink.texts.includes("2"), "the second");
    },
  );

  it("leaves a seat that it took without hearing of it", async () => {
    const schema = await freshSchema(port);
    const { proxy, url } = await lines();
    const { connection } = await connectPostgres({ url, schema, ...hasty });
    await connection.ensureStream(events);
    await connection.ensureGroup(groupSpec("g", { order: "group" }));
    const other = await session(schema);
    await other.query("BEGIN");
    await other.query("LOCK TABLE omnibus_member IN ACCESS EXCLUSIVE MODE");
    const lost = joinGroup(connection, "g").then(
      () => "joined",
      () => "lost",
    );
    const waits = async (): Promise<boolean> =>
      (
        await postgresCommand(
          port,
          `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ '_1_seat"[(]'`,
        )
      ).length > 0;
    await until(waits, "the question to wait");
    proxy.cut("omnibus_1_seat");
    expect(await lost).toBe("lost");
    await other.query("COMMIT"); // the server goes on with it
    const seats = async (): Promise<number> =>
      (await postgresCommand(port, `SELECT 1 FROM ${schema}.omnibus_member`)).length;
    const joined: TestConsumption[] = [];
    await until(
      () =>
        joinGroup(connection, "g").then(
          (one) => joined.push(one) > 0,
          () => false,
        ),
      "it to join",
    );
    await until(async () => (await seats()) === 1, "the seat that nobody has to be left", 15_000);
    publish(connection, ["1"]);
    await until(() => joined[0]!.sink.texts.length === 1, "the message");
  });

  it("ends with it, even behind a lock", async () => {
    const schema = await freshSchema(port);
    const { connection } = await connectPostgres({ url: broker!.url, schema, ...hasty });
    await connection.ensureStream(events);
    const [first] = publish(connection, ["1"]);
    await until(() => first!.outcome === "stored", "its stream to be known");
    const other = await session(schema);
    const waiting = async (): Promise<number> => {
      const where = "application_name = 'omnibus test' AND wait_event_type = 'Lock'";
      return (await postgresCommand(port, `SELECT 1 FROM pg_stat_activity WHERE ${where}`)).length;
    };
    await other.query("BEGIN");
    await other.query("LOCK TABLE omnibus_log IN ACCESS EXCLUSIVE MODE");
    const [sent] = publish(connection, ["2"]);
    await until(() => sent!.outcome !== "waiting", "the publish to be given up");
    expect(sent!.outcome).toBe("unknown");
    await until(async () => (await waiting()) > 0, "it to wait at the server");
    await connection.close(AbortSignal.abort());
    await until(async () => (await waiting()) === 0, "the server to end it");
    await other.query("COMMIT");
  });
});

describe.skipIf(broker === undefined)("a line that goes dead", () => {
  it("is noticed where nothing is asked: at the listener", async () => {
    const schema = await freshSchema(port);
    const { proxy, url } = await lines();
    const { connection, statuses } = await connectPostgres({ url, schema, ...hasty });
    const other = await connectPostgres({ url: broker!.url, schema });
    const heard = await consume(connection, { kind: "direct", group: undefined });
    await heard.consumption.wants([">"], [">"]);
    proxy.cut("LISTEN");
    await until(() => statuses.some(({ type }) => type === "connected"), "another line");
    await until(() => {
      other.connection.send([outgoing(toDirect("a.b"), "x").message]);
      return heard.sink.messages.length > 0;
    }, "a message to be heard");
  });

  it("takes with it what VACUUM runs on", async () => {
    const schema = await freshSchema(port);
    const nothing = (): void => undefined;
    const now = new Date();
    const session = await Session.open(resolveOptions({ url: broker!.url, schema }), {
      name: "vacuums",
      prefix: "omnibus",
      member: { id: "m", name: "m", host: "here", pid: 1, since: now, lastSeen: now, partitions: undefined },
      manage: "create",
      clock: systemClock,
      signal: new AbortController().signal,
      status: nothing,
      changed: nothing,
      warn: nothing,
    });
    const apart = session.apart("SELECT pg_sleep(600)").then(
      () => "done",
      () => "lost",
    );
    const sleeping = async (): Promise<boolean> =>
      (
        await postgresCommand(
          port,
          "SELECT 1 FROM pg_stat_activity WHERE application_name = 'omnibus vacuums' AND query = 'SELECT pg_sleep(600)'",
        )
      ).length > 0;
    await until(sleeping, "it to run");
    const others = "application_name = 'omnibus vacuums' AND query <> 'SELECT pg_sleep(600)'";
    await postgresCommand(port, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${others}`);
    expect(await apart).toBe("lost");
    await until(async () => !(await sleeping()), "the server to end it");
    await session.close(AbortSignal.timeout(1_000));
  });

  it("is noticed at the desk, which may take longer than others", async () => {
    const schema = await freshSchema(port);
    const { proxy, url } = await lines();
    await connectPostgres({ url: broker!.url, schema }); // whoever makes the functions says all their names
    const { connection, statuses } = await connectPostgres({ url, schema, ...hasty, socketTimeoutMs: 500 });
    await connection.ensureStream(events);
    const desk = '_1_move_due"($1)';
    await until(() => proxy.open(desk) > 0, "the desk to be used");
    proxy.cut(desk);
    const from = performance.now();
    await until(() => statuses.some(({ type }) => type === "disconnected"), "it to be noticed");
    expect(performance.now() - from).toBeGreaterThan(3_000);
    await until(() => statuses.some(({ type }) => type === "connected"), "another line");
    await connection.ping();
  });

  it("is noticed while connecting again, after its first answer too", async () => {
    const schema = await freshSchema(port);
    const { proxy, url } = await lines();
    const { connection, statuses } = await connectPostgres({ url, schema, ...hasty });
    proxy.cutAfter = "server_version_num";
    proxy.breakAll();
    await until(() => proxy.cutAfter === undefined, "the next try");
    await until(() => statuses.some(({ type }) => type === "connected"), "the one after it", 10_000);
    await connection.ping();
  });

  it("is noticed while connecting first, but for the making of the layout", async () => {
    const schema = await freshSchema(port);
    const { proxy, url } = await lines();
    proxy.cutAfter = "server_version_num";
    await expect(connectPostgres({ url, schema, ...hasty })).rejects.toMatchObject({ code: "BUS_TIMEOUT" });
    const other = await session(schema);
    await other.query("BEGIN; CREATE TABLE omnibus_meta (key text)"); // the layout's own waits for it
    const connecting = connectPostgres({ url: broker!.url, schema, ...hasty });
    await wait(hasty.connectTimeoutMs + hasty.socketTimeoutMs + 200);
    await other.query("ROLLBACK");
    await connecting;
  });
});

describe.skipIf(broker === undefined)("a member that is stopped", () => {
  it.each([
    ["none", "claimed"],
    ["group", "progress"],
  ] as const)("is given what was asked for before that, and nothing after (order: %s)", async (order, table) => {
    const schema = await freshSchema(port);
    const { connection } = await connectPostgres({ url: broker!.url, schema });
    await connection.ensureStream(events);
    await connection.ensureGroup(groupSpec("g", { order }));
    const { sink, consumption } = await joinGroup(connection, "g");
    publish(connection, ["1"]);
    await until(() => sink.messages.length === 1, "the first");
    const other = await session(schema);
    await other.query("BEGIN");
    await other.query(`LOCK TABLE omnibus_${table} IN ACCESS EXCLUSIVE MODE`);
    publish(connection, ["2"]);
    await until(async () => {
      const waiting = `wait_event_type = 'Lock' AND query ~ '${schema}.*_1_(claim|own_turn)"[(]'`;
      return (await postgresCommand(port, `SELECT 1 FROM pg_stat_activity WHERE ${waiting}`)).length > 0;
    }, "the next to be asked for");
    const given = consumption.stop().then(() => sink.messages.length);
    await other.query("COMMIT");
    expect(await given).toBe(2);
  });
});

describe.skipIf(broker === undefined)("what two do at once", () => {
  it("is no deadlock: a seat is taken while its process is buried", async () => {
    const schema = await freshSchema(port);
    const { connection } = await connectPostgres({ url: broker!.url, schema, leaseMs: 60_000 });
    await connection.ensureStream(events);
    await connection.ensureGroup(groupSpec("g"));
    await joinGroup(connection, "g");
    const [burying, taking] = [await session(schema), await session(schema)];
    await burying.query("BEGIN");
    await burying.query("SELECT 1 FROM omnibus_process WHERE id = 1 FOR UPDATE");
    const taken = taking.query("SELECT * FROM omnibus_1_seat(1, 1)");
    await until(async () => {
      const waiting = "wait_event_type = 'Lock' AND query LIKE '%omnibus_1_seat(1, 1)%'";
      return (await postgresCommand(port, `SELECT 1 FROM pg_stat_activity WHERE ${waiting}`)).length > 0;
    }, "the seat to wait");
    await burying.query("SELECT omnibus_1_bury(1, 0, true)");
    await burying.query("COMMIT");
    expect((await taken).rows).toEqual([]);
  });

  it("is not slowed down by what waits for its time", async () => {
    const schema = await freshSchema(port);
    const { connection } = await connectPostgres({ url: broker!.url, schema });
    await connection.ensureStream(events);
    await connection.ensureGroup(groupSpec("g"));
    await joinGroup(connection, "g");
    const other = await session(schema);
    const held = (from: number, count: number, due: string, avoid: string): string =>
      `INSERT INTO omnibus_held (grp, stream, partition, seq, due, attempts, not_before, deliveries, avoid)
        SELECT 1, 1, 0, n, ${due}, 1, 9000000000000, 1, ${avoid} FROM generate_series(${from}, ${from + count - 1}) n`;
    await other.query(held(1_000_000, 20_000, "9000000000000 + n", "NULL"));
    await other.query(held(2_000_000, 3, "8000000000000 - n", "'me|'"));
    await other.query("BEGIN");
    const { rows } = await other.query(
      "SELECT o_seq FROM omnibus_1_claim((SELECT max(id) FROM omnibus_member), 0, 1, 1, 'me', '{1}', '{>}', 1, 10, 10, '{}', '{}') WHERE o_kind = 5",
    );
    expect(Number((rows[0] as { readonly o_seq: string }).o_seq)).toBeGreaterThan(7_000_000_000_000 - Date.now());
    const read = await other.query(
      "SELECT idx_tup_fetch::int AS n FROM pg_stat_xact_user_tables WHERE relid = 'omnibus_held'::regclass",
    );
    expect((read.rows[0] as { readonly n: number }).n).toBeLessThan(100);
    await other.query("ROLLBACK");
  });
});

describe.skipIf(broker === undefined)("after a crash of the server", () => {
  it("everybody who listened is heard of again, each under a number of its own", async () => {
    const schema = await freshSchema(port);
    const { connection, statuses } = await connectPostgres({ url: broker!.url, schema });
    const names = ["one", "two", "three", "four"];
    const consumers: TestConsumption[] = [];
    for (const name of names) {
      const opened = await consume(connection, { kind: "direct", group: undefined });
      await opened.consumption.wants([name], [name]);
      consumers.push(opened);
    }
    const other = await connectPostgres({ url: broker!.url, schema });
    // what a crash does to tables that are not logged, and to their sequences
    await postgresCommand(port, `TRUNCATE ${schema}.omnibus_listener RESTART IDENTITY`);
    const first = await consume(other.connection, { kind: "direct", group: undefined });
    await first.consumption.wants(["zero"], ["zero"]); // numbers that began anew would be others' from here on
    await postgresCommand(
      port,
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'omnibus test'",
    );
    await until(() => statuses.some(({ type }) => type === "connected"), "to be connected again");
    await until(async () => {
      for (const name of names) connection.send([outgoing(toDirect(name), name).message]);
      await wait(20);
      return consumers.every(({ sink }) => sink.messages.length > 0);
    }, "each to be heard");
    expect(consumers.map(({ sink }) => new Set(sink.texts))).toEqual(names.map((name) => new Set([name])));
  });
});
