import { describe, expect, it } from "vitest";
import { systemClock, type Clock } from "../../src/clock.ts";
import { redis } from "../../src/drivers/redis/index.ts";
import { fetchScript } from "../../src/drivers/redis/scripts/fetch.ts";
import { noteScript } from "../../src/drivers/redis/scripts/note.ts";
import { settleScript } from "../../src/drivers/redis/scripts/settle.ts";
import { FaultProxy } from "../../src/testing/index.ts";
import { until as eventually } from "../../src/testing/until.ts";
import { connectTo, groupSpec, joinGroup, until } from "../support/driver-harness.ts";
import { has, key, minute, RedisGroups, stored } from "../support/redis-groups.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const server = await RedisGroups.open(await testBroker("redis"));

describe.skipIf(server === undefined)("what redis keeps beside a message and a member", () => {
  it("says when to handle a message again by the server's clock: another one's may be an hour ahead", async () => {
    const prefix = freshPrefix();
    const other = await server!.connection(prefix);
    const clock: Clock = { ...systemClock, now: () => Date.now() + 3_600_000 };
    const { connection } = await connectTo(redis({ url: server!.url }), { prefix, clock });
    try {
      await other.ensureGroup(groupSpec("g", { order: "group" }));
      const first = await joinGroup(connection, "g");
      await stored(other, ["1", "2"]);
      await has(first, 2);
      const [one, two] = first.sink.messages;
      await first.consumption.record([
        { message: one!, attempts: 1, notBefore: clock.now() + 20_000, headers: [] },
        { message: two!, attempts: 2, notBefore: undefined, headers: [["h", "v"]] },
      ]);
      await first.consumption.close(AbortSignal.timeout(1_000));
      const second = await joinGroup(other, "g");
      await has(second, 2);
      const [again, next] = second.sink.messages;
      const left = again!.notBefore! - Date.now();
      expect(left).toBeGreaterThan(10_000);
      expect(left).toBeLessThanOrEqual(20_000);
      expect([again!.attempts, next!.attempts, next!.notBefore, next!.header("h")]).toEqual([1, 2, undefined, "v"]);
    } finally {
      await connection.close(AbortSignal.timeout(500));
    }
  });

  it.each(["record", "retry"] as const)(
    "goes with the message when it is not known whether it was written: %s",
    async (how) => {
      const prefix = freshPrefix();
      const other = await server!.connection(prefix);
      await other.ensureGroup(groupSpec("g", { order: how === "record" ? "group" : "none" }));
      await using proxy = await FaultProxy.start(server!.url);
      const one = await server!.connection(prefix, { url: proxy.url(server!.url) });
      const member = await joinGroup(one, "g");
      await stored(other, ["1"]);
      await has(member, 1);
      const message = member.sink.messages[0]!;
      const notes = async (): Promise<unknown> => await server!.command("HLEN", key(prefix, "g:g:note"));
      const script = how === "record" ? noteScript : settleScript;
      const swallowed = proxy.swallowReply({ request: script.source.slice(-80) });
      const said = { message, attempts: 1, headers: [["done", "a"]] } as const;
      if (how === "record")
        await expect(member.consumption.record([{ ...said, notBefore: undefined }])).rejects.toThrow(
          /socket|disconnects|reset/i,
        );
      else expect(await member.consumption.settle([{ how, delayMs: minute, ...said }])).toEqual(["unknown"]);
      expect([await swallowed, await notes()]).toEqual([true, 1]);
      member.consumption.ack([message]);
      await member.consumption.flush();
      expect(await notes()).toBe(0);
    },
  );

  it("says that messages were lost, also when the answer that said it is lost, and once", async () => {
    const prefix = freshPrefix();
    const other = await server!.connection(prefix);
    await other.ensureGroup(groupSpec("g"));
    await using proxy = await FaultProxy.start(server!.url);
    const one = await server!.connection(prefix, { url: proxy.url(server!.url) });
    const member = await joinGroup(one, "g");
    await stored(other, ["1", "2"]);
    await has(member, 2);
    const lose = async (at: number): Promise<void> => {
      const message = member.sink.messages[at]!;
      await server!.command("XDEL", key(prefix, "s:events:0"), message.position!);
      await member.consumption.settle([{ how: "retry", message, delayMs: minute, attempts: 1, headers: [] }]);
    };
    await lose(0);
    const swallowed = proxy.swallowReply({ request: fetchScript.sha });
    await stored(other, ["3"]);
    expect(await swallowed).toBe(true);
    await has(member, 3);
    await until(() => member.sink.losses.length > 0, "the loss to be said");
    await lose(1);
    await stored(other, ["4"]);
    await has(member, 4);
    await until(() => member.sink.losses.length > 1, "the second one to be said");
    proxy.reset();
    await stored(other, ["5"]);
    await has(member, 5);
    expect(member.sink.losses.map(({ count }) => count)).toEqual([1, 1]);
  });

  it.each([
    ["with the answer lost: another one is told", [1]],
    ["after it said that it heard: nobody is told again", []],
  ] as const)("says that messages were lost when who was told of it dies %s", async (_how, expected) => {
    const prefix = freshPrefix();
    const other = await server!.connection(prefix);
    await other.ensureGroup(groupSpec("g"));
    await using proxy = await FaultProxy.start(server!.url);
    const one = await server!.connection(prefix, { url: proxy.url(server!.url), leaseMs: 1_000 });
    const member = await joinGroup(one, "g");
    await stored(other, ["1"]);
    await has(member, 1);
    const [message] = member.sink.messages;
    await server!.command("XDEL", key(prefix, "s:events:0"), message!.position!);
    await member.consumption.settle([{ how: "retry", message: message!, delayMs: minute, attempts: 1, headers: [] }]);
    const told = key(prefix, "g:g:told");
    if (expected.length > 0) {
      const swallowed = proxy.swallowReply({ request: fetchScript.sha });
      proxy.refuse(); // it does not come back
      await stored(other, ["2"]);
      expect(await swallowed).toBe(true);
    } else {
      await stored(other, ["2"]);
      await until(() => member.sink.losses.length > 0, "the loss to be said");
      await eventually(async () => Number(await server!.command("HLEN", told)) === 2, "it to say that it heard");
      proxy.down();
    }
    const [seat = ""] = await server!.seats(prefix);
    await server!.endLease(prefix, seat);
    const next = await joinGroup(other, "g");
    await has(next, 1);
    await stored(other, ["3"]);
    await has(next, 2);
    expect(next.sink.losses.map(({ count }) => count)).toEqual(expected);
    expect(await server!.command("EXISTS", told)).toBe(expected.length);
  });

  it.each(["deleted", "left"] as const)("goes with a stream that is %s", async (how) => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureStream({ name: "more", topics: ["more.>"], partitions: 1 });
    const reads = ["events", "more"].map((stream) => ({ stream, patterns: [">"] }));
    await one.ensureGroup({ ...groupSpec("g"), reads });
    const member = await joinGroup(one, "g");
    await stored(one, ["1", "2", "3"]);
    await has(member, 3);
    const said = member.sink.messages.map((message) => ({ message, attempts: 1, headers: [] }));
    await member.consumption.record(said.map((each) => ({ ...each, notBefore: undefined })));
    await member.consumption.settle([{ how: "release", delayMs: minute, ...said[0]! }]);
    const kept = (): Promise<readonly unknown[]> =>
      Promise.all(["note", "hop"].map((name) => server!.command("HLEN", key(prefix, `g:g:${name}`))));
    expect(await kept()).toEqual([3, 1]);
    if (how === "deleted") await one.admin.deleteStream("events");
    else await one.admin.updateGroup("g", reads.slice(1));
    expect(await kept()).toEqual([0, 0]);
  });
});
