import { describe, expect, it } from "vitest";
import { until } from "../../src/testing/until.ts";
import { groupSpec, joinGroup, numbered, outgoing, toTopic } from "../support/driver-harness.ts";
import { has, key, RedisGroups, stored } from "../support/redis-groups.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const server = await RedisGroups.open(await testBroker("redis", { own: true }));
const unknown = { count: undefined, reason: "gone from the stream before it was handled" };

const remove = (prefix: string): Promise<unknown> =>
  server!.command("DEL", key(prefix, "s:events:0"), key(prefix, "s:events:1"));

describe.skipIf(server === undefined)("what somebody deletes at the server of redis", () => {
  it.each(["none", "group"] as const)(
    "a stream: who reads it is told by what is published next, and has that (order: %s)",
    async (order) => {
      const prefix = freshPrefix();
      const one = await server!.connection(prefix);
      await one.ensureGroup(groupSpec("g", { order }));
      const first = await joinGroup(one, "g", { messages: 1, bytes: 1_000 });
      await stored(one, numbered(9));
      await has(first, 1);
      await remove(prefix);
      await stored(one, ["10"]);
      await stored(one, ["11"], { hash: 1 });
      first.consumption.ack(first.sink.messages); // and looks
      await until(() => first.sink.ends.length === 1, "its end");
      const again = await joinGroup(one, "g");
      await has(again, 2);
      expect(again.sink.texts.toSorted()).toEqual(["10", "11"]);
      expect([...first.sink.losses, ...again.sink.losses]).toEqual([unknown]);
    },
  );

  it("a stream: the first that joins finds it gone, and each group is told, whether it has a member or not", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    for (const group of ["g", "h"]) await one.ensureGroup(groupSpec(group));
    const first = await joinGroup(one, "g");
    await stored(one, numbered(4));
    await has(first, 4);
    first.consumption.ack(first.sink.messages);
    await first.consumption.flush();
    await remove(prefix);
    const second = await joinGroup(one, "g");
    const losses = (): unknown[] => [...first.sink.losses, ...second.sink.losses];
    await until(() => losses().length > 0, "one of them to be told");
    const other = await joinGroup(one, "h");
    await until(() => other.sink.losses.length > 0, "the other group to be told");
    expect([losses(), other.sink.losses]).toEqual([[unknown], [unknown]]);
    await other.consumption.close(AbortSignal.timeout(1_000));
    expect((await joinGroup(one, "h")).sink.losses).toEqual([]);
  });

  it("the consumer groups alone: nothing is lost, and nothing is said to be", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureGroup(groupSpec("g"));
    await stored(one, numbered(4));
    for (const p of ["0", "1"]) await server!.command("XGROUP", "DESTROY", key(prefix, `s:events:${p}`), "g");
    await stored(one, ["5"]);
    const member = await joinGroup(one, "g");
    await has(member, 5);
    expect(member.sink.losses).toEqual([]);
  });

  it("a stream that was full has room again", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureStream({ name: "few", topics: ["few.>"], maxMessages: 4, partitions: 1 });
    const sent = numbered(5).map((text) => outgoing(toTopic("few.a", "few"), text));
    one.send(sent.slice(0, 4).map(({ message }) => message));
    await until(() => sent[3]!.outcome === "stored", "it to be full");
    await one.ensureGroup(groupSpec("g", { stream: "few" })); // from now on nothing of it goes
    one.send([sent[4]!.message]);
    await until(() => sent[4]!.outcome === "no", "one more to be refused");
    await server!.command("DEL", key(prefix, "s:few:0"));
    await until(async () => {
      const again = outgoing(toTopic("few.a", "few"), "again");
      one.send([again.message]);
      await until(() => again.outcome !== "waiting", "an answer");
      return again.outcome === "stored";
    }, "there to be room");
  });

  it("an entry in somebody's hands: given back it is lost, and said to be", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureGroup(groupSpec("g"));
    const member = await joinGroup(one, "g");
    await stored(one, numbered(3));
    await has(member, 3);
    const [first, second] = member.sink.messages;
    for (const { position } of [first!, second!]) await server!.command("XDEL", key(prefix, "s:events:0"), position!);
    const retry = { how: "retry", message: first!, delayMs: 0, attempts: 1, headers: [] } as const;
    expect(await member.consumption.settle([retry])).toEqual(["done"]);
    await member.consumption.close(AbortSignal.timeout(1_000));
    const next = await joinGroup(one, "g");
    await has(next, 1);
    const losses = [...member.sink.losses, ...next.sink.losses];
    expect(losses.map(({ count }) => count)).toEqual(losses.length === 1 ? [2] : [1, 1]);
    expect(next.sink.texts).toEqual(["3"]);
    for (const part of ["note", "due"])
      expect([part, await server!.command("EXISTS", key(prefix, `g:g:${part}`))]).toEqual([part, 0]);
  });
});
