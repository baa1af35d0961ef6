import { afterEach, describe, expect, it } from "vitest";
import type { DriverAdmin, GroupSpec, StartAt, StoredMessage } from "../../src/driver.ts";
import { systemClock, type Clock } from "../../src/clock.ts";
import { adminOf } from "../../src/drivers/redis/admin.ts";
import { Definitions } from "../../src/drivers/redis/definitions.ts";
import { finishReset } from "../../src/drivers/redis/group-reset.ts";
import { listOf, textOf } from "../../src/drivers/redis/reply.ts";
import { script } from "../../src/drivers/redis/script.ts";
import { ackScript } from "../../src/drivers/redis/scripts/ack.ts";
import { fetchScript } from "../../src/drivers/redis/scripts/fetch.ts";
import { letterPiece } from "../../src/drivers/redis/scripts/letter-piece.ts";
import { resetScript } from "../../src/drivers/redis/scripts/reset.ts";
import { joinScript } from "../../src/drivers/redis/scripts/seats.ts";
import { takeSeat } from "../../src/drivers/redis/seat.ts";
import type { Session } from "../../src/drivers/redis/session.ts";
import { encodeStored } from "../../src/drivers/redis/stored-frame.ts";
import { Streams } from "../../src/drivers/redis/streams.ts";
import { codeOf, groupSpec, numbered } from "../support/driver-harness.ts";
import { until } from "../../src/testing/until.ts";
import { freshPrefix, openSession } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const redis = await testBroker("redis");
const open: Session[] = [];

interface World {
  readonly session: Session;
  readonly streams: Streams;
  readonly definitions: Definitions;
  readonly admin: DriverAdmin;
}

async function world(
  prefix = freshPrefix(),
  partitions = 1,
  clock: Clock = systemClock,
  leaseMs = 10_000,
): Promise<World> {
  const session = await openSession(redis!.url, prefix, { clock, options: { leaseMs } });
  open.push(session);
  const streams = new Streams(session);
  const definitions = new Definitions(session, streams);
  await streams.ensure({ name: "events", topics: [">"], partitions }, false);
  return { session, streams, definitions, admin: adminOf(session, streams, definitions) };
}

async function add(
  { session }: World,
  texts: readonly string[],
  more: { readonly topic?: string; readonly lane?: string } = {},
): Promise<readonly string[]> {
  const key = session.keys.key(more.lane ?? "s:events:0");
  const answers = await Promise.all(
    texts.map((text) => session.command(["XADD", key, "*", "t", more.topic ?? "a.b", "k", "", "h", "", "b", text])),
  );
  return answers.map(textOf);
}

/** A member of a group, step by step. */
async function join({ session }: World, group: string): Promise<string> {
  const member = JSON.stringify({ id: "m", name: "n", host: "h", pid: 7, since: new Date(0).toISOString() });
  const [seat] = listOf(await session.run(joinScript, [group, "c", session.process, member, "60000"]));
  return textOf(seat);
}

async function fetch({ session }: World, group: string, seat: string, count: number): Promise<Buffer> {
  return (await session.run(fetchScript, [group, seat, "m", String(count), "1000000", String(count), ""])) as Buffer;
}

const ack = ({ session }: World, group: string, seat: string, ids: readonly string[]): Promise<unknown> =>
  session.run(ackScript, [group, seat, "", "s:events:0", String(ids.length), ...ids, "0"]);

const dead = async ({ session }: World, group: string, seat: string): Promise<void> => {
  await session.command(["ZADD", session.keys.key("g", group, "beat"), "1", seat]);
};

async function stateOf({ admin }: World, group: string): Promise<readonly [number, number, number]> {
  const state = (await admin.groups()).find(({ spec }) => spec.group === group)!;
  return [state.waiting, state.inFlight, state.scheduled];
}

const define = ({ definitions }: World, spec: GroupSpec): Promise<GroupSpec> => definitions.ensure(spec);

function letter(id: string, group: string, body = "x"): StoredMessage {
  const to = { kind: "queue", group, topic: "a.b" } as const;
  const headers = [["h", "v"]] as const;
  return {
    ...{ id, to, group, topic: "a.b", key: "k", headers },
    body: Buffer.from(body),
    storedAt: 5,
    notBefore: undefined,
  };
}

