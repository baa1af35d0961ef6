import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  groupSpec,
  joinGroup,
  numbered,
  publish,
  toTopic,
  turns,
  until,
  wide,
  type TestConsumption,
} from "../../../test/support/driver-harness.ts";
import { newWorld, type SqliteWorld } from "../../../test/support/sqlite-world.ts";
import type { DriverConnection, InMessage } from "../../driver.ts";
import { ClaimReader } from "./claim-reader.ts";
import { Database } from "./database.ts";
import { HeldStore } from "./held-store.ts";

afterEach(() => void vi.restoreAllMocks());

const hourMs = 3_600_000;

/** Members that release for an hour whatever they get. */
class Refusing {
  readonly members: readonly TestConsumption[];
  readonly #released = new Set<InMessage>();

  constructor(members: readonly TestConsumption[]) {
    this.members = members;
  }

  get runs(): readonly number[] {
    return this.members.map(({ sink }) => sink.messages.length);
  }

  async releaseUntil(condition: () => boolean, what: string): Promise<void> {
    const open = (): readonly InMessage[] =>
      this.members.flatMap(({ sink }) => sink.messages.filter((message) => !this.#released.has(message)));
    for (;;) {
      await until(
        () => condition() || open().length > 0,
        () => `${what}; they had it ${this.runs.join(", ")} times`,
      );
      if (condition()) return;
      for (const { sink, consumption } of this.members) {
        for (const message of sink.messages) {
          if (this.#released.has(message)) continue;
          this.#released.add(message);
          await consumption.settle([{ how: "release", message, delayMs: hourMs, headers: [["hops", "1"]] }]);
        }
      }
    }
  }
}

describe("a message that members of an unordered group release", () => {
  it("goes to each who has not yet without waiting, then rests, and goes to one who joins at once", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    await connection.ensureGroup(groupSpec("g"));
    const others: DriverConnection[] = [];
    for (let n = 0; n < 3; n += 1) others.push((await world.connect({ streams: [] })).connection);
    const [second, third, late] = others as [DriverConnection, DriverConnection, DriverConnection];
    const members = [await joinGroup(connection, "g"), await joinGroup(second, "g"), await joinGroup(third, "g")];
    const refusing = new Refusing(members);
    publish(connection, ["1"]);
    const rests = (): boolean =>
      world.rows(`SELECT 1 FROM omnibus_held WHERE member IS NULL AND due > ${Date.now() + hourMs / 2}`).length === 1;
    await refusing.releaseUntil(rests, "each to have it once, then it rests");
    await turns(20);
    expect(refusing.runs).toEqual([1, 1, 1]);
    expect(world.rows("SELECT deliveries FROM omnibus_held")).toEqual([{ deliveries: 0 }]);

    const newcomer = await joinGroup(late, "g");
    await refusing.releaseUntil(() => newcomer.sink.messages.length === 1, "the new one to have it");
    const [message] = newcomer.sink.messages;
    expect([message!.deliveries, message!.attempts, message!.note("hops")]).toEqual([1, 0, "1"]);
    newcomer.consumption.ack([message!]);
    await newcomer.consumption.flush();
    expect(world.count("held")).toBe(0);
  });

  /** One member that releases what it gets, and another without room. */
  async function busyOther(): Promise<{
    readonly world: SqliteWorld;
    readonly connection: DriverConnection;
    readonly other: DriverConnection;
    readonly refusing: Refusing;
    readonly able: TestConsumption;
  }> {
    const world = newWorld();
    const { connection } = await world.connect();
    await connection.ensureGroup(groupSpec("g"));
    const other = (await world.connect({ streams: [] })).connection;
    const refusing = new Refusing([await joinGroup(connection, "g")]);
    const able = await joinGroup(other, "g", { messages: 0, bytes: 0 });
    return { world, connection, other, refusing, able };
  }
  const released = "SELECT 1 FROM omnibus_held WHERE member IS NULL";
  /** As if it had been released before the time for which others are preferred. */
  function passTime(world: SqliteWorld): void {
    const raw = world.raw();
    raw.exec("UPDATE omnibus_held SET due = due - 20000");
    raw.close();
  }

  it("rests for who released it, and goes at once to one who finds room meanwhile", async () => {
    const { world, connection, refusing, able } = await busyOther();
    publish(connection, ["1"]);
    await refusing.releaseUntil(() => world.rows(released).length === 1, "it to be released");
    passTime(world);
    await sleep(50);
    await refusing.releaseUntil(() => world.rows(released).length === 1, "it to be released for good");
    expect(refusing.runs).toEqual([1]);
    able.consumption.window(wide);
    await until(() => able.sink.messages.length === 1, "the one with room to have it");
    expect(able.sink.messages[0]!.notBefore).toBeUndefined();
    expect(refusing.runs).toEqual([1]);
  });

  it("comes back to who released it after the delay, and goes at once to the other all the same", async () => {
    const { world, connection, refusing, able } = await busyOther();
    publish(connection, ["1"]);
    await refusing.releaseUntil(() => world.rows(released).length === 1, "it to be released");
    const raw = world.raw();
    raw.exec(`UPDATE omnibus_held SET due = due - 20000, not_before = not_before - ${hourMs}`);
    raw.close();
    await refusing.releaseUntil(
      () => refusing.runs[0] === 2 && world.rows(released).length === 1,
      "it to be released again",
    );
    passTime(world);
    await sleep(50);
    expect(refusing.runs).toEqual([2]);
    able.consumption.window(wide);
    await until(() => able.sink.messages.length === 1, "the one with room to have it");
  });

  it("is one that its member is not woken for while it may not take it", async () => {
    const { world, connection, other, refusing } = await busyOther();
    await other.ensureStream({ name: "elsewhere", topics: ["elsewhere.>"] }, false);
    publish(connection, ["1"]);
    await refusing.releaseUntil(() => world.rows(released).length === 1, "it to be released");
    passTime(world);
    await sleep(50);
    const claims = vi.spyOn(ClaimReader.prototype, "claim");
    const looks = vi.spyOn(ClaimReader.prototype, "anything");
    for (let n = 0; n < 20; n += 1) {
      publish(other, [`${n}`], { to: toTopic("elsewhere.x", "elsewhere") });
      await sleep(10);
    }
    expect(looks.mock.calls.length).toBeGreaterThan(0);
    expect(looks.mock.calls.length).toBeLessThan(400);
    expect(claims).not.toHaveBeenCalled();
  });

  it("delays no retry that is due while many others rest", async () => {
    const { world, connection, refusing } = await busyOther();
    publish(connection, numbered(40));
    await refusing.releaseUntil(() => world.rows(released).length === 40, "all to be released");
    passTime(world);
    const [resting] = world.rows("SELECT grp, avoid, min(not_before) AS until FROM omnibus_held");
    const self = (resting!["avoid"] as string).slice(0, -1);
    const database = new Database({ path: world.path, prefix: "omnibus", synchronous: "FULL", create: false });
    const held = new HeldStore(database);
    const next = (member: string): number | undefined => held.next(resting!["grp"] as number, Date.now(), member);
    expect(next(self)).toBe(resting!["until"]);
    expect(next("another")).toBeLessThan(Date.now());

    const [{ consumption, sink }] = refusing.members as [TestConsumption];
    publish(connection, ["retried"]);
    await until(() => sink.messages.length === 41, "the last");
    await consumption.settle([{ how: "retry", message: sink.messages[40]!, delayMs: 1_000, attempts: 1, headers: [] }]);
    const [retry] = world.rows("SELECT due FROM omnibus_held WHERE avoid IS NULL");
    expect(next(self)).toBe(retry!["due"]);
    await until(() => sink.messages.length === 42, "the retry");
    expect(sink.messages[41]!.attempts).toBe(1);
    expect(next(self)).toBe(resting!["until"]);
    database.close();
  });
});
