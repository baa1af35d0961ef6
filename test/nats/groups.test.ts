import { describe, expect, it } from "vitest";
import type { DriverConnection, InMessage, StreamOptions } from "../../src/driver.ts";
import {
  codeOf,
  consume,
  groupSpec,
  joinGroup,
  letterOf,
  numbered,
  outgoing,
  publish,
  textOf,
  toQueue,
  until,
} from "../support/driver-harness.ts";
import { NatsWorld, natsServers } from "../support/nats-world.ts";

const soon = (): AbortSignal => AbortSignal.timeout(2_000);

async function stored(connection: DriverConnection, texts: readonly string[], topic = "a.b"): Promise<void> {
  const sent = publish(connection, texts, { topic });
  await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
}

interface Requester {
  request(subject: string, body?: string): Promise<{ json<Value>(): Value }>;
}

/** What the server itself says. */
async function ask<Answer>(connection: DriverConnection, call: string, body = "{}"): Promise<Answer> {
  return (await (connection.client as Requester).request(`$JS.API.${call}`, body)).json<Answer>();
}

async function consumers(connection: DriverConnection, { prefix }: NatsWorld): Promise<readonly string[]> {
  const stream = `${prefix}=s=events`;
  return (await ask<{ consumers: string[] | null }>(connection, `CONSUMER.NAMES.${stream}`)).consumers ?? [];
}

async function messagesIn(connection: DriverConnection, stream: string): Promise<number> {
  return (await ask<{ state: { messages: number } }>(connection, `STREAM.INFO.${stream}`)).state.messages;
}

/** Waits for what a server says. */
async function eventually<Value>(look: () => Promise<Value>, wanted: Value): Promise<void> {
  let seen: Value | undefined;
  let busy = false;
  await until(
    () => {
      if (!busy && seen !== wanted) {
        busy = true;
        void look().then((value) => ((seen = value), (busy = false)));
      }
      return seen === wanted;
    },
    () => `${String(wanted)}, not ${String(seen)}`,
  );
}

const small: StreamOptions = { name: "events", topics: [">"], partitions: 1, maxBytes: 10_000_000 };