const keepScript = script("test-letter", [letterPiece], "letter(ARGV[2], ARGV[3], ARGV[4]) return 1", true);
async function keep({ session }: World, ...letters: readonly StoredMessage[]): Promise<void> {
  for (const each of letters)
    await session.run(keepScript, [each.id, session.keys.group(each.group ?? ""), encodeStored(each)]);
}

afterEach(async () => {
  for (const session of open.splice(0)) await session.close(AbortSignal.timeout(1_000));
});

describe.skipIf(redis === undefined)("administration on redis", () => {
  describe("streams", () => {
    it("are listed with what they hold, and positions are their last ids", async () => {
      const here = await world(freshPrefix(), 2);
      await define(here, groupSpec("g"));
      const ids = await add(here, numbered(3));
      const [info] = await here.admin.streams();
      expect(info).toMatchObject({ name: "events", topics: [">"], partitions: 2, messages: 3, groups: ["g"] });
      expect([info!.first, info!.last].map((date) => date?.getTime())).toEqual(
        [ids[0], ids[2]].map((id) => Number(id!.split("-")[0])),
      );
      expect(await here.admin.positions("events")).toEqual({ "events/0": ids[2], "events/1": "0-0" });
      expect(await codeOf(here.admin.positions("none"))).toBe("BUS_NOT_FOUND");
    });

    it("are trimmed to a time, a position or the newest, and never below what a group has not handled", async () => {
      const here = await world();
      await define(here, groupSpec("g"));
      const seat = await join(here, "g");
      const ids = await add(here, numbered(10));
      await fetch(here, "g", seat, 6);
      await ack(here, "g", seat, [...ids.slice(0, 3), ids[4]!]);
      expect(await here.admin.trim!("events", { positions: { "events/0": ids[1]! } })).toBe(2);
      expect(await here.admin.trim!("events", { at: "oldest" })).toBe(0);
      expect(await here.admin.trim!("events", { time: Date.now() + 60_000 })).toBe(1);
      expect((await here.admin.streams())[0]!.messages).toBe(7);
      await fetch(here, "g", seat, 100);
      await ack(here, "g", seat, ids);
      expect(await here.admin.trim!("events", { at: "newest" })).toBe(7);
      expect(await codeOf(here.admin.trim!("events", { positions: { "events/0": "x" } }))).toBe("BUS_INVALID_OPTION");
    });

    it("are trimmed in steps when there is much", async () => {
      const here = await world();
      await add(here, numbered(5_000));
      expect(await here.admin.trim!("events", { at: "newest" })).toBe(5_000);
    });

    it("are deleted once, and leave nothing to one of their name; what was unhandled is lost and said", async () => {
      const here = await world();
      await define(here, groupSpec("all"));
      await define(here, groupSpec("some", { patterns: ["a.*"] }));
      await add(here, numbered(1_200));
      await add(here, numbered(7), { topic: "b" });
      const seat = await join(here, "all");
      await fetch(here, "all", seat, 100);
      expect(await here.admin.deleteStream("events")).toBe(true);
      expect(await here.admin.deleteStream("events")).toBe(false);
      const lost = async (group: string): Promise<string> =>
        textOf(await here.session.command(["HGET", here.session.keys.key("g", group), "lost"]));
      expect([await lost("all"), await lost("some")]).toEqual(["1107", "1200"]);
      expect(await here.streams.get("events")).toBeUndefined();
      await here.streams.ensure({ name: "events", topics: [">"], partitions: 1 }, false);
      expect((await here.admin.streams())[0]!.messages).toBe(0);
      await add(here, ["new"]);
      expect(await stateOf(here, "some")).toEqual([1, 0, 0]);
      const left = listOf(await here.session.command(["KEYS", `{${here.session.context.prefix}}:x:*`]));
      expect(left).toEqual([]);
    });

    it("that were laid aside by one who fell are finished by the next", async () => {
      const here = await world();
      await define(here, groupSpec("g"));
      await add(here, numbered(3));
      const { keys } = here.session;
      await here.session.command(["RENAME", keys.key("s:events:0"), keys.key("x:s:events:0")]);
      await here.session.command(["DEL", keys.key("s:events")]);
      await here.session.command(["HDEL", keys.key("streams"), "events"]);
      expect(await here.admin.deleteStream("events")).toBe(false);
      expect(textOf(await here.session.command(["HGET", keys.key("g:g"), "lost"]))).toBe("3");
      expect(await here.session.command(["EXISTS", keys.key("x:s:events:0")])).toBe(0);
    });

    it("lose what is too old when they are looked at", async () => {
      const here = await world();
      await here.streams.ensure({ name: "short", topics: ["short.>"], partitions: 2, maxAgeMs: 20 }, false);
      await add(here, numbered(3), { lane: "s:short:1" });
      await until(
        async () => (await here.admin.streams()).find(({ name }) => name === "short")!.messages === 0,
        "it to be empty",
      );
    });
  });

  describe("groups", () => {
    it("count what waits, is in flight and due later, whatever is handed out, given back or trimmed", async () => {
      const here = await world();
      await define(here, groupSpec("g"));
      await define(here, groupSpec("else", { patterns: ["b"] }));
      const ids = await add(here, numbered(10));
      expect(await stateOf(here, "g")).toEqual([10, 0, 0]);
      expect(await stateOf(here, "else")).toEqual([0, 0, 0]);
      const seat = await join(here, "g");
      await fetch(here, "g", seat, 4);
      await ack(here, "g", seat, [ids[1]!]);
      expect(await stateOf(here, "g")).toEqual([6, 3, 0]);
      const [state] = (await here.admin.groups()).filter(({ spec }) => spec.group === "g");
      expect(state!.oldestWaitingMs).toBeGreaterThanOrEqual(0);
      expect(state!.oldestWaitingMs).toBeLessThan(60_000);
      await here.session.command(["XTRIM", here.session.keys.key("s:events:0"), "MAXLEN", "=", "3"]);
      expect((await stateOf(here, "g"))[0]).toBe(3);
      await dead(here, "g", seat);
      await join(here, "g");
      expect((await stateOf(here, "g"))[1]).toBe(0);
      await add(here, numbered(5), { lane: "q:g:2" });
      expect((await stateOf(here, "g"))[0]).toBe(8);
    });

    it("say how long the oldest waits by the server's clock: ours may be an hour ahead or behind", async () => {
      for (const aheadMs of [3_600_000, -3_600_000]) {
        const here = await world(undefined, 1, { ...systemClock, now: () => Date.now() + aheadMs });
        await define(here, groupSpec("g"));
        await add(here, numbered(1));
        const waits = async (): Promise<number> => (await here.admin.groups())[0]!.oldestWaitingMs!;
        await until(async () => (await waits()) > 20, "it to grow older");
        expect(await waits()).toBeLessThan(60_000);
      }
    });

    it("list their members with lease and partitions, and refuse to be reset while there are any", async () => {
      const here = await world();
      await define(here, groupSpec("g", { order: "group" }));
      const seat = await join(here, "g");
      await here.session.command([
        "HSET",
        here.session.keys.key("g:g:own"),
        "s:events:0",
        seat,
        "q:g:0",
        seat,
        "q:g:5",
        seat,
      ]);
      const [member, none] = await here.admin.members("g");
      expect(member).toMatchObject({ id: "m", name: "n", host: "h", pid: 7, since: new Date(0), partitions: [0, 5] });
      expect(none).toBeUndefined();
      expect(await codeOf(here.admin.resetGroup!("g", { at: "oldest" }))).toBe("BUS_CONFLICT");
      await dead(here, "g", seat);
      expect(await here.admin.members("g")).toEqual([]);
      expect(await codeOf(here.admin.members("none"))).toBe("BUS_NOT_FOUND");
    });

    it.each([
      ["the oldest", (): StartAt => ({ at: "oldest" }), 5],
      ["the newest", (): StartAt => ({ at: "newest" }), 0],
      ["a position", (ids: readonly string[]): StartAt => ({ positions: { "events/0": ids[2]! } }), 2],
      ["a time", (): StartAt => ({ time: 0 }), 5],
      ["a position of another stream", (): StartAt => ({ positions: { "events/0": "99999999999999-0" } }), 5],
    ])("are reset to %s, with what was in hands and notes gone, and their queue as it was", async (_, to, waiting) => {
      const here = await world();
      await define(here, groupSpec("g"));
      const seat = await join(here, "g");
      const ids = await add(here, numbered(5));
      await add(here, ["queued"], { lane: "q:g:0" });
      await fetch(here, "g", seat, 3);
      await here.session.command(["HSET", here.session.keys.key("g:g:note"), `s:events:0 ${ids[0]}`, "{}"]);
      await dead(here, "g", seat);
      await here.admin.resetGroup!("g", to(ids));
      expect(await stateOf(here, "g")).toEqual([waiting + 1, 0, 0]);
      expect(await here.session.command(["HLEN", here.session.keys.key("g:g:note")])).toBe(0);
      await join(here, "g");
    });

    it("whose reset fell in its middle take no member before it is finished", async () => {
      const here = await world();
      await define(here, groupSpec("g", { from: { at: "newest" } }));
      await add(here, numbered(5));
      const seat = await join(here, "g");
      await fetch(here, "g", seat, 5);
      await dead(here, "g", seat);
      await here.session.run(resetScript, ["g", JSON.stringify({ at: "oldest" })]);
      await expect(join(here, "g")).rejects.toThrow("CONFLICT");
      await finishReset(here.session, "g");
      await join(here, "g");
      expect((await stateOf(here, "g"))[0]).toBe(5);
    });

    it("give what a dead or silent member held to others, at once", async () => {
      const prefix = freshPrefix();
      const [here, other] = [await world(prefix), await world(prefix)];
      await define(here, groupSpec("g"));
      await add(here, numbered(1_500));
      const seat = await join(other, "g");
      for (let held = 0; held < 1_500; held += 250) await fetch(other, "g", seat, 250);
      expect(await here.admin.recoverGroup!("g", 60_000)).toBe(0);
      expect((await stateOf(here, "g"))[1]).toBe(1_500);
      expect(await here.admin.recoverGroup!("g", 0)).toBe(1_500);
      expect(await stateOf(here, "g")).toEqual([1_500, 0, 0]);
      await expect(fetch(other, "g", seat, 1)).rejects.toThrow("STALE");
      const positions = await here.admin.positions("events");
      await expect(ack(other, "g", seat, [positions["events/0"]!])).rejects.toThrow("STALE");
      expect((await stateOf(here, "g"))[0]).toBe(1_500);
      const mine = await join(here, "g");
      await fetch(here, "g", mine, 10);
      expect(await here.admin.recoverGroup!("g", 0)).toBe(0);
      expect((await stateOf(here, "g"))[1]).toBe(10);
      expect(await codeOf(here.admin.recoverGroup!("none", 0))).toBe("BUS_NOT_FOUND");
    });

    it("are seen when they were last heard of, by their own leases, and those that live are left alone", async () => {
      for (const [leaseMs, ours] of [
        [600_000, 10_000],
        [10_000, 600_000],
      ] as const) {
        const prefix = freshPrefix();
        const [here, other] = [await world(prefix, 1, systemClock, ours), await world(prefix, 1, systemClock, leaseMs)];
        await define(here, groupSpec("g"));
        const { seat } = await takeSeat(other.session, "g", undefined);
        const [member] = await here.admin.members("g");
        expect(Math.abs(member!.lastSeen.getTime() - Date.now())).toBeLessThan(8_000);
        expect(await here.admin.recoverGroup!("g", 8_000)).toBe(0);
        expect(await here.admin.members("g")).toHaveLength(1);
        const beat = here.session.keys.key("g:g:beat");
        await here.session.command(["ZADD", beat, String(Date.now() + leaseMs - 9_000), seat.id]);
        await here.admin.recoverGroup!("g", 8_000);
        expect(await here.admin.members("g")).toEqual([]);
      }
    });

    it("take over what a consumer held that is none of ours", async () => {
      const here = await world();
      await define(here, groupSpec("g"));
      await add(here, numbered(3));
      const key = here.session.keys.key("s:events:0");
      await here.session.command(["XREADGROUP", "GROUP", "g", "by hand", "COUNT", "2", "STREAMS", key, ">"]);
      expect(await here.admin.recoverGroup!("g", 60_000)).toBe(0);
      expect(await here.admin.recoverGroup!("g", 0)).toBe(2);
    });

    it("are deleted with queue and letters, once", async () => {
      const here = await world();
      await define(here, groupSpec("g"));
      await keep(here, letter("g/1", "g"), letter("h/1", "h"));
      await add(here, ["queued"], { lane: "q:g:0" });
      const seat = await join(here, "g");
      expect(await here.admin.deleteGroup("g")).toBe(true);
      await expect(fetch(here, "g", seat, 1)).rejects.toThrow("GONE");
      expect(await here.admin.deleteGroup("g")).toBe(false);
      expect([await here.admin.countLetters("g"), await here.admin.countLetters(undefined)]).toEqual([0, 1]);
      const left = listOf(await here.session.command(["KEYS", `{${here.session.context.prefix}}:*`])).map(textOf);
      expect(left.filter((key) => /:(g|q):g(:|$)/.test(key))).toEqual([]);
      expect(await here.session.command(["XINFO", "GROUPS", here.session.keys.key("s:events:0")])).toEqual([]);
    });

    it("shrink by an update", async () => {
      const here = await world();
      await define(here, groupSpec("g", { patterns: ["a.>", "b"] }));
      await here.admin.updateGroup("g", [{ stream: "events", patterns: ["b"] }]);
      await add(here, numbered(3));
      expect((await stateOf(here, "g"))[0]).toBe(0);
      expect((await here.admin.groups())[0]!.spec.reads).toEqual([{ stream: "events", patterns: ["b"] }]);
      expect(await codeOf(here.admin.updateGroup("none", []))).toBe("BUS_NOT_FOUND");
    });
  });

  describe("letters", () => {
    it("are listed oldest first, by group and by pages, each as it was stored", async () => {
      const here = await world();
      const all = Array.from({ length: 400 }, (_, index) =>
        letter(`g/${index}`, index % 2 === 0 ? "g" : "a group/{x}"),
      );
      await keep(here, ...all);
      expect(await here.admin.letters(undefined, undefined, 1_000)).toEqual(
        all.map((each) => ({ ...each, body: new Uint8Array(each.body) })),
      );
      const half = await here.admin.letters("a group/{x}", "g/99", 50);
      expect(half.map(({ id }) => id)).toEqual(
        all
          .filter((_, index) => index % 2 === 1 && index > 99)
          .slice(0, 50)
          .map(({ id }) => id),
      );
      expect(await here.admin.countLetters("a group/{x}")).toBe(200);
      expect(await here.admin.letter("none")).toBeUndefined();
      expect((await here.admin.letter("g/7"))?.group).toBe("a group/{x}");
    });

    it("come in several answers when they are large", async () => {
      const here = await world();
      await keep(here, ...numbered(6).map((id) => letter(id, "g", "x".repeat(400_000))));
      expect((await here.admin.letters("g", undefined, 5)).map(({ id }) => id)).toEqual(numbered(5));
    });

    it("a second one of an id takes the first one's place, and frees it", async () => {
      const here = await world();
      await keep(here, letter("1", "g"), letter("2", "g"));
      await here.admin.claimLetters(["1"], "one", 60_000);
      await keep(here, letter("1", "g", "again"));
      const [first, second, none] = await here.admin.letters("g", undefined, 10);
      expect([Buffer.from(first!.body).toString(), second!.id, none]).toEqual(["again", "2", undefined]);
      expect(await here.admin.claimLetters(["1"], "two", 60_000)).toEqual(["1"]);
    });

    it("are claimed by one, until the lease is over or given up, and removed by whoever claimed last", async () => {
      const here = await world();
      await keep(here, ...numbered(3).map((id) => letter(id, "g")));
      expect(await here.admin.claimLetters(["1", "2", "none"], "a", 60_000)).toEqual(["1", "2"]);
      expect(await here.admin.claimLetters(["1", "2", "3"], "b", 1)).toEqual(["3"]);
      expect(await here.admin.claimLetters(["1"], "a", 0)).toEqual(["1"]);
      let claimed: readonly string[] = [];
      await until(async () => {
        claimed = await here.admin.claimLetters(["1", "2", "3"], "c", 60_000);
        return claimed.length === 2;
      }, "the lease of b to be over");
      expect(await here.admin.removeLetters(["1", "2", "3"], "b")).toEqual([]);
      expect(await here.admin.removeLetters(["1", "2", "3"], "c")).toEqual(["1", "3"]);
      expect(await here.admin.removeLetters(["1", "2"], "a")).toEqual(["2"]);
      expect(await here.admin.countLetters(undefined)).toBe(0);
    });

    it("have a place for a cursor when they are gone", async () => {
      const here = await world();
      await keep(here, ...numbered(5).map((id) => letter(id, "g")));
      await here.admin.claimLetters(["3"], "a", 60_000);
      await here.admin.removeLetters(["3"], "a");
      expect((await here.admin.letters("g", "3", 10)).map(({ id }) => id)).toEqual(["4", "5"]);
    });
  });
});
