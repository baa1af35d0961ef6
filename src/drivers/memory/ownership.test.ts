import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  connectTo,
  groupSpec,
  joinGroup,
  letterOf,
  numbered,
  outgoing,
  publish,
  textOf,
  toQueue,
  turns,
  until,
  wide,
  type TestConsumption,
} from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import type { DriverConnection } from "../../driver.ts";
import { memory } from "./index.ts";

const live = new AbortController().signal;

async function start(
  partitions = 4,
): Promise<{ readonly clock: ManualClock; readonly connection: DriverConnection; readonly other: DriverConnection }> {
  const clock = new ManualClock();
  const driver = memory();
  const { connection } = await connectTo(driver, { clock, member: "a" });
  const { connection: other } = await connectTo(driver, { clock, member: "b" });
  await connection.ensureStream({ name: "events", topics: [">"], partitions }, false);
  await connection.ensureGroup(groupSpec("g", { order: "group" }));
  return { clock, connection, other };
}

/** Which partitions of the stream each member has. */
async function owned(connection: DriverConnection): Promise<readonly (readonly number[] | undefined)[]> {
  return (await connection.admin.members("g")).map(({ partitions }) => partitions);
}

describe("partitions of an ordered group", () => {
  it("are all of the only member's, and are shared out when another joins", async () => {
    const { connection, other } = await start(5);
    await joinGroup(connection, "g");
    expect(await owned(connection)).toEqual([[0, 1, 2, 3, 4]]);
    await joinGroup(other, "g");
    const shares = await owned(connection);
    expect(shares.map((share) => share!.length)).toEqual([3, 2]);
    expect(shares.flat().toSorted((left, right) => left! - right!)).toEqual([0, 1, 2, 3, 4]);
  });

  it("go to those who are left when a member closes, with what it had not settled first and in order", async () => {
    const { connection, other } = await start(2);
    const one = await joinGroup(connection, "g");
    publish(connection, numbered(6), { hash: 0 });
    await until(() => one.sink.messages.length === 6, "all");
    one.consumption.ack([one.sink.messages[0]!, one.sink.messages[3]!]);
    const two = await joinGroup(other, "g");
    await one.consumption.close(live);
    publish(connection, ["7"], { hash: 0 });
    await until(() => two.sink.messages.length === 5, "what is left");
    expect(two.sink.texts).toEqual(["2", "3", "5", "6", "7"]);
    expect(two.sink.messages.map(({ deliveries }) => deliveries)).toEqual([1, 1, 1, 1, 1]);
  });

  it("change hands only when the old owner has settled what it had of them", async () => {
    const { connection, other } = await start(2);
    const one = await joinGroup(connection, "g");
    publish(connection, ["a1", "a2"], { hash: 0 });
    publish(connection, ["b1", "b2"], { hash: 1 });
    await until(() => one.sink.messages.length === 4, "all");
    const two = await joinGroup(other, "g");
    publish(connection, ["a3"], { hash: 0 });
    publish(connection, ["b3"], { hash: 1 });
    // One of the two moves; until it is drained nobody gets more of it.
    await until(() => one.sink.messages.length === 5, "what stays");
    await turns();
    expect(two.sink.messages).toHaveLength(0);
    const stays = one.sink.messages[4]!.partition;
    const moves = one.sink.messages.filter(({ partition }) => partition !== stays);
    one.consumption.ack([moves[0]!]);
    await turns();
    expect(two.sink.messages).toHaveLength(0);
    one.consumption.ack([moves[1]!]);
    await until(() => two.sink.messages.length === 1, "the hand-over");
    expect(one.sink.revocations).toContainEqual({ partition: moves[0]!.partition });
    expect(two.sink.messages[0]!.partition).toBe(moves[0]!.partition);
  });

  it("change hands at once when what the old owner has of them waits for its next attempt", async () => {
    const { connection, other, clock } = await start(16);
    const one = await joinGroup(connection, "g");
    connection.send(["1", "2"].map((text) => outgoing(toQueue("g"), text, { key: "k", hash: 15 }).message));
    await until(() => one.sink.messages.length === 2, "both");
    await one.consumption.record([
      { message: one.sink.messages[0]!, attempts: 1, notBefore: clock.now() + 60_000, headers: [["done", "h"]] },
    ]);
    const two = await joinGroup(other, "g");
    const moved = (await owned(connection))[1]!.includes(15);
    expect(moved).toBe(true);
    await until(() => two.sink.messages.length === 2, "both at the new owner");
    expect(
      two.sink.messages.map((message) => [
        textOf(message),
        message.attempts,
        message.deliveries,
        message.notBefore !== undefined,
      ]),
    ).toEqual([
      ["1", 1, 1, true],
      ["2", 0, 1, false],
    ]);
    expect(one.sink.revocations).toContainEqual({ partition: ":queue/15" });
    expect(
      await one.consumption.record([
        { message: one.sink.messages[0]!, attempts: 2, notBefore: undefined, headers: [] },
      ]),
    ).toEqual(["stale"]);
  });

  it("leave a member that stopped, as they drain", async () => {
    const { connection, other } = await start(2);
    const one = await joinGroup(connection, "g");
    publish(connection, ["a"], { hash: 0 });
    await until(() => one.sink.messages.length === 1, "it");
    const two = await joinGroup(other, "g");
    await one.consumption.stop();
    publish(connection, ["b"], { hash: 1 });
    await until(() => two.sink.messages.length === 1, "the drained partition");
    publish(connection, ["c"], { hash: 0 });
    await turns();
    expect(two.sink.texts).toEqual(["b"]);
    one.consumption.ack(one.sink.messages);
    await until(() => two.sink.texts.includes("c"), "the other partition");
  });

  it("take nothing from a former owner", async () => {
    const { connection, other } = await start(1);
    const one = await joinGroup(connection, "g");
    publish(connection, ["1"]);
    await until(() => one.sink.messages.length === 1, "it");
    await connection.close(AbortSignal.abort());
    const two = await joinGroup(other, "g");
    await until(() => two.sink.messages.length === 1, "it again");
    one.consumption.ack(one.sink.messages);
    expect(
      await one.consumption.settle([
        { how: "dead", message: one.sink.messages[0]!, letter: letterOf(one.sink.messages[0]!, "g") },
      ]),
    ).toEqual(["stale"]);
    expect((await other.admin.groups())[0]).toMatchObject({ inFlight: 1 });
    expect(two.sink.messages[0]!.deliveries).toBe(2);
  });

  it("are shared out for each stream", async () => {
    const { connection, other } = await start(2);
    await joinGroup(connection, "g");
    await joinGroup(other, "g");
    expect((await owned(connection)).map((share) => share!.length)).toEqual([1, 1]);
    await connection.ensureStream({ name: "wide", topics: ["wide.>"], partitions: 40 }, false);
    await connection.ensureGroup(groupSpec("g", { order: "group", stream: "wide" }));
    for (const share of await owned(connection))
      expect(share!.filter((number) => number >= 2).length).toBeGreaterThanOrEqual(18);
    await connection.admin.deleteStream("wide");
    expect((await owned(connection)).map((share) => share!.length)).toEqual([1, 1]);
  });

  it("hold back what follows a message that was settled for retry all the same", async () => {
    const { connection, clock } = await start(1);
    const { sink, consumption } = await joinGroup(connection, "g", { messages: 1, bytes: 1_000 });
    publish(connection, ["1", "2"]);
    await until(() => sink.messages.length === 1, "the first");
    await consumption.settle([{ how: "retry", message: sink.messages[0]!, delayMs: 100, attempts: 1, headers: [] }]);
    await turns();
    expect(sink.messages).toHaveLength(1);
    clock.advance(100);
    await until(() => sink.messages.length === 2, "the retry");
    expect(sink.texts).toEqual(["1", "1"]);
  });
});

