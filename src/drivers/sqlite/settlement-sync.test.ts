import type { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { groupSpec, joinGroup, letterOf, publish, turns, until } from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { newWorld } from "../../../test/support/sqlite-world.ts";
import type { Consumption, InMessage } from "../../driver.ts";

type Ask = (consumption: Consumption, message: InMessage) => Promise<unknown>;

const letter: Ask = (consumption, message) =>
  consumption.settle([{ how: "dead", message, letter: letterOf(message, "g") }]);
const note: Ask = (consumption, message) =>
  consumption.record([{ message, attempts: 1, notBefore: 60_000, headers: [] }]);
const aboutToRun: Ask = (consumption, message) =>
  consumption.record([{ message, attempts: 1, notBefore: undefined, headers: [] }]);
const retry: Ask = (consumption, message) =>
  consumption.settle([{ how: "retry", message, delayMs: 60_000, attempts: 1, headers: [] }]);
const release: Ask = (consumption, message) =>
  consumption.settle([{ how: "release", message, delayMs: 60_000, headers: [] }]);

/** SQLite's own level is the proof here; test/recovery/sqlite-fsync.test.ts looks at the calls of the system, where strace is. */
describe.each([
  ["none", [letter, note, retry, release]],
  ["group", [letter, note]],
] as const)("in a group of order %s", (order, asks) => {
  it("what a member is promised is answered only after a commit that was synced", async () => {
    const world = newWorld();
    const { connection } = await world.connect({ clock: new ManualClock() }); // no sync because it is time for one
    await connection.ensureGroup(groupSpec("g", { order }));
    const { sink, consumption } = await joinGroup(connection, "g");
    const client = connection.client as DatabaseSync;
    const exec = client.exec.bind(client);
    let relaxed = 0;
    client.exec = (sql) => {
      if (sql.endsWith("= NORMAL")) relaxed += 1;
      exec(sql);
    };
    for (const ask of asks) {
      publish(connection, ["text"]);
      const before = sink.messages.length;
      await until(() => sink.messages.length > before, "the message");
      relaxed = 0;
      expect(await ask(consumption, sink.messages.at(-1)!)).toEqual(["done"]);
      expect(relaxed).toBe(0);
      consumption.ack(sink.messages.slice(-1));
      await consumption.flush();
    }
    publish(connection, ["text"]);
    await until(() => sink.messages.length === asks.length + 1, "the last message");
    relaxed = 0;
    consumption.ack(sink.messages.slice(-1));
    await consumption.flush();
    expect(relaxed).toBe(1); // what is only done isn't
    publish(connection, ["text"]);
    await until(() => sink.messages.length === asks.length + 2, "one more");
    relaxed = 0;
    expect(await aboutToRun(consumption, sink.messages.at(-1)!)).toEqual(["done"]);
    expect(relaxed).toBe(1); // and what is about to run has only to outlive the process
  });
});

it("what is only done is synced half a second later, by a commit that has something to write", async () => {
  const world = newWorld();
  const clock = new ManualClock();
  const { connection } = await world.connect({ clock });
  await connection.ensureGroup(groupSpec("g"));
  const { sink, consumption } = await joinGroup(connection, "g");
  publish(connection, ["text"]);
  await until(() => sink.messages.length === 1, "the message");
  consumption.ack(sink.messages);
  await consumption.flush();
  const beat = (): unknown => world.rows("SELECT beat FROM omnibus_process")[0]!["beat"];
  clock.advance(450);
  await turns();
  expect(beat()).toBe(0);
  clock.advance(100);
  await until(() => beat() === 1, "a commit");
  clock.advance(2_000);
  await turns();
  expect(beat()).toBe(1);
});
