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
  type TestConsumption,
  textOf,
  toQueue,
  until,
} from "../support/driver-harness.ts";
import { NatsWorld, natsServers } from "../support/nats-world.ts";

const soon = (): AbortSignal => AbortSignal.timeout(2_000);
const four: StreamOptions = { name: "events", topics: [">"], partitions: 4, maxBytes: 10_000_000 };
const ordered = (patterns: readonly string[] = [">"]): ReturnType<typeof groupSpec> =>
  groupSpec("g", { order: "group", patterns });

/** One text for each partition in turn. */
async function spread(connection: DriverConnection, texts: readonly string[], topic = "a.b"): Promise<void> {
  const sent = texts.flatMap((text, index) =>
    publish(connection, [text], { topic, hash: index % 4, key: `k${index % 4}` }),
  );
  await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
}

interface Requester {
  request(subject: string, body?: string): Promise<{ json<Value>(): Value }>;
}

async function ask<Answer>(connection: DriverConnection, call: string, body = "{}"): Promise<Answer> {
  return (await (connection.client as Requester).request(`$JS.API.${call}`, body)).json<Answer>();
}

async function consumers(connection: DriverConnection, { prefix }: NatsWorld): Promise<readonly string[]> {
  const stream = `${prefix}=s=events`;
  return (await ask<{ consumers: string[] | null }>(connection, `CONSUMER.NAMES.${stream}`)).consumers ?? [];
}

const texts = ({ sink }: TestConsumption): readonly string[] => sink.texts;
const all = (...members: readonly TestConsumption[]): readonly string[] => members.flatMap(texts);

/** Acknowledges everything as it comes, and writes down who had it. */
function handle(members: readonly TestConsumption[], handled: { readonly text: string; readonly by: number }[]): void {
  for (const [by, { sink, consumption }] of members.entries()) {
    const batch = sink.messages.splice(0);
    handled.push(...batch.map((message) => ({ text: textOf(message), by })));
    consumption.ack(batch);
  }
}

