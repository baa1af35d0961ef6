import { describe, expect, it } from "vitest";
import type { DriverConnection, StoredMessage } from "../../src/driver.ts";
import {
  codeOf,
  groupSpec,
  joinGroup,
  letterOf,
  numbered,
  outgoing,
  publish,
  type Sent,
  type TestConsumption,
  toTopic,
  until,
} from "../support/driver-harness.ts";
import { NatsWorld, natsServers } from "../support/nats-world.ts";

const ids = (letters: readonly StoredMessage[]): readonly string[] => letters.map(({ id }) => id);
const soon = (): AbortSignal => AbortSignal.timeout(2_000);

async function stored(connection: DriverConnection, texts: readonly string[], topic = "a.b"): Promise<void> {
  const sent = texts.flatMap((text, index) => publish(connection, [text], { topic, hash: index }));
  await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
}

/** A member that has what there is, and settles nothing by itself. */
async function member(connection: DriverConnection, group: string, count: number): Promise<TestConsumption> {
  const joined = await joinGroup(connection, group);
  await until(
    () => joined.sink.messages.length === count,
    () => `${count}, not ${joined.sink.messages.length}`,
  );
  return joined;
}

/** Gives up on what there is, with a letter for each. */
async function bury(connection: DriverConnection, group: string, count: number): Promise<void> {
  const { consumption, sink } = await member(connection, group, count);
  for (const message of sink.messages)
    expect(await consumption.settle([{ how: "dead", message, letter: letterOf(message, group) }])).toEqual(["done"]);
  await consumption.close(soon());
}

