import { renameSync, rmSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  groupSpec,
  joinGroup,
  numbered,
  publish,
  turns,
  until,
  type TestConsumption,
} from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { newWorld, type SqliteWorld } from "../../../test/support/sqlite-world.ts";
import type { DriverConnection } from "../../driver.ts";
import { Database } from "./database.ts";
import { Seating } from "./seating.ts";
import type { Store } from "./store.ts";
import { Turn } from "./turn.ts";

const soon = (): AbortSignal => AbortSignal.timeout(5_000);
const ghosts = "SELECT * FROM omnibus_member WHERE process NOT IN (SELECT id FROM omnibus_process)";
const claimedByNobody =
  "SELECT member FROM (SELECT member FROM omnibus_claim UNION SELECT member FROM omnibus_own) WHERE member IS NOT NULL AND member NOT IN (SELECT id FROM omnibus_member)";

function change(world: SqliteWorld, sql: string): void {
  const database = world.raw();
  database.exec(sql);
  database.close();
}

/** Nobody gets a seat in the first group any more: the file itself refuses the row, after that of the process was made. */
function refuseSeats(world: SqliteWorld): void {
  change(
    world,
    "CREATE TRIGGER no_seats BEFORE INSERT ON omnibus_member WHEN NEW.grp = 1 BEGIN SELECT RAISE(ABORT, 'no seats'); END",
  );
}

/** Another process takes the first one for dead. */
async function bury(world: SqliteWorld): Promise<DriverConnection> {
  const other = (await world.connect({ streams: [] })).connection;
  change(world, "UPDATE omnibus_process SET seen = 0 WHERE id = 1");
  await other.admin.recoverGroup!("g", 1_000);
  expect(world.rows("SELECT id FROM omnibus_process")).toEqual([{ id: 2 }]);
  return other;
}

/** When it is stored, whatever stood in the turns before it was tried. */
async function stored(connection: DriverConnection, text: string): Promise<void> {
  const [sent] = publish(connection, [text]);
  await until(() => sent!.outcome === "stored", `"${text}" to be stored`);
}

async function taken(): Promise<{ world: SqliteWorld; connection: DriverConnection }> {
  const world = newWorld();
  const { connection } = await world.connect({ member: "first" });
  await connection.ensureGroup(groupSpec("g"));
  return { world, connection };
}

