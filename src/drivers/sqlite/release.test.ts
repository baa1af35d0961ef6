import { describe, expect, it } from "vitest";
import {
  groupSpec,
  joinGroup,
  publish,
  turns,
  until,
  type TestConsumption,
} from "../../../test/support/driver-harness.ts";
import { newWorld } from "../../../test/support/sqlite-world.ts";
import type { DriverConnection, InMessage } from "../../driver.ts";

const hourMs = 3_600_000;

/** Members that release for an hour whatever they get. */
class Refusing {
  readonly #members: readonly TestConsumption[];
  readonly #released = new Set<InMessage>();

  constructor(members: readonly TestConsumption[]) {
    this.#members = members;
  }

  get runs(): readonly number[] {
    return this.#members.map(({ sink }) => sink.messages.length);
  }

  async releaseUntil(condition: () => boolean, what: string): Promise<void> {
    const open = (): readonly InMessage[] =>
      this.#members.flatMap(({ sink }) => sink.messages.filter((message) => !this.#released.has(message)));
    for (;;) {
      await until(
        () => condition() || open().length > 0,
        () => `${what}; they had it ${this.runs.join(", ")} times`,
      );
      if (condition()) return;
      for (const { sink, consumption } of this.#members) {
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

  it("rests when the only one who has not yet takes nothing", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    await connection.ensureGroup(groupSpec("g"));
    const other = (await world.connect({ streams: [] })).connection;
    const members = [await joinGroup(connection, "g")];
    await joinGroup(other, "g", { messages: 0, bytes: 0 });
    publish(connection, ["1"]);
    const refusing = new Refusing(members);
    const rests = (): boolean =>
      world.rows(`SELECT 1 FROM omnibus_held WHERE member IS NULL AND due > ${Date.now() + hourMs / 2}`).length === 1;
    await refusing.releaseUntil(rests, "it to come back once, then to rest");
    expect(refusing.runs).toEqual([2]);
  });
});