describe.each(await natsServers())("an operator on $name", (server) => {
  describe.skipIf(server.broker === undefined)("with several processes", () => {
    it("lists letters page by page, behind one that is gone too", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      const [one, two] = [connection.admin, (await world.connect()).admin];
      await stored(connection, numbered(5));
      for (const group of ["g", "h"]) {
        await connection.ensureGroup(groupSpec(group));
        await bury(connection, group, 5);
      }
      expect(ids(await one.letters("g", undefined, 3))).toEqual(["g/1", "g/2", "g/3"]);
      expect(ids(await one.letters("g", "g/3", 3))).toEqual(["g/4", "g/5"]);
      expect(ids(await one.letters(undefined, "g/4", 3))).toEqual(["g/5", "h/1", "h/2"]);
      expect([await one.countLetters("g"), await one.countLetters(undefined)]).toEqual([5, 10]);
      expect([await one.letter("g/none"), await one.letter("nothing")]).toEqual([undefined, undefined]);
      expect(await one.letter("g/2")).toEqual((await two.letters("g", "g/1", 1))[0]);
      expect(await one.claimLetters(["g/3"], "t", 5_000)).toEqual(["g/3"]);
      expect(await one.removeLetters(["g/3"], "t")).toEqual(["g/3"]);
      for (const admin of [one, two]) expect(ids(await admin.letters("g", "g/3", 9))).toEqual(["g/4", "g/5"]);
    });

    it("claims a letter for one of two, until its lease is over or given up", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      const [one, two] = [connection.admin, (await world.connect()).admin];
      await connection.ensureGroup(groupSpec("g"));
      await stored(connection, numbered(3));
      await bury(connection, "g", 3);
      const both = await Promise.all([
        one.claimLetters(["g/1", "g/2", "g/x"], "t1", 5_000),
        two.claimLetters(["g/2", "g/1"], "t2", 5_000),
      ]);
      expect(both.flat().toSorted()).toEqual(["g/1", "g/2"]);
      for (const id of ["g/1", "g/2"]) {
        const [own, others] = both[0].includes(id) ? ["t1", "t2"] : ["t2", "t1"];
        expect(await one.removeLetters([id], others)).toEqual([]);
        expect(await two.claimLetters([id], own, 5_000)).toEqual([id]);
        expect(await two.claimLetters([id], own, 0)).toEqual([id]);
        expect(await one.claimLetters([id], others, 5_000)).toEqual([id]);
        expect(await one.removeLetters([id], others)).toEqual([id]);
        expect(await one.removeLetters([id], others)).toEqual([]);
      }
      expect(await one.claimLetters(["g/3"], "t1", 30)).toEqual(["g/3"]);
      let claimed: readonly string[] = [];
      const again = async (): Promise<void> => {
        while (claimed.length === 0) claimed = await two.claimLetters(["g/3"], "t2", 5_000);
      };
      await again();
      expect(claimed).toEqual(["g/3"]);
    });

    it("removes the letter that was claimed, and never the one that its event's next failure left", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      const { admin } = connection;
      await connection.ensureGroup(groupSpec("g"));
      await stored(connection, ["1"]);
      await bury(connection, "g", 1);
      expect(await admin.claimLetters(["g/1"], "t", 5_000)).toEqual(["g/1"]);
      await stored(connection, ["1"]); // replayed, and fails before the operator goes on
      await bury(connection, "g", 1);
      expect(await admin.claimLetters(["g/1"], "t", 5_000)).toEqual([]);
      expect(await admin.removeLetters(["g/1"], "t")).toEqual([]);
      expect(ids(await admin.letters("g", undefined, 9))).toEqual(["g/1"]);
      expect(await admin.claimLetters(["g/1"], "next", 5_000)).toEqual(["g/1"]);
      expect(await admin.removeLetters(["g/1"], "next")).toEqual(["g/1"]);
    });

    it.each(["none", "group"] as const)("trims what every group has handled (order: %s)", async (order) => {
      const world = new NatsWorld(server);
      const streams = [{ name: "events", topics: [">"], partitions: 3 }];
      const connection = await world.connect({ streams });
      const { admin } = connection;
      for (const [group, patterns] of [
        ["all", [">"]],
        ["some", ["a.*", "b.>"]],
        ["never", ["x.y"]],
      ] as const)
        await connection.ensureGroup(groupSpec(group, { order, patterns }));
      await stored(connection, numbered(9));
      await stored(connection, ["10"], "c");
      expect(await admin.trim!("events", { at: "newest" })).toBe(0);
      const all = await member(connection, "all", 10);
      all.consumption.ack(all.sink.messages);
      await all.consumption.flush();
      expect(await admin.trim!("events", { at: "newest" })).toBe(0);
      const some = await member(connection, "some", 9);
      const byPosition = some.sink.messages.toSorted((a, b) => Number(a.position) - Number(b.position));
      some.consumption.ack(byPosition.slice(0, 4));
      await some.consumption.flush();
      expect(await admin.trim!("events", { positions: { events: "2" } })).toBe(2);
      expect(await admin.trim!("events", { time: Date.now() + 60_000 })).toBe(2);
      expect(await admin.trim!("events", { at: "newest" })).toBe(0);
      some.consumption.ack(byPosition.slice(4));
      await some.consumption.flush();
      expect(await admin.trim!("events", { at: "oldest" })).toBe(0);
      expect(await admin.trim!("events", { time: 0 })).toBe(0);
      expect(await admin.trim!("events", { at: "newest" })).toBe(6);
      expect(await codeOf(admin.trim!("none", { at: "newest" }))).toBe("BUS_NOT_FOUND");
      expect((await admin.streams())[0]).toMatchObject({
        name: "events",
        messages: 0,
        groups: ["all", "never", "some"],
      });
      expect(await admin.positions("events")).toEqual({ events: "10" });
    });

    it.each(["none", "group"] as const)(
      "counts what a group has before it, with and without members (order: %s)",
      async (order) => {
        const world = new NatsWorld(server);
        const streams = [{ name: "events", topics: [">"], partitions: 3 }];
        const [connection, other] = [await world.connect({ streams }), await world.connect({ streams })];
        await connection.ensureGroup(groupSpec("g", { order, patterns: ["a.*", "b.c"] }));
        const untilCounts = async (wanted: readonly number[]): Promise<void> => {
          for (const start = performance.now(); ;) {
            const [state] = await other.admin.groups();
            const counts = [state!.waiting, state!.inFlight, state!.scheduled];
            if (counts.join() === wanted.join()) return;
            if (performance.now() - start > 3_000) expect(counts).toEqual(wanted);
          }
        };
        await untilCounts([0, 0, 0]);
        await stored(connection, numbered(6));
        await stored(connection, ["c"], "c");
        await untilCounts([6, 0, 0]);
        expect((await other.admin.groups())[0]?.oldestWaitingMs).toBeGreaterThanOrEqual(0);
        const { consumption, sink } = await member(connection, "g", 6);
        await untilCounts([0, 6, 0]);
        expect((await other.admin.groups())[0]?.oldestWaitingMs).toBeUndefined();
        const members = await other.admin.members("g");
        expect(members).toMatchObject([
          { host: "here", pid: 1, partitions: order === "group" ? [0, 1, 2] : undefined },
        ]);
        const byPosition = sink.messages.toSorted((a, b) => Number(a.position) - Number(b.position));
        consumption.ack([byPosition[0]!, byPosition[5]!]);
        await consumption.flush();
        await untilCounts([0, 4, 0]);
        await consumption.close(soon());
        await untilCounts([4, 0, 0]);
        expect(await other.admin.members("g")).toEqual([]);
        expect(await codeOf(other.admin.members("none"))).toBe("BUS_NOT_FOUND");
      },
    );

    it("has room made by what every group has handled, or that one without members may not hold", async () => {
      const world = new NatsWorld(server);
      const streams = [{ name: "events", topics: [">"], partitions: 1, maxMessages: 3, idleGroupMs: 400 }];
      const connection = await world.connect({ streams });
      await connection.ensureGroup(groupSpec("g"));
      const { consumption, sink } = await member(connection, "g", 0);
      await stored(connection, numbered(3));
      await until(() => sink.messages.length === 3, "three");
      const attempt = async (): Promise<Sent["outcome"]> => {
        const [sent] = publish(connection, ["next"]);
        await until(() => sent!.outcome !== "waiting", "the outcome");
        if (sent!.outcome === "no") expect(sent!.error).toMatchObject({ code: "BUS_FULL", retryable: true });
        return sent!.outcome;
      };
      const room = async (): Promise<number> => {
        const start = performance.now();
        while ((await attempt()) !== "stored") expect(performance.now() - start).toBeLessThan(5_000);
        return performance.now() - start;
      };
      const held = performance.now();
      while (performance.now() - held < 600) expect(await attempt()).toBe("no"); // it has a member
      consumption.ack(sink.messages.slice(0, 1));
      await room();
      expect((await connection.admin.streams())[0]?.messages).toBe(3);
      await consumption.close(soon());
      expect(await room()).toBeGreaterThan(300);
    });

    it("deletes a group with its queue and letters, and a stream with what was noted of it", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      const { admin } = connection;
      await connection.ensureGroup(groupSpec("g"));
      await connection.ensureGroup(groupSpec("o", { order: "group" }));
      await stored(connection, numbered(4));
      await bury(connection, "o", 4);
      for (const [group, attempts] of [["g", 1]] as const) {
        const { consumption, sink } = await member(connection, group, 4);
        const [message] = sink.messages;
        await consumption.settle([{ how: "retry", message: message!, delayMs: 0, attempts, headers: [["x", "1"]] }]);
        await until(() => sink.messages.length === 5, "it to come again");
        expect(sink.messages[4]!.attempts).toBe(1);
        await consumption.close(soon());
      }
      expect(await admin.deleteStream("events")).toBe(true);
      expect(await admin.deleteStream("events")).toBe(false);
      await connection.ensureStream({ name: "events", topics: [">"], partitions: 1 });
      await stored(connection, numbered(4));
      for (const group of ["g", "o"]) {
        const { consumption, sink } = await member(connection, group, 4);
        expect(sink.messages.map(({ attempts, deliveries }) => [attempts, deliveries])).toEqual(
          numbered(4).map(() => [0, 1]),
        );
        consumption.ack(sink.messages);
        await consumption.close(soon());
      }
      expect(await admin.countLetters("o")).toBe(4);
      expect([await admin.deleteGroup("o"), await admin.deleteGroup("o")]).toEqual([true, false]);
      expect([await admin.countLetters("o"), (await admin.groups()).map(({ spec }) => spec.group)]).toEqual([0, ["g"]]);
    });

    it("takes nothing from a stream that somebody else made", async () => {
      const world = new NatsWorld(server);
      const client = (await world.connect()).client as {
        request(subject: string, body?: string, options?: { readonly timeout: number }): Promise<{ json(): unknown }>;
      };
      const stream = `THEIRS-${world.prefix}`;
      const config = {
        name: stream,
        subjects: [`${stream}.>`],
        retention: "limits",
        storage: "file",
        discard: "new",
        max_msgs: 2,
      };
      const made = await client.request(`$JS.API.STREAM.CREATE.${stream}`, JSON.stringify(config), { timeout: 10_000 });
      expect(made.json()).not.toHaveProperty("error");
      const attach = { theirs: { stream, subjectPrefix: `${stream}.` } };
      const connection = await world.connect({ attach, streams: [{ name: "theirs", topics: [">"] }] });
      const attempt = async (text: string): Promise<unknown> => {
        const sent = outgoing(toTopic("a.b", "theirs"), text);
        connection.send([sent.message]);
        await until(() => sent.outcome !== "waiting", "the outcome");
        return sent.outcome === "stored" ? "stored" : (sent.error as { readonly code?: string }).code;
      };
      expect([await attempt("1"), await attempt("2")]).toEqual(["stored", "stored"]);
      for (const start = performance.now(); performance.now() - start < 300;)
        expect(await attempt("3")).toBe("BUS_FULL"); // no group holds them, and they stay
      expect(await codeOf(connection.admin.trim!("theirs", { at: "newest" }))).toBe("BUS_CONFLICT");
      expect(await codeOf(connection.admin.deleteStream("theirs"))).toBe("BUS_CONFLICT");
      expect((await connection.admin.streams()).find(({ name }) => name === "theirs")?.messages).toBe(2);
      await client.request(`$JS.API.STREAM.DELETE.${stream}`, undefined, { timeout: 10_000 });
    });
  });
});
