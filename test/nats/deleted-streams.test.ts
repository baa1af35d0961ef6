import { describe, expect, it } from "vitest";
import type { DriverConnection, StreamOptions, Window } from "../../src/driver.ts";
import {
  consume,
  groupSpec,
  numbered,
  outgoing,
  type TestConsumption,
  textOf,
  toTopic,
  turns,
  until,
  wide,
} from "../support/driver-harness.ts";
import { NatsWorld, natsServers } from "../support/nats-world.ts";

const events: StreamOptions = { name: "events", topics: [">"], partitions: 2, maxBytes: 10_000_000 };
const quick = { leaseMs: 1_000, heartbeatMs: 200, streams: [events] };

interface Requester {
  request(subject: string): Promise<unknown>;
}

/** A member as the core has it: what ended is opened again, from its floors. */
class Member {
  readonly #connection: DriverConnection;
  readonly #window: Window;
  readonly texts: string[] = [];
  readonly losses: string[] = [];
  #open: TestConsumption | undefined;
  #opening: Promise<void> | undefined;

  constructor(connection: DriverConnection, window: Window = wide) {
    this.#connection = connection;
    this.#window = window;
  }

  async join(resume?: ReadonlyMap<string, string>): Promise<this> {
    this.#open = await consume(this.#connection, { kind: "group", group: "g", resume }, this.#window);
    return this;
  }

  /** Settles what came, but for the messages that are to be kept. */
  take(keep = false): void {
    const { sink, consumption } = this.#open!;
    this.losses.push(...sink.losses.splice(0).map(({ reason }) => reason));
    const batch = keep ? [] : sink.messages.splice(0);
    this.texts.push(...batch.map(textOf));
    consumption.ack(batch);
    if (sink.ends.length > 0 && this.#opening === undefined)
      this.#opening = this.join(sink.floors)
        .catch(() => undefined)
        .then(() => void (this.#opening = undefined));
  }

  get inHand(): number {
    return this.#open!.sink.messages.length;
  }

  async leave(): Promise<void> {
    await this.#open!.consumption.close(AbortSignal.timeout(2_000));
  }
}

async function stored(connection: DriverConnection, texts: readonly string[]): Promise<void> {
  const sent = texts.map((text) => outgoing(toTopic("a"), text, { hash: Number(text) % 2 }));
  connection.send(sent.map(({ message }) => message));
  await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
}

describe.each(await natsServers())("a stream that an operator deleted at $name", (server) => {
  describe.skipIf(server.broker === undefined).each(["none", "group"] as const)("and a group (order: %s)", (order) => {
    /** Deleted and made again, and the groups' definitions with it, as the core does when it hears of that. */
    async function renewed(world: NatsWorld, connection: DriverConnection): Promise<void> {
      await (connection.client as Requester).request(`$JS.API.STREAM.DELETE.${world.prefix}=s=events`);
      await connection.ensureStream(events);
      await connection.ensureGroup(groupSpec("g", { order }));
    }

    it("is told by who had something left, once", async () => {
      const world = new NatsWorld(server);
      const [operator, one] = [await world.connect(quick), await world.connect(quick)];
      await one.ensureGroup(groupSpec("g", { order }));
      const member = await new Member(one, { messages: 2, bytes: 1_000_000 }).join();
      for (const text of numbered(20)) await stored(operator, [text]);
      await until(() => member.inHand >= 2, "its hands to be full");
      await renewed(world, operator);
      await stored(operator, ["21", "22"]);
      await until(
        () => (member.take(), member.texts.includes("21") && member.texts.includes("22")),
        () => `the new ones, not ${member.texts.join()}`,
        10_000,
      );
      await turns(50);
      member.take();
      expect(member.losses).toEqual(["the stream was deleted"]);
    });

    it("is told although what was in hand was handled before the deletion was noticed", async () => {
      const world = new NatsWorld(server);
      const [operator, one] = [await world.connect(quick), await world.connect(quick)];
      await one.ensureGroup(groupSpec("g", { order }));
      const member = await new Member(one, { messages: 2, bytes: 1_000_000 }).join();
      for (const text of numbered(20)) await stored(operator, [text]);
      await until(() => member.inHand >= 2, "its hands to be full");
      const gone = renewed(world, operator);
      member.take();
      await gone;
      await stored(operator, ["21", "22"]);
      await until(
        () => (member.take(), member.texts.includes("21") && member.texts.includes("22")),
        () => `the new ones, not ${member.texts.join()}`,
        10_000,
      );
      member.take();
      const lost = member.texts.length < 22;
      if (lost) await until(() => member.losses.length > 0, "what was lost to be told");
      expect(member.losses).toEqual(lost ? ["the stream was deleted"] : []);
    });

    it("is told to nobody when nothing was left", async () => {
      const world = new NatsWorld(server);
      const [operator, one] = [await world.connect(quick), await world.connect(quick)];
      await one.ensureGroup(groupSpec("g", { order }));
      const member = await new Member(one).join();
      await stored(operator, numbered(20));
      await until(() => (member.take(), member.texts.length === 20), "all");
      const from = performance.now();
      await until(() => performance.now() - from > 300, "it to be idle");
      await renewed(world, operator);
      await stored(operator, ["21", "22"]);
      await until(() => (member.take(), member.texts.length === 22), "the new ones", 10_000);
      expect(member.losses).toEqual([]);
    });

    it("is told to the next member when none was there, and to no other", async () => {
      const world = new NatsWorld(server);
      const [operator, one, two] = [await world.connect(quick), await world.connect(quick), await world.connect(quick)];
      await one.ensureGroup(groupSpec("g", { order }));
      await (await new Member(one).join()).leave();
      await stored(operator, numbered(4));
      await renewed(world, operator);
      await stored(operator, ["5", "6"]);
      const next = await new Member(one).join();
      await until(() => (next.take(), next.texts.length === 2), "the new ones", 10_000);
      const another = await new Member(two).join();
      await stored(operator, ["7", "8"]);
      const texts = (): readonly string[] => [...next.texts, ...another.texts];
      await until(() => (next.take(), another.take(), texts().length === 4), "those after it", 10_000);
      expect([next.losses, another.losses]).toEqual([["the stream was deleted"], []]);
    });
  });
});