describe("order and hand-over under random joins, leaves and settlements", () => {
  it("never shows a key out of order or to two members at once, and loses nothing", async () => {
    const step = fc.constantFrom("publish", "publish", "ack", "ack", "join", "close", "abandon", "stop");
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), fc.integer(), async (steps, seed) => {
        const clock = new ManualClock({ seed });
        const driver = memory();
        const { connection } = await connectTo(driver, { clock });
        await connection.ensureStream({ name: "events", topics: [">"], partitions: 3 }, false);
        await connection.ensureGroup(groupSpec("g", { order: "group" }));
        const members: (TestConsumption & { acked: number })[] = [];
        let published = 0;
        const settled: number[][] = [[], [], []];
        const pick = (count: number) => Math.floor(clock.random() * count);
        const join = async () =>
          void members.push({ ...(await joinGroup(connection, "g", { messages: 4, bytes: 1_000 })), acked: 0 });
        const ack = (member: TestConsumption & { acked: number }) => {
          const message = member.sink.messages[member.acked];
          if (message === undefined) return;
          member.acked += 1;
          const number = Number(textOf(message));
          const before = settled[number % 3]!;
          // A later one must not be settled before an earlier one of its partition.
          if (before.includes(number)) throw new Error(`${number} was settled twice`);
          if (number !== (before.at(-1) ?? (number % 3) - 3) + 3) throw new Error(`${number} after ${before.at(-1)}`);
          before.push(number);
          member.consumption.ack([message]);
        };
        await join();
        for (const what of steps) {
          const member = members[pick(members.length)];
          if (what === "publish") publish(connection, [String(published)], { hash: published++ % 3 });
          else if (what === "join" && members.length < 5) await join();
          else if (what === "ack" && member !== undefined) ack(member);
          else if (what === "stop" && member !== undefined) await member.consumption.stop();
          else if ((what === "close" || what === "abandon") && member !== undefined) {
            members.splice(members.indexOf(member), 1);
            await member.consumption.close(what === "abandon" ? AbortSignal.abort() : live);
          }
          if (pick(2) === 0) await turns(2);
        }
        for (const member of members) await member.consumption.close(live);
        const last = { ...(await joinGroup(connection, "g", wide)), acked: 0 };
        const left = published - settled.flat().length;
        await until(
          () => last.sink.messages.length === left,
          () => `${left} left, ${last.sink.messages.length} seen`,
        );
        while (last.acked < left) ack(last);
        expect(settled.flat()).toHaveLength(published);
      }),
      { numRuns: 60 },
    );
  }, 60_000);
});