describe.each(await natsServers())("an unordered group on $name", (server) => {
  describe.skipIf(server.broker === undefined)("with a real server", () => {
    it("hands each message to one member, and goes on where it was", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [await world.connect({ streams: [small] }), await world.connect({ streams: [small] })];
      await one.ensureGroup(groupSpec("g"));
      await stored(one, numbered(100));
      const narrow = { messages: 5, bytes: 1_000_000 };
      const members = [await joinGroup(one, "g", narrow), await joinGroup(two, "g", narrow)];
      const handled: string[] = [];
      await until(() => {
        for (const { sink, consumption } of members) {
          const batch = sink.messages.splice(0);
          handled.push(...batch.map(textOf));
          expect(batch.length).toBeLessThanOrEqual(5);
          consumption.ack(batch);
        }
        return handled.length >= 100;
      }, "all of them");
      expect(handled.toSorted()).toEqual(numbered(100).toSorted());
      for (const { consumption } of members) await consumption.close(soon());
      await stored(two, ["later"]);
      const { sink } = await joinGroup(one, "g");
      await until(() => sink.messages.length > 0, "the later one");
      expect(sink.texts).toEqual(["later"]);
      expect(sink.messages[0]!.deliveries).toBe(1);
    });

    it("hands back what nobody touched, uncounted, and what was cut off as suspects", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [await world.connect({ streams: [small] }), await world.connect({ streams: [small] })];
      await one.ensureGroup(groupSpec("g"));
      await stored(one, numbered(20));
      const first = await joinGroup(one, "g");
      await until(() => first.sink.messages.length === 20, "all");
      await first.consumption.close(soon());
      const second = await joinGroup(two, "g");
      await until(() => second.sink.messages.length === 20, "all of them again");
      expect(new Set(second.sink.messages.map(({ deliveries }) => deliveries))).toEqual(new Set([1]));
      await second.consumption.close(AbortSignal.abort());
      const third = await joinGroup(one, "g");
      await until(() => third.sink.messages.length === 20, "all of them once more");
      expect(new Set(third.sink.messages.map(({ deliveries }) => deliveries))).toEqual(new Set([2]));
      await third.consumption.close(soon());
      const fourth = await joinGroup(two, "g");
      await until(() => fourth.sink.messages.length === 20, "all of them a last time");
      expect(new Set(fourth.sink.messages.map(({ deliveries }) => deliveries)), "they did not run meanwhile").toEqual(
        new Set([2]),
      );
    });

    it("retries with its attempts and headers, when it is due and by whoever has room", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [await world.connect({ streams: [small] }), await world.connect({ streams: [small] })];
      await one.ensureGroup(groupSpec("g"));
      await stored(one, ["x"]);
      const first = await joinGroup(one, "g");
      await until(() => first.sink.messages.length === 1, "it");
      const [message] = first.sink.messages as [InMessage];
      const started = performance.now();
      const settled = await first.consumption.settle([
        { how: "retry", message, delayMs: 200, attempts: 3, headers: [["omnibus-x", "1"]] },
      ]);
      expect(settled).toEqual(["done"]);
      expect(await first.consumption.settle([{ how: "release", message, delayMs: 0, headers: [] }])).toEqual(["stale"]);
      await first.consumption.close(soon());
      const second = await joinGroup(two, "g");
      await until(() => second.sink.messages.length === 1, "it again");
      expect(performance.now() - started).toBeGreaterThan(190);
      const [again] = second.sink.messages as [InMessage];
      expect([again.attempts, again.deliveries, again.note("omnibus-x"), again.note("omnibus-y")]).toEqual([
        3,
        1,
        "1",
        undefined,
      ]);
      expect(
        await second.consumption.record([{ message: again, attempts: 4, notBefore: 7, headers: [["omnibus-y", "2"]] }]),
      ).toEqual(["done"]);
      expect([again.attempts, again.notBefore, again.note("omnibus-x"), again.note("omnibus-y")]).toEqual([
        4,
        7,
        "1",
        "2",
      ]);
      await second.consumption.close(soon());
      const third = await joinGroup(one, "g");
      await until(() => third.sink.messages.length === 1, "it once more");
      expect([third.sink.messages[0]!.attempts, third.sink.messages[0]!.note("omnibus-y")]).toEqual([4, "2"]);
      third.consumption.ack(third.sink.messages);
      await third.consumption.flush();
      await eventually(() => messagesIn(one, `${world.prefix}=n`), 0);
    });

    it("passes what one released to one that did not, and only then waits", async () => {
      const world = new NatsWorld(server);
      const connections = await Promise.all(Array.from({ length: 4 }, () => world.connect({ streams: [small] })));
      await connections[0]!.ensureGroup(groupSpec("g"));
      const members = await Promise.all(connections.map((each) => joinGroup(each, "g")));
      await stored(connections[0]!, ["x"]);
      const started = performance.now();
      const seen: number[] = [];
      for (let round = 0; round < 4; round += 1) {
        await until(
          () => members.some(({ sink }) => sink.messages.length > 0),
          `one to have it the ${round + 1}. time`,
        );
        const index = members.findIndex(({ sink }) => sink.messages.length > 0);
        seen.push(index);
        const [message] = members[index]!.sink.messages.splice(0) as [InMessage];
        expect(message.deliveries).toBe(1);
        await members[index]!.consumption.settle([{ how: "release", message, delayMs: 2_000, headers: [] }]);
      }
      expect(seen.toSorted()).toEqual([0, 1, 2, 3]);
      expect(performance.now() - started).toBeLessThan(1_500);
      await until(() => members.some(({ sink }) => sink.messages.length > 0), "one to have it after the delay");
      expect(performance.now() - started).toBeGreaterThan(1_900);
    });

    it("stores the letter before the message goes, and forgets neither", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect({ streams: [small] });
      await connection.ensureGroup(groupSpec("g"));
      await stored(connection, ["x", "y"]);
      const { sink, consumption } = await joinGroup(connection, "g");
      await until(() => sink.messages.length === 2, "both");
      const [x] = sink.messages as [InMessage, InMessage];
      expect(await consumption.settle([{ how: "dead", message: x, letter: letterOf(x, "g") }])).toEqual(["done"]);
      expect((await connection.admin.letters("g", undefined, 9)).map(({ id }) => id)).toEqual(["g/x"]);
      await consumption.close(soon());
      const again = await joinGroup(connection, "g");
      await until(() => again.sink.messages.length === 1, "the other");
      expect(again.sink.texts).toEqual(["y"]);
    });

    it("reads its queue beside its streams, what was sent before it existed too", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect({ streams: [small] });
      const early = outgoing(toQueue("g"), "early");
      connection.send([early.message]);
      await until(() => early.outcome === "stored", "it to be stored");
      await connection.ensureGroup(groupSpec("g", { patterns: ["a.*"] }));
      await stored(connection, ["event"]);
      const { sink, consumption } = await joinGroup(connection, "g", { messages: 1, bytes: 1_000_000 });
      await until(() => sink.messages.length === 1, "one");
      const [first] = sink.messages;
      consumption.ack([first!]);
      await until(() => sink.messages.length === 2, "the other");
      expect(sink.texts.toSorted()).toEqual(["early", "event"]);
      expect(sink.messages.map(({ lane, topic }) => `${lane} ${topic}`).toSorted()).toEqual([
        "queue jobs",
        "stream a.b",
      ]);
      consumption.ack(sink.messages.slice(1));
      await consumption.flush();
      await eventually(() => messagesIn(connection, `${world.prefix}=q`), 0);
    });

    it("grows while it is read: everything once, and the old consumer goes", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [await world.connect({ streams: [small] }), await world.connect({ streams: [small] })];
      await one.ensureGroup(groupSpec("g", { patterns: ["a"] }));
      const members = [await joinGroup(one, "g"), await joinGroup(two, "g")];
      const handled: string[] = [];
      const take = (): void => {
        for (const { sink, consumption } of members) {
          const batch = sink.messages.splice(0);
          handled.push(...batch.map(textOf));
          consumption.ack(batch);
        }
      };
      let published = 0;
      for (const pattern of ["b", "c.*", "a.>", "*.x"]) {
        const growing = two.ensureGroup(groupSpec("g", { patterns: [pattern] }));
        const texts = numbered(20, published + 1);
        published += 20;
        const sent = publish(one, texts, { topic: "a" });
        await Promise.all([growing, until(() => sent.every(({ outcome }) => outcome === "stored"), "stored")]);
        await stored(one, [`new ${pattern}`], pattern.replace("*", "x").replace(">", "y"));
        take();
      }
      await until(
        () => (take(), handled.length >= published + 4),
        () => `all: ${handled.length} of ${published + 4}`,
      );
      expect(handled.toSorted()).toEqual([...numbered(published), "new b", "new c.*", "new a.>", "new *.x"].toSorted());
      await until(
        () => members.every(({ sink }) => sink.specs.at(-1)?.reads[0]?.patterns.length === 5),
        "both to be told",
      );
      await eventually(async () => (await consumers(one, world)).length, 1);
    });

    it("lets many grow it at once, and all win", async () => {
      const world = new NatsWorld(server);
      const connections = await Promise.all(Array.from({ length: 5 }, () => world.connect({ streams: [small] })));
      const members = await Promise.all(
        connections.map(async (connection, index) => {
          await connection.ensureGroup(groupSpec("g", { patterns: [`t${index}.*`] }));
          return await joinGroup(connection, "g");
        }),
      );
      await Promise.all(connections.map((each, index) => stored(each, [`${index}`], `t${index}.x`)));
      const texts = (): readonly string[] => members.flatMap(({ sink }) => sink.texts);
      await until(
        () => texts().length >= 5,
        () => `all five, not ${texts().join()}`,
      );
      expect(texts().toSorted()).toEqual(["0", "1", "2", "3", "4"]);
    });

    it("ends when it was deleted, and begins from its floor when it is made again", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [await world.connect({ streams: [small] }), await world.connect({ streams: [small] })];
      await one.ensureGroup(groupSpec("g"));
      await stored(one, numbered(3));
      const first = await joinGroup(one, "g");
      await until(() => first.sink.messages.length === 3, "all");
      first.consumption.ack(first.sink.messages.slice(0, 2));
      await until(() => first.sink.floors.get("events")?.startsWith("2@") === true, "the floor to be told");
      expect(await two.admin.deleteGroup("g")).toBe(true);
      await until(() => first.sink.ends.length === 1, "to be told");
      expect(first.sink.ends[0]!.kept).toBe(false);
      await one.ensureGroup(groupSpec("g"));
      first.consumption.ack(first.sink.messages.slice(2)); // too late, and of no consumer that is there
      const again = await consume(one, { kind: "group", group: "g", resume: first.sink.floors });
      await until(() => again.sink.messages.length === 1, "what was not settled");
      expect(again.sink.texts).toEqual(["3"]);
      expect(await codeOf(joinGroup(one, "none"))).toBe("BUS_NOT_FOUND");
    });

    it("is noticed when its consumer is deleted behind its back, and goes on from its floor", async () => {
      const world = new NatsWorld(server);
      const heartbeatMs = 200;
      const connection = await world.connect({ heartbeatMs, streams: [small] });
      await connection.ensureGroup(groupSpec("g"));
      await stored(connection, numbered(3));
      const first = await joinGroup(connection, "g");
      await until(() => first.sink.messages.length === 3, "all");
      first.consumption.ack(first.sink.messages.slice(0, 2));
      await until(() => first.sink.floors.get("events")?.startsWith("2@") === true, "the floor to be told");
      for (const name of await consumers(connection, world))
        await ask(connection, `CONSUMER.DELETE.${world.prefix}=s=events.${name}`);
      const deleted = performance.now();
      await until(() => first.sink.ends.length === 1, "to be told");
      expect(performance.now() - deleted).toBeLessThan(2 * heartbeatMs + 2_000);
      await connection.ensureGroup(groupSpec("g"));
      const again = await consume(connection, { kind: "group", group: "g", resume: first.sink.floors });
      await until(() => again.sink.messages.length === 1, "what was not settled");
      expect(again.sink.texts).toEqual(["3"]);
    });

    it("begins again at a stream that was made again, and says what is lost", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect({ heartbeatMs: 200, streams: [small] });
      await connection.ensureGroup(groupSpec("g"));
      await stored(connection, numbered(3));
      const first = await joinGroup(connection, "g");
      await until(() => first.sink.messages.length === 3, "all");
      first.consumption.ack(first.sink.messages);
      await until(() => first.sink.floors.get("events")?.startsWith("3@") === true, "the floor to be told");
      await ask(connection, `STREAM.DELETE.${world.prefix}=s=events`);
      await until(() => first.sink.ends.length === 1, "to be told");
      await connection.ensureStream(small);
      await stored(connection, ["new"]);
      await connection.ensureGroup(groupSpec("g"));
      const again = await consume(connection, { kind: "group", group: "g", resume: first.sink.floors });
      await until(() => again.sink.messages.length === 1, "what is there now");
      expect(again.sink.texts).toEqual(["new"]);
    });

    it("starts where it was asked to, and keeps what it began with", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect({ streams: [small] });
      await stored(connection, numbered(3));
      const positions = await connection.admin.positions("events");
      for (const [group, from] of [
        ["oldest", { at: "oldest" }],
        ["newest", { at: "newest" }],
        ["position", { positions }],
        ["elsewhere", { positions: { events: "99" } }],
      ] as const)
        await connection.ensureGroup(groupSpec(group, { from }));
      await connection.ensureGroup(groupSpec("newest", { from: { at: "oldest" } }));
      await stored(connection, ["4"]);
      const all = ["oldest", "newest", "position", "elsewhere"];
      const members = await Promise.all(all.map((group) => joinGroup(connection, group)));
      const expected = [["1", "2", "3", "4"], ["4"], ["4"], ["1", "2", "3", "4"]];
      await until(
        () => members.every(({ sink }, index) => sink.messages.length >= expected[index]!.length),
        "all to have theirs",
      );
      expect(members.map(({ sink }) => sink.texts)).toEqual(expected);
      expect(await codeOf(connection.ensureGroup(groupSpec("bad", { from: { positions: { events: "x" } } })))).toBe(
        "BUS_INVALID_OPTION",
      );
      expect(await codeOf(connection.ensureGroup(groupSpec("nowhere", { stream: "none" })))).toBe("BUS_NOT_FOUND");
    });

    it("shares a live group's events, and forgets it with its last member", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [await world.connect({ streams: [small] }), await world.connect({ streams: [small] })];
      const live = groupSpec("g", { live: true, order: undefined });
      await stored(one, ["before"]);
      expect((await one.ensureGroup(live)).order).toBe("process");
      await two.ensureGroup(live);
      const members = [await joinGroup(one, "g"), await joinGroup(two, "g")];
      await stored(one, numbered(10));
      const texts = (): readonly string[] => members.flatMap(({ sink }) => sink.texts);
      await until(() => texts().length >= 10, "all");
      expect(texts().toSorted()).toEqual(numbered(10).toSorted());
      for (const { consumption, sink } of members) {
        consumption.ack(sink.messages);
        await consumption.close(soon());
      }
      expect(await consumers(one, world)).toEqual([]);
      await stored(one, ["between"]);
      await one.ensureGroup(live);
      const { sink } = await joinGroup(one, "g");
      await stored(one, ["after"]);
      await until(() => sink.messages.length > 0, "the new one");
      expect(sink.texts).toEqual(["after"]);
      expect(await codeOf(one.ensureGroup(groupSpec("g")))).toBe("BUS_CONFLICT");
    });

    it("keeps what a handler holds for longer than a lease", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [
        await world.connect({ leaseMs: 1_000, streams: [small] }),
        await world.connect({ leaseMs: 1_000, streams: [small] }),
      ];
      await one.ensureGroup(groupSpec("g"));
      await stored(one, ["x"]);
      const first = await joinGroup(one, "g");
      await until(() => first.sink.messages.length === 1, "it");
      const second = await joinGroup(two, "g");
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      expect([first.sink.messages.length, second.sink.messages.length]).toEqual([1, 0]);
    });
  });
});
