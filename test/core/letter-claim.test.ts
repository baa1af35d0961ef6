import { describe, expect, it } from "vitest";
import type { DriverConnection } from "../../src/driver.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { UuidSource } from "../../src/internal/uuid.ts";
import { claimMs, LetterClaim } from "../../src/letter-claim.ts";
import type { Broker } from "../../src/supervisor.ts";
import { TimerWheel } from "../../src/timer-wheel.ts";
import { connectTo, groupSpec, joinGroup, letterOf, publish, turns, until } from "../support/driver-harness.ts";
import { ManualClock } from "../support/manual-clock.ts";

/** A store with so many letters, on a clock that stands still, and somebody who claims some of them. */
async function withLetters(count: number, answering = (connection: DriverConnection) => connection) {
  const clock = new ManualClock();
  const driver = memory();
  const { connection } = await connectTo(driver, { clock });
  await connection.ensureStream({ name: "events", topics: [">"] }, false);
  await connection.ensureGroup(groupSpec("g", { order: "none" }));
  const { sink, consumption } = await joinGroup(connection, "g");
  publish(
    connection,
    Array.from({ length: count }, (_, n) => `text ${n}`),
  );
  await until(() => sink.messages.length === count, "the messages");
  await consumption.settle(sink.messages.map((message) => ({ how: "dead", message, letter: letterOf(message, "g") })));
  const ids = (await connection.admin.letters("g", undefined, 10)).map(({ id }) => id);
  const active = answering(connection);
  const broker: Broker = { driver, active, ready: () => Promise.resolve(active), whenBack: new Set() };
  const claim = new LetterClaim({ ids: new UuidSource(clock), wheel: new TimerWheel(clock) }, broker);
  /** What another operator would get; given back at once. */
  const free = async (): Promise<readonly string[]> => {
    const got = await connection.admin.claimLetters(ids, "other", 1);
    clock.advance(1);
    return got;
  };
  /** As time goes by: in steps, with what happens in each. */
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 100) {
      clock.advance(100);
      await turns(2);
    }
  };
  return { ids, claim, free, pass, connection };
}

describe("an operator's claim of letters", () => {
  it("is renewed for as long as it is held, and free at once when it is given up", async () => {
    const { ids, claim, free, pass } = await withLetters(3);
    expect(await claim.take(ids)).toEqual(ids);
    await pass(3 * claimMs);
    expect(await free()).toEqual([]);
    await claim.remove(ids[0]!);
    await claim.giveUp();
    expect(await free()).toEqual(ids.slice(1));
    await pass(claimMs);
    expect(await free()).toEqual(ids.slice(1)); // and renewed no more
  });

  it("is asked to be renewed once at a time, however long the broker takes", async () => {
    let asked = 0;
    const { ids, claim, pass } = await withLetters(1, (connection) => {
      const { admin } = connection;
      const claimLetters = admin.claimLetters.bind(admin);
      admin.claimLetters = (which, token, leaseMs) => {
        asked += 1;
        return asked === 1 ? claimLetters(which, token, leaseMs) : new Promise(() => undefined);
      };
      return connection;
    });
    await claim.take(ids);
    await pass(4 * claimMs);
    expect(asked).toBe(2);
  });
});