describe.each(await natsServers())("an ordered group on $name", (server) => {
  describe.skipIf(server.broker === undefined)("with a real server", () => {
    it("gives each partition to one member, shares them out again, and repeats nothing", async () => {
      const world = new NatsWorld(server);
      const connections = [await world.connect({ streams: [four] }), await world.connect({ streams: [four] })];
      const [one, two] = connections as [DriverConnection, DriverConnection];
      await one.ensureGroup(ordered());
      const members = [await joinGroup(one, "g")];
      await spread(one, numbered(40));
      const handled: { readonly text: string; readonly by: number }[] = [];
      await until(
        () => (handle(members, handled), handled.length === 40),
        () => `40, not ${handled.length}`,
      );
      members.push(await joinGroup(two, "g"));
      let published = 40;
      await until(
        () => {
          handle(members, handled);
          if (handled.length === published && new Set(handled.slice(-40).map(({ by }) => by)).size < 2) {
            void spread(one, numbered(40, published + 1));
            published += 40;
          }
          return handled.length === published && new Set(handled.slice(-40).map(({ by }) => by)).size === 2;
        },
        () => `both to have a share; ${handled.length} of ${published}`,
      );
      await members[0]!.consumption.close(soon());
      await spread(two, numbered(40, published + 1));
      published += 40;
      await until(
        () => (handle(members, handled), handled.length >= published),
        () => `all, not ${handled.length}`,
      );
      expect(new Set(handled.slice(-40).map(({ by }) => by))).toEqual(new Set([1]));
      expect(handled.map(({ text }) => text).toSorted()).toEqual(numbered(published).toSorted());
      for (const partition of [0, 1, 2, 3]) {
        const numbers = handled.map(({ text }) => Number(text)).filter((n) => (n - 1) % 4 === partition);
        expect(numbers, "in order").toEqual(numbers.toSorted((a, b) => a - b));
      }
    });

    it("waits for what the owner has in hand, and goes over as soon as it is settled", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [await world.connect({ streams: [four] }), await world.connect({ streams: [four] })];
      await one.ensureGroup(ordered());
      const first = await joinGroup(one, "g");
      await spread(one, numbered(8));
      await until(() => first.sink.messages.length === 8, "all");
      const second = await joinGroup(two, "g");
      await spread(one, numbered(8, 9));
      await until(() => all(first, second).length >= 12, "those of the partitions that stay");
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(second.sink.messages).toEqual([]);
      first.consumption.ack(first.sink.messages);
      await until(
        () => all(first, second).length === 16,
        () => `all of them, not ${all(first, second).join()}`,
      );
      expect(all(first, second).toSorted()).toEqual(numbered(16).toSorted());
      expect(second.sink.messages.length).toBe(4);
      expect(new Set(second.sink.messages.map(({ deliveries }) => deliveries))).toEqual(new Set([1]));
      expect(first.sink.revocations.length).toBe(2);
    });

    it("hands over what waits for its next attempt, with its note", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [await world.connect({ streams: [four] }), await world.connect({ streams: [four] })];
      await one.ensureGroup(ordered());
      const first = await joinGroup(one, "g");
      await spread(one, numbered(8));
      await until(() => first.sink.messages.length === 8, "all");
      const notBefore = Date.now() + 60_000;
      const waiting = first.sink.messages.filter((message) => Number(textOf(message)) <= 4);
      const notes = waiting.map((message) => ({ message, attempts: 2, notBefore, headers: [["x-a", "b"]] as const }));
      expect(await first.consumption.record(notes)).toEqual(["done", "done", "done", "done"]);
      const second = await joinGroup(two, "g");
      await until(
        () => second.sink.messages.length === 4,
        () => `half of them, not ${texts(second).join()}`,
      );
      for (const message of second.sink.messages) {
        const noted = Number(textOf(message)) <= 4;
        expect([message.deliveries, message.attempts, message.notBefore, message.note("x-a")]).toEqual(
          noted ? [1, 2, notBefore, "b"] : [1, 0, undefined, undefined],
        );
      }
      const lost = first.sink.messages.filter(({ partition }) =>
        first.sink.revocations.some((each) => "partition" in each && each.partition === partition),
      );
      expect(lost.length).toBe(4);
      first.consumption.ack(lost); // too late, and nothing of it counts
      expect(
        await first.consumption.record([{ message: lost[0]!, attempts: 9, notBefore: undefined, headers: [] }]),
      ).toEqual(["stale"]);
      await second.consumption.close(soon());
      await until(() => first.sink.messages.length === 12, "them to come back");
      expect(first.sink.messages.slice(8).filter(({ attempts }) => attempts === 2).length).toBe(2);
    });

    it("takes what a dead member left, as suspects, and the dead one settles nothing", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [
        await world.connect({ streams: [four], leaseMs: 600 }),
        await world.connect({ streams: [four], leaseMs: 600 }),
      ];
      await one.ensureGroup(ordered());
      const first = await joinGroup(one, "g");
      await spread(one, numbered(12));
      await until(() => first.sink.messages.length === 12, "all");
      first.consumption.ack(first.sink.messages.slice(0, 4));
      await first.consumption.flush();
      await first.consumption.close(AbortSignal.abort()); // its handlers may still run
      const second = await joinGroup(two, "g");
      await until(
        () => second.sink.messages.length >= 8,
        () => `the rest, not ${texts(second).join()}`,
      );
      expect(texts(second).toSorted()).toEqual(first.sink.messages.slice(4).map(textOf).toSorted());
      expect(new Set(second.sink.messages.map(({ deliveries }) => deliveries))).toEqual(new Set([2]));
      await spread(two, numbered(4, 13));
      await until(() => second.sink.messages.length === 12, "new ones");
      expect(new Set(second.sink.messages.slice(8).map(({ deliveries }) => deliveries))).toEqual(new Set([1]));
    });

    it("gives itself up when its lease ran out, and is fenced", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [
        await world.connect({ streams: [four], leaseMs: 600 }),
        await world.connect({ streams: [four], leaseMs: 600 }),
      ];
      await one.ensureGroup(ordered());
      const first = await joinGroup(one, "g");
      await spread(one, numbered(4));
      await until(() => first.sink.messages.length === 4, "all");
      // another member took them, whatever the first thinks
      const entries = await ask<{ state: { subjects: Record<string, number> } }>(
        two,
        `STREAM.INFO.KV_${world.prefix}`,
        JSON.stringify({ subjects_filter: `$KV.${world.prefix}.o.g.events.>` }),
      );
      const client = two.client as Requester & { publish(subject: string, body: string): void };
      for (const subject of Object.keys(entries.state.subjects)) {
        const { message } = await ask<{ message: { data: string } }>(
          two,
          `STREAM.MSG.GET.KV_${world.prefix}`,
          JSON.stringify({ last_by_subj: subject }),
        );
        const owner = JSON.parse(Buffer.from(message.data, "base64").toString()) as { epoch: number };
        client.publish(subject, JSON.stringify({ ...owner, epoch: owner.epoch + 1, member: "somebody" }));
      }
      await until(() => first.sink.revocations.length === 4, "it to be told");
      const [message] = first.sink.messages as [InMessage];
      expect(await first.consumption.settle([{ how: "dead", message, letter: letterOf(message, "g") }])).toEqual([
        "stale",
      ]);
      expect(await one.admin.countLetters("g")).toBe(0);
      await until(() => first.sink.messages.length === 8, "it to take them back from one who has no seat");
      expect(first.sink.messages.slice(4).map(textOf).toSorted()).toEqual(numbered(4));
    });

    it("grows with its owners: nothing that is new is passed over", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [await world.connect({ streams: [four] }), await world.connect({ streams: [four] })];
      await one.ensureGroup(ordered(["a"]));
      const members = [await joinGroup(one, "g"), await joinGroup(two, "g")];
      const handled: { readonly text: string; readonly by: number }[] = [];
      let published = 0;
      for (const pattern of ["b", "c.*", "*.x"]) {
        const publishing = spread(one, numbered(20, published + 1), "a");
        await two.ensureGroup(ordered([pattern]));
        await publishing;
        await spread(one, numbered(4, published + 21), pattern.replace("*", "y"));
        published += 24;
        handle(members, handled);
      }
      await until(
        () => (handle(members, handled), handled.length >= published),
        () => `${published}: ${handled.length}`,
      );
      expect(handled.map(({ text }) => text).toSorted()).toEqual(numbered(published).toSorted());
      expect((await consumers(one, world)).length).toBe(4);
      expect(members.every(({ sink }) => sink.specs.at(-1)?.reads[0]?.patterns.length === 4)).toBe(true);
    });

    it("goes on from its floor when its consumers are deleted behind its back", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect({ streams: [four], heartbeatMs: 200 });
      await connection.ensureGroup(ordered());
      const member = await joinGroup(connection, "g");
      await spread(connection, numbered(8));
      await until(() => member.sink.messages.length === 8, "all");
      member.consumption.ack(member.sink.messages.filter((message) => Number(textOf(message)) > 4));
      for (const name of await consumers(connection, world))
        await ask(connection, `CONSUMER.DELETE.${world.prefix}=s=events.${name}`);
      await spread(connection, numbered(4, 9));
      await until(
        () => member.sink.messages.length >= 12,
        () => `the new ones, not ${texts(member).join()}`,
      );
      expect(texts(member).toSorted(), "and nothing twice").toEqual(numbered(12).toSorted());
      member.consumption.ack(member.sink.messages.slice(0, 8));
      await member.consumption.close(soon());
      const again = await joinGroup(connection, "g");
      await until(() => again.sink.messages.length >= 4, "the rest");
      expect(texts(again).toSorted()).toEqual(texts(member).slice(8).toSorted());
    });

    it("keeps the order of its queue, by one owner", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [await world.connect({ streams: [four] }), await world.connect({ streams: [four] })];
      await one.ensureGroup(ordered());
      const members = [await joinGroup(one, "g"), await joinGroup(two, "g")];
      const send = async (values: readonly string[]): Promise<void> => {
        const sent = values.map((text) => outgoing(toQueue("g"), text, { key: "k" }));
        two.send(sent.map(({ message }) => message));
        await until(() => sent.every(({ outcome }) => outcome === "stored"), "stored");
      };
      await send(numbered(5));
      const handled: { readonly text: string; readonly by: number }[] = [];
      await until(() => (handle(members, handled), handled.length === 5), "all");
      const owner = handled[0]!.by;
      await members[owner]!.consumption.close(soon());
      await send(numbered(5, 6));
      await until(() => (handle(members, handled), handled.length === 10), "all");
      expect(handled.map(({ text }) => text)).toEqual(numbered(10));
      expect(new Set(handled.slice(5).map(({ by }) => by))).toEqual(new Set([1 - owner]));
    });

    it("ends when it was deleted, and begins from its floors when it is made again", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [await world.connect({ streams: [four] }), await world.connect({ streams: [four] })];
      await one.ensureGroup(ordered());
      const first = await joinGroup(one, "g");
      await spread(one, numbered(8));
      await until(() => first.sink.messages.length === 8, "all");
      const done = first.sink.messages.filter((message) => Number(textOf(message)) <= 4);
      first.consumption.ack(done);
      await until(
        () => first.sink.floors.size >= 4 && [...first.sink.floors.values()].every((each) => !each.startsWith("0@")),
        "floors",
      );
      expect(await two.admin.deleteGroup("g")).toBe(true);
      await until(() => first.sink.ends.length === 1, "to be told");
      expect(await consumers(one, world)).toEqual([]);
      await one.ensureGroup(ordered());
      const again = await consume(one, { kind: "group", group: "g", resume: first.sink.floors });
      await until(() => again.sink.messages.length >= 4, "what was not settled");
      expect(texts(again).toSorted()).toEqual(numbered(4, 5));
      expect(await codeOf(one.ensureGroup(groupSpec("g", { order: "none" })))).toBe("BUS_CONFLICT");
      const [message] = again.sink.messages as [InMessage];
      expect(
        await codeOf(again.consumption.settle([{ how: "retry", message, delayMs: 0, attempts: 1, headers: [] }])),
      ).toBe("BUS_UNSUPPORTED");
    });

    it("begins again at a stream that was made again", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect({ streams: [four], heartbeatMs: 200 });
      await connection.ensureGroup(ordered());
      const member = await joinGroup(connection, "g");
      await spread(connection, numbered(8));
      await until(() => member.sink.messages.length === 8, "all");
      member.consumption.ack(member.sink.messages);
      await ask(connection, `STREAM.DELETE.${world.prefix}=s=events`);
      await connection.ensureStream(four);
      await spread(connection, ["new"]);
      await until(() => member.sink.messages.length === 9, "what is there now", 8_000);
      expect(texts(member).at(-1)).toBe("new");
      expect(member.sink.ends).toEqual([]);
    });

    it("heeds the window of a partition, and that of all", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect({ streams: [four] });
      await connection.ensureGroup(ordered());
      await spread(connection, numbered(40));
      const { sink, consumption } = await joinGroup(connection, "g", { messages: 6, bytes: 1_000_000 });
      await until(() => sink.messages.length === 6, "six");
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(sink.messages.length).toBe(6);
      consumption.window({ messages: 0, bytes: 0 }, "events/0");
      consumption.window({ messages: 1_000, bytes: 1_000_000 });
      await until(() => sink.messages.length >= 30, "those of the others");
      await new Promise((resolve) => setTimeout(resolve, 200));
      const ofFirst = sink.messages.filter(({ partition }) => partition === "events/0").length;
      expect(ofFirst).toBeLessThan(10);
      consumption.window({ messages: 1_000, bytes: 1_000_000 }, "events/0");
      await until(() => sink.messages.length === 40, "all");
    });
  });
});
