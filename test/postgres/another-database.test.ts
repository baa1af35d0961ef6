import { describe, expect, it } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import type { DriverConnection } from "../../src/driver.ts";
import { until } from "../../src/testing/until.ts";
import { consume, groupSpec, joinGroup, outgoing, publish, toDirect } from "../support/driver-harness.ts";
import { connectPostgres, freshSchema, type Connected } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres", { own: true });
const port = broker?.servers[0]?.port ?? 0;
const events = { name: "events", topics: [">"], partitions: 2 };
let roles = 0;

/** One process in a database of its own, which becomes that of the others when its line is cut. */
async function moving(): Promise<Connected & { readonly there: string; readonly move: () => Promise<void> }> {
  const [here, there] = [await freshSchema(port), await freshSchema(port)];
  const role = `mover_${(roles += 1)}`;
  await postgresCommand(
    port,
    `CREATE ROLE ${role} LOGIN SUPERUSER; ALTER ROLE ${role} SET search_path = ${here}; ALTER ROLE ${role} SET application_name = '${role}'`,
  );
  const connected = await connectPostgres({ url: broker!.url, username: role });
  const move = async (): Promise<void> => {
    connected.statuses.length = 0;
    await postgresCommand(
      port,
      `ALTER ROLE ${role} SET search_path = ${there}; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${role}'`,
    );
    await until(() => connected.statuses.some(({ type }) => type === "connected"), "another line");
  };
  return Object.assign(connected, { there, move });
}

/** Again when the server ends it for a deadlock: it takes its locks in another order than those who are at work in there. */
async function untilDone(command: string): Promise<void> {
  for (let tries = 1; ; tries += 1)
    try {
      return void (await postgresCommand(port, command));
    } catch (error) {
      if ((error as { readonly code?: unknown }).code !== "40P01" || tries === 20) throw error;
    }
}

async function outcomeOf(connection: DriverConnection, text: string): Promise<string> {
  const [sent] = publish(connection, [text]);
  await until(() => sent!.outcome !== "waiting", "an outcome");
  return sent!.outcome;
}

describe.skipIf(broker === undefined)("another database under a running process", () => {
  it.each(["none", "group"] as const)(
    "is none in which its numbers mean anything: members begin again, and others' stay theirs (order: %s)",
    async (order) => {
      const mine = await moving();
      const other = await connectPostgres({ url: broker!.url, schema: mine.there });
      await other.connection.ensureStream({ name: "first", topics: ["first.>"], partitions: 2 }); // has the number of the stream that we publish to
      await other.connection.ensureStream({ ...events, topics: ["orders.>"] });
      await other.connection.ensureGroup(groupSpec("theirs", { order }));
      const theirs = await joinGroup(other.connection, "theirs");
      await mine.connection.ensureStream({ ...events, topics: ["orders.>"] });
      await mine.connection.ensureStream({ name: "more", topics: ["more.>"] });
      await mine.connection.ensureGroup(groupSpec("mine", { order }));
      const joined = await joinGroup(mine.connection, "mine");
      const tail = { kind: "tail", stream: "events", from: { at: "newest" }, resume: undefined } as const;
      const read = await consume(mine.connection, tail);
      expect(await outcomeOf(mine.connection, "before")).toBe("stored");
      await until(() => joined.sink.texts.includes("before"), "it to be delivered");

      await mine.move();
      expect(joined.sink.ends).toEqual([{ error: expect.objectContaining({ code: "BUS_CONNECTION" }), kept: false }]);
      expect(read.sink.ends).toHaveLength(1);
      await mine.connection.ensureGroup(groupSpec("mine", { order, stream: "events" }));
      await mine.connection.ensureGroup(groupSpec("more", { order, stream: "more" })); // what it needs is made there
      const again = await joinGroup(mine.connection, "mine");
      expect(await outcomeOf(mine.connection, "after")).toBe("stored");
      await until(() => theirs.sink.texts.includes("after") && again.sink.texts.includes("after"), "it, at both");
      expect(theirs.sink.ends).toEqual([]);
      expect(theirs.sink.revocations).toEqual([]);
      const members = `SELECT member FROM ${mine.there}.omnibus_process ORDER BY id`;
      expect(await postgresCommand(port, members)).toHaveLength(2);
      await mine.connection.close(AbortSignal.timeout(2_000));
      expect(await postgresCommand(port, members)).toHaveLength(1);
      expect(await outcomeOf(other.connection, "later")).toBe("stored");
      await until(() => theirs.sink.texts.includes("later"), "theirs to go on");
    },
  );

  it("has listeners of the direct lane come again and find each other", async () => {
    const mine = await moving();
    const other = await connectPostgres({ url: broker!.url, schema: mine.there });
    const before = await consume(mine.connection, { kind: "direct", group: undefined });
    await before.consumption.wants(["mine"], ["mine"]);
    const theirs = await consume(other.connection, { kind: "direct", group: undefined });
    await theirs.consumption.wants(["theirs"], ["theirs"]);
    mine.connection.send([outgoing(toDirect("mine"), "here").message]);
    await until(() => before.sink.texts.includes("here"), "itself to be heard");

    await mine.move();
    await until(() => {
      mine.connection.send([outgoing(toDirect("theirs"), "there").message]);
      other.connection.send([outgoing(toDirect("mine"), "there").message]);
      return [before, theirs].every(({ sink }) => sink.texts.includes("there"));
    }, "both to be heard");
  });

  it("has other revisions: who watches keys is told what there is, and what is gone", async () => {
    const mine = await moving();
    const other = await connectPostgres({ url: broker!.url, schema: mine.there });
    const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
    await other.connection.state!.put("b", "both", bytes("there"), {});
    for (const key of ["both", "gone", "both", "gone"]) await mine.connection.state!.put("b", key, bytes("here"), {});
    const found = new Map<string, string>();
    const watching = new AbortController();
    const watch = (async () => {
      for await (const { key, value } of mine.connection.state!.watch("b", "", watching.signal))
        found.set(key, value === undefined ? "nothing" : new TextDecoder().decode(value));
    })();
    await until(() => found.size === 2, "both keys");
    await mine.move();
    await until(() => found.get("both") === "there" && found.get("gone") === "nothing", "those of the other");
    watching.abort();
    await watch;
  });

  it("is noticed without a new line, as behind a pooler, or where a backup that was restored was given a number", async () => {
    const schema = await freshSchema(port);
    const { connection, statuses } = await connectPostgres({ url: broker!.url, schema });
    await connection.ensureStream(events);
    await connection.ensureGroup(groupSpec("g"));
    const { sink } = await joinGroup(connection, "g");
    await postgresCommand(port, `UPDATE ${schema}.omnibus_meta SET value = 'another' WHERE key = 'id'`);
    await until(() => statuses.some(({ type }) => type === "connected"), "new lines");
    expect(sink.ends).toHaveLength(1);
    await untilDone(`DROP SCHEMA ${schema} CASCADE; CREATE SCHEMA ${schema}`);
    await until(async () => (await outcomeOf(connection, "again")) === "stored", "all to be made there", 15_000);
  });
});