describe("a process that others took for dead", () => {
  it.each(["none", "group"] as const)(
    "claims nothing while it gets no seat, keeps out of others' rows, and goes on without loss (order: %s)",
    async (order) => {
      const world = newWorld();
      const { connection } = await world.connect({ member: "first" });
      await connection.ensureGroup(groupSpec("g", { order }));
      const member: TestConsumption = await joinGroup(connection, "g");
      publish(connection, ["1", "2", "3"]);
      await until(() => member.sink.messages.length === 3, "three messages");

      refuseSeats(world);
      await bury(world);
      await stored(connection, "4"); // it learns what happened in this transaction, and tries in the next
      await stored(connection, "5");
      const newcomer = (await world.connect({ streams: [], member: "newcomer" })).connection;
      await stored(connection, "6");
      await turns(20);
      expect(member.sink.texts).toEqual(["1", "2", "3"]);
      expect(world.rows(claimedByNobody)).toEqual([]);
      expect(world.rows("SELECT member FROM omnibus_process ORDER BY id").at(-1)).toEqual({ member: "newcomer" });

      change(world, "DROP TRIGGER no_seats");
      await until(
        () => member.sink.messages.length >= 9,
        () => `all six, three of them again; there came ${member.sink.texts.join(" ")}`,
      );
      await turns(20);
      expect(member.sink.texts).toEqual(["1", "2", "3", ...numbered(6)]);
      expect(member.sink.messages.slice(3).map(({ deliveries }) => deliveries)).toEqual([2, 2, 2, 1, 1, 1]);
      expect(member.sink.revocations.length).toBeGreaterThan(0);
      member.consumption.ack(member.sink.messages.slice(3));
      await member.consumption.flush();
      expect(member.sink.floors.get("events/0")).toBe("6");
      expect(world.rows(ghosts)).toEqual([]);

      await connection.close(soon());
      expect(world.rows("SELECT member FROM omnibus_process WHERE member <> 'newcomer' AND id > 2")).toEqual([]);
      expect(await newcomer.admin.members("g")).toEqual([]);
      await newcomer.ping();
      expect(world.rows("SELECT beat FROM omnibus_process WHERE member = 'newcomer'")).toEqual([{ beat: 1 }]);
    },
  );

  it("takes no seat in another group before it has a row of its own, and does then", async () => {
    const { world, connection } = await taken();
    await connection.ensureGroup(groupSpec("second", { order: "group" }));
    await joinGroup(connection, "g");
    refuseSeats(world);
    await bury(world);
    const joining = joinGroup(connection, "second");
    await stored(connection, "1");
    await stored(connection, "2");
    expect(world.rows(ghosts)).toEqual([]);
    expect(world.count("member")).toBe(0);
    change(world, "DROP TRIGGER no_seats");
    const member = await joining;
    await until(() => member.sink.messages.length === 2, "both messages");
    expect(world.rows(ghosts)).toEqual([]);
    expect(world.count("member")).toBe(2);
  });

  it("takes no seat in the transaction in which it learns of it", async () => {
    const { world, connection } = await taken();
    change(world, "DELETE FROM omnibus_process");
    await joinGroup(connection, "g");
    await until(() => world.count("process") === 1, "a new row");
    expect(world.rows(ghosts)).toEqual([]);
    expect(world.count("member")).toBe(1);
  });

  it("closes in time while it gets no seat, and refuses whoever waits for one", async () => {
    const { world, connection } = await taken();
    await joinGroup(connection, "g");
    refuseSeats(world);
    await bury(world);
    await stored(connection, "1");
    await stored(connection, "2");
    const joining = joinGroup(connection, "g").catch((error: unknown) => error);
    await turns();
    await connection.close(soon());
    expect(await joining).toBeInstanceOf(Error);
    expect(world.rows("SELECT id FROM omnibus_process")).toEqual([{ id: 2 }]);
    expect(world.count("member")).toBe(0);
  });
});

describe("the first row of a process", () => {
  /** The file is another one, whose lock somebody holds: the connection is open and has no row there. */
  async function rowless(): Promise<{
    readonly world: SqliteWorld;
    readonly connection: DriverConnection;
    readonly free: () => void;
  }> {
    const { world, connection } = await taken();
    const backup = `${world.path}-backup`;
    const database = world.raw();
    database.exec(`VACUUM INTO '${backup}'`);
    database.close();
    rmSync(`${world.path}-wal`);
    rmSync(`${world.path}-shm`);
    renameSync(backup, world.path);
    const lock = world.raw();
    lock.exec("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE");
    const client = connection.client;
    await until(() => connection.client !== client, "the other file");
    return {
      world,
      connection,
      free: () => {
        lock.exec("COMMIT");
        lock.close();
      },
    };
  }

  it("is there before it takes a seat in the same transaction", async () => {
    const { world, connection, free } = await rowless();
    const joining = joinGroup(connection, "g");
    await turns(20);
    free();
    await joining;
    expect(world.rows(ghosts)).toEqual([]);
    expect(world.count("member")).toBe(1);
  });

  it("is made once, however often it is asked for before it is committed", async () => {
    const database = new Database({ path: newWorld().path, prefix: "t", synchronous: "FULL", create: true });
    const nothing = (): void => undefined;
    const events = { entered: nothing, blocked: nothing, unblocked: nothing, trouble: nothing, mark: nothing };
    const turn = new Turn(database, new ManualClock(), 1_000, { ...events, left: nothing });
    const joined: number[] = [];
    let fails = true;
    const join = (): number => {
      if (fails) throw new Error("refused");
      return joined.push(7) + 6;
    };
    const seating = new Seating({ turn, members: { join, renew: () => true } } as unknown as Store);
    await expect(Promise.all([seating.renew(), seating.renew()])).rejects.toThrow("refused");
    expect(seating.process).toBe(0);
    fails = false;
    await Promise.all([seating.renew(), seating.renew()]);
    await seating.renew();
    expect([seating.process, joined]).toEqual([7, [7]]);
    database.close();
  });
});
