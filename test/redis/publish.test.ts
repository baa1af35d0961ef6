import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { Sender } from "../../src/drivers/redis/sender.ts";
import { Delayed } from "../../src/drivers/redis/delayed.ts";
import { DueMover } from "../../src/drivers/redis/due-mover.ts";
import { compareIds } from "../../src/drivers/redis/id.ts";
import type { Reply } from "../../src/drivers/redis/link.ts";
import { textsOf } from "../../src/drivers/redis/reply.ts";
import { script } from "../../src/drivers/redis/script.ts";
import { idPiece } from "../../src/drivers/redis/scripts/pieces.ts";
import type { Session } from "../../src/drivers/redis/session.ts";
import { Streams } from "../../src/drivers/redis/streams.ts";
import type { OutMessage } from "../../src/driver.ts";
import { codeOf, numbered, outgoing, type Sent, toQueue, toTopic, until } from "../support/driver-harness.ts";
import { freshPrefix, openSession } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const redis = await testBroker("redis");
const open: (() => Promise<void>)[] = [];

interface World {
  readonly session: Session;
  readonly streams: Streams;
  readonly sender: Sender;
}

async function world(prefix = freshPrefix(), options: object = {}): Promise<World> {
  const session = await openSession(redis!.url, prefix, { options });
  open.push(() => session.close(AbortSignal.timeout(1_000)));
  return { session, streams: new Streams(session), sender: new Sender(session) };
}

async function send({ sender }: World, sent: readonly Sent[]): Promise<readonly string[]> {
  sender.send(sent.map(({ message }) => message));
  await until(() => sent.every(({ outcome }) => outcome !== "waiting"), "all to complete");
  return sent.map(({ outcome }) => outcome);
}

const texts = (count: number, options: Partial<OutMessage> = {}, from = 1): readonly Sent[] =>
  numbered(count, from).map((text) => outgoing(toTopic("a.b"), text, options));

async function stored({ session }: World, ref = "s:events:0"): Promise<readonly string[]> {
  const entries = (await session.command(["XRANGE", session.keys.key(ref), "-", "+"])) as readonly Reply[];
  return entries.map((entry) => String(((entry as readonly Reply[])[1] as readonly Reply[])[7]));
}

afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

