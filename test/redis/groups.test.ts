import { describe, expect, it } from "vitest";
import type { InMessage } from "../../src/driver.ts";
import { ackScript } from "../../src/drivers/redis/scripts/ack.ts";
import { fetchScript } from "../../src/drivers/redis/scripts/fetch.ts";
import { FaultProxy, until as eventually } from "../../src/testing/index.ts";
import {
  codeOf,
  consume,
  groupSpec,
  joinGroup,
  letterOf,
  numbered,
  type TestConsumption,
  textOf,
  until,
} from "../support/driver-harness.ts";
import { countsOf, has, key, stored, RedisGroups } from "../support/redis-groups.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const server = await RedisGroups.open(await testBroker("redis", { own: true }));

describe.skipIf(server === undefined).each(["none", "group"] as const)("a group on redis (order: %s)", (order) => {
  const spec = groupSpec("g", { order });

  it("an answer with messages that is lost: all of them come all the same, once, in order, and count as never handed out", async () => {
    const prefix = freshPrefix();
    const other = await server!.connection(prefix);
    await other.ensureGroup(spec);
    await using proxy = await FaultProxy.start(server!.url);
    const one = await server!.connection(prefix, { url: proxy.url(server!.url) });
    const member = await joinGroup(one, "g");
    await stored(other, ["1"]);
    await has(member, 1);
    const swallowed = proxy.swallowReply({ request: fetchScript.sha, reply: /[\s\S]*\ba\.b\b/ });
    await stored(other, numbered(20, 2), { key: "k" });
    expect(await swallowed).toBe(true);
    await has(member, 21);
    await stored(other, ["22"]);
    await has(member, 22);
    expect(member.sink.texts).toEqual(numbered(22));
    expect(new Set(member.sink.messages.map(({ deliveries }) => deliveries))).toEqual(new Set([1]));
    expect(member.sink.revocations).toEqual([]);
  });

  it("an acknowledgement whose answer is lost counts, and one that was not sent is sent later", async () => {
    const prefix = freshPrefix();
    await using proxy = await FaultProxy.start(server!.url);
    const one = await server!.connection(prefix, { url: proxy.url(server!.url) });
    await one.ensureGroup(spec);
    const member = await joinGroup(one, "g");
    await stored(one, numbered(4));
    await has(member, 4);
    member.consumption.ack(member.sink.messages.slice(0, 1));
    await member.consumption.flush();
    const swallowed = proxy.swallowReply({ request: ackScript.sha });
    member.consumption.ack(member.sink.messages.slice(1, 2));
    expect(await swallowed).toBe(true);
    member.consumption.ack(member.sink.messages.slice(2));
    await member.consumption.flush();
    expect(await countsOf(await server!.connection(prefix))).toEqual([0, 0]);
    expect(member.sink.messages).toHaveLength(4);
    expect(member.sink.floors.get("events/0")).toBe(member.sink.messages.at(-1)!.position);
  });

  it("goes on over a line that breaks again and again, and hands out nothing twice", async () => {
    const prefix = freshPrefix();
    const other = await server!.connection(prefix);
    await other.ensureGroup(spec);
    await using proxy = await FaultProxy.start(server!.url);
    const one = await server!.connection(prefix, { url: proxy.url(server!.url) });
    const member = await joinGroup(one, "g");
    let acked = 0;
    const ack = (): void => {
      member.consumption.ack(member.sink.messages.slice(acked));
      acked = member.sink.messages.length;
    };
    for (let round = 0; round < 8; round += 1) {
      await stored(other, numbered(50, round * 50 + 1));
      ack();
      proxy.reset();
      if (round % 2 === 0) await has(member, acked + 1);
      ack();
    }
    await has(member, 400);
    ack();
    await member.consumption.flush();
    expect(member.sink.texts.toSorted((a, b) => Number(a) - Number(b))).toEqual(numbered(400));
    expect(await countsOf(other)).toEqual([0, 0]);
  });

  it("a seat whose lease ended: all it holds is taken away and counted, what it still says does not count, and it joins again", async () => {
    const prefix = freshPrefix();
    const [one, two] = [await server!.connection(prefix), await server!.connection(prefix)];
    await one.ensureGroup(spec);
    const first = await joinGroup(one, "g");
    await stored(one, numbered(4));
    await has(first, 4);
    const [seat] = await server!.seats(prefix);
    const held = [...first.sink.messages];
    await one.admin.groups(); // whatever is under way is over
    await server!.endLease(prefix, seat!);
    const second = await joinGroup(two, "g");
    // settled by the one who was buried
    first.consumption.ack(held.slice(0, 2));
    const late = first.consumption.settle([{ how: "dead", message: held[2]!, letter: letterOf(held[2]!, "g") }]);
    expect(await late).toEqual(["stale"]);
    const gone = first.sink.revocations.flatMap((each) => ("partition" in each ? [] : each.map(textOf)));
    if (order === "none") expect(gone).toEqual(["3", "4"]);
    else expect(first.sink.revocations).toContainEqual({ partition: "events/0" });
    const taken = (): readonly InMessage[] =>
      [...second.sink.messages, ...first.sink.messages.slice(4)].toSorted((a, b) => (textOf(a) < textOf(b) ? -1 : 1));
    await until(
      () => taken().length === 4,
      () => `4 to be taken over; ${taken().length} were`,
    );
    expect(taken().map((message) => [textOf(message), message.deliveries])).toEqual(numbered(4).map((n) => [n, 2]));
    expect(await one.admin.countLetters("g")).toBe(0);
    expect(first.sink.ends).toEqual([]);
    await eventually(async () => {
      const seats = await server!.seats(prefix);
      return seats.length === 2 && !seats.includes(seat!);
    }, "another seat");
    for (const { consumption, sink } of [first, second]) consumption.ack(sink.messages);
    for (const { consumption } of [first, second]) await consumption.flush();
    expect(await countsOf(one)).toEqual([0, 0]);
  });

  it("what a member that closes has in hand comes to the next as if it had not been handed out, with its notes", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureGroup(spec);
    const first = await joinGroup(one, "g");
    await stored(one, numbered(3));
    await has(first, 3);
    const [message] = first.sink.messages;
    const note = { message: message!, attempts: 1, notBefore: undefined, headers: [["done", "a"]] as const };
    expect(await first.consumption.record([note])).toEqual(["done"]);
    await first.consumption.close(AbortSignal.timeout(1_000));
    expect(await countsOf(one)).toEqual([3, 0]);
    const second = await joinGroup(one, "g");
    await has(second, 3);
    expect(second.sink.messages.map((each) => [textOf(each), each.deliveries, each.attempts])).toEqual([
      ["1", 1, 1],
      ["2", 1, 0],
      ["3", 1, 0],
    ]);
    expect(second.sink.messages[0]!.note("done")).toBe("a");
    second.consumption.ack(second.sink.messages);
    await second.consumption.flush();
    expect(await server!.command("EXISTS", key(prefix, "g:g:note"))).toBe(0);
  });

  it("what a member holds that is closed by force is counted for the next", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureGroup(spec);
    const first = await joinGroup(one, "g");
    await stored(one, ["1"]);
    await has(first, 1);
    await first.consumption.close(AbortSignal.abort());
    const second = await joinGroup(one, "g");
    await has(second, 1);
    expect(second.sink.messages[0]!.deliveries).toBe(2);
  });

  it("a group that was destroyed behind its back ends, and goes on from before its oldest unsettled", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureGroup(spec);
    const first = await joinGroup(one, "g");
    await stored(one, numbered(4));
    await has(first, 4);
    first.consumption.ack(first.sink.messages.slice(0, 2));
    await first.consumption.flush();
    await server!.command("XGROUP", "DESTROY", key(prefix, "s:events:0"), "g");
    await stored(one, ["5"]);
    await until(() => first.sink.ends.length === 1, "the end");
    expect(first.sink.ends[0]!.kept).toBe(false);
    await one.ensureGroup(spec);
    const again = await consume(one, { kind: "group", group: "g", resume: first.sink.floors });
    await has(again, 3);
    expect(again.sink.texts.toSorted()).toEqual(["3", "4", "5"]);
  });

  it("a deleted group ends its members", async () => {
    const prefix = freshPrefix();
    const [one, two] = [await server!.connection(prefix), await server!.connection(prefix)];
    await one.ensureGroup(spec);
    const member = await joinGroup(one, "g");
    expect(await two.admin.deleteGroup("g")).toBe(true);
    await until(() => member.sink.ends.length === 1, "the end");
    expect(member.sink.ends[0]!.kept).toBe(false);
    expect(await codeOf(joinGroup(one, "g"))).toBe(undefined);
  });

  it("an entry that is deleted in somebody's hands is said to be lost by the one who takes over", async () => {
    const prefix = freshPrefix();
    const [one, two] = [await server!.connection(prefix), await server!.connection(prefix)];
    await one.ensureGroup(spec);
    const first = await joinGroup(one, "g");
    await stored(one, numbered(3));
    await has(first, 3);
    await server!.command("XDEL", key(prefix, "s:events:0"), first.sink.messages[1]!.position!);
    await server!.endLease(prefix, (await server!.seats(prefix))[0]!);
    await first.consumption.stop();
    const second = await joinGroup(two, "g");
    await has(second, 2);
    expect(second.sink.texts).toEqual(["1", "3"]);
    await until(() => second.sink.losses.length > 0, "the loss");
    expect(second.sink.losses).toEqual([{ count: 1, reason: "gone from the stream before it was handled" }]);
  });

  it("finds by itself what a lost wake-up did not say", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix, { pollMs: 200 });
    await one.ensureGroup(spec);
    const member = await joinGroup(one, "g");
    await stored(one, ["1"]);
    await has(member, 1);
    await until(() => member.sink.floors.size > 0, "floors");
    await server!.command("DEL", key(prefix, "g:g:idle"));
    await stored(one, ["2"]);
    await has(member, 2);
  });

  it("never holds many more bytes than its window when sizes jump, of what is fresh and of what another one left", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureGroup(spec);
    const member = await joinGroup(one, "g", { messages: 256, bytes: 400_000 });
    const inHand = ({ sink }: TestConsumption, from: number): number =>
      sink.messages.slice(from).reduce((sum, { body }) => sum + body.byteLength, 0);
    const allOf = async (of: TestConsumption): Promise<void> => {
      of.consumption.ack(of.sink.messages);
      await of.consumption.flush();
    };
    const body = new Uint8Array(100_000);
    // large ones after small ones
    await stored(one, numbered(60));
    await has(member, 60);
    member.consumption.window({ messages: 0, bytes: 0 });
    await allOf(member);
    await stored(one, numbered(40), { body });
    member.consumption.window({ messages: 256, bytes: 400_000 });
    await has(member, 64);
    await allOf(member);
    await has(member, 68);
    expect(inHand(member, 64)).toBe(400_000);
    await member.consumption.close(AbortSignal.timeout(1_000));
    // what was handed back
    const next = await joinGroup(one, "g", { messages: 256, bytes: 400_000 });
    for (let seen = 4; seen <= 36; seen += 4) {
      await has(next, seen);
      expect(inHand(next, 0)).toBe(seen * body.byteLength);
      await allOf(next);
    }
    // small and large ones in turn: what a step of 16 brings
    next.consumption.window({ messages: 0, bytes: 0 });
    await stored(one, numbered(60));
    await stored(one, numbered(60), { body });
    next.consumption.window({ messages: 256, bytes: 400_000 });
    await has(next, 36 + 61);
    expect(inHand(next, 36)).toBeLessThanOrEqual(400_000 + 16 * body.byteLength);
  });

  it("reads past what is not for it in steps, not one by one", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureGroup({ ...spec, reads: [{ stream: "events", patterns: ["other.>"] }] });
    await stored(one, numbered(480));
    await stored(one, ["x"], { to: { kind: "topic", stream: "events", topic: "other.x" } });
    await server!.command("CONFIG", "RESETSTAT");
    const member = await joinGroup(one, "g");
    await has(member, 1);
    const stats = String(await server!.command("INFO", "commandstats"));
    expect(Number(/cmdstat_xreadgroup:calls=(\d+)/.exec(stats)![1])).toBeLessThan(120);
  });

  it("never holds more bytes than its window by more than a step", async () => {
    const prefix = freshPrefix();
    const one = await server!.connection(prefix);
    await one.ensureGroup(spec);
    await stored(
      one,
      numbered(200).map((n) => n.padStart(1_000)),
    );
    const member = await joinGroup(one, "g", { messages: 1_000, bytes: 20_000 });
    await has(member, 20);
    await one.admin.groups();
    expect(member.sink.messages.length).toBeLessThan(41);
    for (let done = 0; done < 200;) {
      const batch = member.sink.messages.slice(done);
      member.consumption.ack(batch);
      done += batch.length;
      await has(member, Math.min(done + 1, 200));
      expect(member.sink.messages.length - done).toBeLessThan(41);
    }
    expect(member.sink.texts.map((text) => text.trim())).toEqual(numbered(200));
  });
});