describe.skipIf(redis === undefined)("publishing on redis", () => {
  it("stores a turn in call order, over chunks, and says where", async () => {
    const one = await world();
    await one.streams.ensure({ name: "events", topics: [">"] }, false);
    const sent = texts(300);
    expect(new Set(await send(one, sent))).toEqual(new Set(["stored"]));
    expect(await stored(one)).toEqual(numbered(300));
    const positions = sent.map(({ position }) => position!);
    expect(new Set(positions).size).toBe(300);
    expect(positions.every((each) => /^\d+-\d+$/.test(each))).toBe(true);
  });

  it("chooses the partition by the hash and keeps a body byte for byte", async () => {
    const one = await world();
    await one.streams.ensure({ name: "events", topics: [">"], partitions: 4 }, false);
    const body = new Uint8Array([0, 255, 13, 10, 128]);
    await send(one, [outgoing(toTopic("a"), "", { hash: 2 ** 31 - 1, body, key: "ü", headers: [["h", '"']] })]);
    const [entry] = (await one.session.command(["XRANGE", one.session.keys.key("s:events:3"), "-", "+"])) as Reply[];
    const fields = ((entry as readonly Reply[])[1] as readonly Buffer[]).map((each) => each);
    expect(fields.filter((_, at) => at % 2 === 0).map(String)).toEqual(["t", "k", "h", "b"]);
    expect([String(fields[1]), String(fields[3]), String(fields[5])]).toEqual(["a", ".ü", '[["h","\\""]]']);
    expect(new Uint8Array(fields[7]!)).toEqual(body);
  });

  it("option: RedisOptions.dedupeWindowMs: knows an id again within the window, over its rotation, and not after two of them", async () => {
    const one = await world(undefined, { dedupeWindowMs: 1_000 });
    await one.streams.ensure({ name: "events", topics: [">"] }, false);
    const first = (): Sent => outgoing(toTopic("a.b"), "x", { id: "same", brokerId: "same" });
    const start = performance.now();
    expect(await send(one, [first(), first()])).toEqual(["stored", "duplicate"]);
    const sent = performance.now();
    while (performance.now() - start < 750) expect(await send(one, [first()])).toEqual(["duplicate"]);
    await until(() => performance.now() - sent > 2_050, "the window to be over");
    expect(await send(one, [first()])).toEqual(["stored"]);
  });

  it("knows an id again within a turn, and one that it refused there is nobody's", async () => {
    const one = await world();
    await one.streams.ensure({ name: "events", topics: [">"], maxBytes: 2_000 }, false);
    const sent = (brokerId: string, text = "x"): Sent => outgoing(toTopic("a.b"), text, { brokerId });
    await send(one, [sent("1")]);
    const large = "x".repeat(3_000);
    const turn = ["1", "2", "2", "3", "1", "2"].map((id) => sent(id));
    expect(await send(one, [...turn, sent("4", large), sent("4"), sent("4"), sent("5", large)])).toEqual([
      ...["duplicate", "stored", "duplicate", "stored", "duplicate", "duplicate"],
      ...["no", "stored", "duplicate", "no"],
    ]);
    expect(
      await send(
        one,
        ["5", "4"].map((id) => sent(id)),
      ),
    ).toEqual(["stored", "duplicate"]);
    expect(await stored(one)).toHaveLength(5);
  });

  it("never says of what a failed script did not store that it is a duplicate", async () => {
    const one = await world();
    await one.streams.ensure({ name: "events", topics: [">"] }, false);
    const { session } = one;
    const later = Date.now() + 60_000;
    const turn = (): readonly Sent[] =>
      ["1", "2", "3"].map((brokerId) => outgoing(toTopic("a.b"), "x", { brokerId, notBefore: later }));
    await session.command(["SET", session.keys.key("s:events:due:m"), "somebody's"]);
    expect(new Set(await send(one, turn()))).toEqual(new Set(["unknown"]));
    await session.command(["DEL", session.keys.key("s:events:due:m")]);
    expect(await send(one, turn())).toEqual(["stored", "stored", "stored"]);
  });

  it("refuses what has no stream, and makes a queue that is not there", async () => {
    const one = await world();
    const [lost, kept] = [outgoing(toTopic("a", "none"), "1"), outgoing(toQueue("a group"), "2")];
    expect(await send(one, [lost, kept])).toEqual(["no", "stored"]);
    expect((lost.error as Error).message).toMatch(/NOSTREAM/);
    expect(await stored(one, "q:a%20group:0")).toEqual(["2"]);
  });

  it("refuses one message above the stream's size and stores the others, and the refused one again", async () => {
    const one = await world();
    await one.streams.ensure({ name: "events", topics: [">"], maxBytes: 200 }, false);
    await one.session.command(["SADD", one.session.keys.key("s:events:g"), "g"]);
    await one.session.command(["XGROUP", "CREATE", one.session.keys.key("s:events:0"), "g", "0", "MKSTREAM"]);
    const sent = [1, 2, 150, 3].map((size) => outgoing(toTopic("a"), "x".repeat(size), {}));
    expect(await send(one, sent)).toEqual(["stored", "stored", "no", "stored"]);
    expect(sent[2]!.error).toMatchObject({ code: "BUS_FULL", retryable: true });
  });

  it("drops the oldest where that was asked", async () => {
    const one = await world();
    const stream = { name: "events", topics: [">"], maxMessages: 10, whenFull: "drop-oldest" } as const;
    await one.streams.ensure(stream, false);
    expect(new Set(await send(one, texts(35)))).toEqual(new Set(["stored"]));
    expect(await stored(one)).toEqual(numbered(10, 26));
    const [count] = (await one.session.command(["HMGET", one.session.keys.key("s:events"), "count"])) as Buffer[];
    expect(String(count)).toBe("10");
  });

  it("keeps for later what is due later, moves it once, and survives a process", async () => {
    const prefix = freshPrefix();
    const one = await world(prefix);
    await one.streams.ensure({ name: "events", topics: [">"] }, false);
    const now = Date.now();
    const sent = [300, 100, 200].map((delay) => outgoing(toTopic("a"), String(delay), { notBefore: now + delay }));
    expect(await send(one, sent)).toEqual(["stored", "stored", "stored"]);
    expect(await stored(one)).toEqual([]);
    const two = await world(prefix);
    for (const { session } of [one, two]) {
      const mover = new DueMover(session);
      open.unshift(async () => mover[Symbol.dispose]());
    }
    let found: readonly string[] = [];
    while (found.length < 3) found = await stored(one);
    expect(found).toEqual(["100", "200", "300"]);
    expect(Date.now() - now).toBeGreaterThanOrEqual(299);
    const parts = ["due", "s:events:due:m", "s:events:due:i"].map((part) => one.session.keys.key(part));
    expect(await one.session.command(["EXISTS", ...parts])).toBe(0);
  });

  it("takes back all of an id that waits, and gives their room to others", async () => {
    const one = await world(freshPrefix(), { dedupeWindowMs: 0 });
    await one.streams.ensure({ name: "events", topics: [">"], maxMessages: 4, maxBytes: 1_000_000 }, false);
    const delayed = new Delayed(one.session);
    const notBefore = Date.now() + 60_000;
    const sent = ["a", "b", "a", "c"].map((id) => outgoing(toTopic("a"), id, { id, brokerId: id, notBefore }));
    expect(await send(one, sent)).toEqual(["stored", "stored", "stored", "stored"]);
    expect(await send(one, texts(1))).toEqual(["no"]);
    expect((await delayed.list(undefined, 10)).map(({ id }) => id)).toEqual(["a", "b", "a", "c"]);
    expect(await delayed.cancel(["a", "none", "c"])).toEqual(["a", "c"]);
    expect(await delayed.cancel(["a"])).toEqual([]);
    expect(await delayed.list(undefined, 10)).toMatchObject([{ id: "b", topic: "a" }]);
    expect(await send(one, texts(4))).toEqual(["stored", "stored", "stored", "no"]);
    expect(await delayed.cancel(["b"])).toEqual(["b"]);
    expect(await one.session.command(["HMGET", one.session.keys.key("s:events"), "count"])).toEqual([Buffer.from("3")]);
    const parts = ["due", "s:events:due", "s:events:due:m", "s:events:due:i"].map((part) => one.session.keys.key(part));
    expect(await one.session.command(["EXISTS", ...parts])).toBe(0);
  });

  it("lists what comes at one time page by page, over several streams", async () => {
    const one = await world();
    await one.streams.ensure({ name: "events", topics: [">"] }, false);
    const delayed = new Delayed(one.session);
    const at = Date.now() + 60_000;
    // two calls are not given the same time: this gives them one
    const to = (n: string) => (Number(n) % 3 === 0 ? toQueue("g") : toTopic("a"));
    await send(
      one,
      numbered(30).map((n) => outgoing(to(n), n, { notBefore: at })),
    );
    for (const lane of ["s:events", "q:g"]) {
      const key = one.session.keys.key(`${lane}:due`);
      for (const number of textsOf(await one.session.command(["ZRANGE", key, "0", "-1"])))
        await one.session.command(["ZADD", key, String(at), number]);
    }
    const all: string[] = [];
    for (let after: string | undefined; ;) {
      const page = await delayed.list(after, 4);
      all.push(...page.map(({ id }) => id));
      after = page.at(-1)?.position;
      if (page.length < 4) break;
    }
    expect([new Set(all).size, all.length]).toEqual([30, 30]);
  });

  it("goes on after the server forgot its scripts, in order", async () => {
    const one = await world();
    await one.streams.ensure({ name: "events", topics: [">"] }, false);
    await send(one, texts(10));
    await one.session.command(["SCRIPT", "FLUSH"]);
    const [first, second] = [texts(200, {}, 11), texts(200, {}, 211)];
    one.sender.send(first.map(({ message }) => message));
    expect(new Set(await send(one, second))).toEqual(new Set(["stored"]));
    expect(await stored(one)).toEqual(numbered(410));
  });

  it("compares ids in Lua as in TypeScript", async () => {
    const one = await world();
    const compare = script(
      "compare",
      [idPiece],
      "local r = {} for i = 2, #ARGV, 2 do r[#r + 1] = lt(ARGV[i], ARGV[i + 1]) and 1 or 0 end return r",
    );
    const number = fc.oneof(fc.nat({ max: 12 }), fc.constantFrom(999, 1_000)).map(String);
    const id = fc.tuple(number, fc.oneof(number, fc.constant("18446744073709551615"))).map((parts) => parts.join("-"));
    const pairs = fc.sample(fc.tuple(id, id), 500);
    const answer = await one.session.run(compare, pairs.flat());
    expect(answer).toEqual(pairs.map(([left, right]) => (compareIds(left, right) < 0 ? 1 : 0)));
  });

  it("ensures streams by compare-and-set, says what it would do, and refuses what can't be", async () => {
    const prefix = freshPrefix();
    const [one, two] = [await world(prefix), await world(prefix)];
    const stream = { name: "a", topics: ["a.>"] };
    expect(await one.streams.ensure(stream, true)).toBe("created");
    expect(await one.streams.get("a")).toBeUndefined();
    const both = await Promise.all([one.streams.ensure(stream, false), two.streams.ensure(stream, false)]);
    expect(both.toSorted()).toEqual(["created", "unchanged"]);
    expect(await two.streams.ensure({ ...stream, maxAgeMs: 1_000 }, false)).toBe("updated");
    expect(await one.streams.get("a")).toMatchObject({ partitions: 16, maxAgeMs: 1_000, topics: ["a.>"] });
    expect(await codeOf(one.streams.ensure({ ...stream, partitions: 2 }, false))).toBe("BUS_CONFLICT");
    expect(await codeOf(one.streams.ensure({ ...stream, name: "b" }, false))).toBe("BUS_CONFLICT");
    expect(await codeOf(one.streams.ensure({ ...stream, replicas: 2 }, false))).toBe("BUS_UNSUPPORTED");
    expect(await codeOf(one.streams.ensure({ ...stream, whenFull: "wait" }, false))).toBe("BUS_UNSUPPORTED");
  });
});
