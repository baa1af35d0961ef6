import { describe, expect, it } from "vitest";
import type { DriverConnection, StreamOptions } from "../../src/driver.ts";
import {
  groupSpec,
  joinGroup,
  numbered,
  outgoing,
  type TestConsumption,
  toQueue,
  toTopic,
  until,
} from "../support/driver-harness.ts";
import { NatsWorld, natsServers } from "../support/nats-world.ts";

const short = { leaseMs: 1_500 };
const long = { leaseMs: 15_000 };
const [events, more] = ["events", "more"].map((name): StreamOptions => ({
  name,
  topics: [`${name}.>`],
  partitions: 1,
}));
const spec = (...streams: readonly string[]): ReturnType<typeof groupSpec> =>
  groupSpec("g", { reads: streams.map((stream) => ({ stream, patterns: [`${stream}.*`] })) });
const soon = (): AbortSignal => AbortSignal.timeout(2_000);

interface Requester {
  request(subject: string): Promise<{ json<Value>(): Value }>;
}

interface ConsumerInfo {
  readonly name: string;
  readonly num_redelivered: number;
}

async function consumers(connection: DriverConnection, stream: string): Promise<readonly ConsumerInfo[]> {
  const answer = await (connection.client as Requester).request(`$JS.API.CONSUMER.LIST.${stream}`);
  return answer.json<{ readonly consumers: readonly ConsumerInfo[] | null }>().consumers ?? [];
}

describe.each(await natsServers())("a group with a consumer that was made with a shorter lease on $name", (server) => {
  describe.skipIf(server.broker === undefined)("and a handler that runs longer than that", () => {
    /** How many the server has delivered once more while all of them are held. */
    async function again(
      world: NatsWorld,
      member: DriverConnection,
      { sink: { messages } }: TestConsumption,
      to: "events" | "more" | "queue",
    ): Promise<readonly number[]> {
      const sent = numbered(6).map((text) => outgoing(to === "queue" ? toQueue("g") : toTopic(`${to}.a`, to), text));
      member.send(sent.map(({ message }) => message));
      await until(() => messages.length === 6, "all");
      const end = performance.now() + 2 * short.leaseMs;
      await until(() => performance.now() > end, "two of the shorter leases to pass");
      const stream = to === "queue" ? `${world.prefix}=q` : `${world.prefix}=s=${to}`;
      return (await consumers(member, stream)).map((consumer) => consumer.num_redelivered);
    }

    it("keeps the events of its stream", async () => {
      const world = new NatsWorld(server);
      const maker = await world.connect({ ...short, streams: [events!] });
      await maker.ensureGroup(spec("events"));
      const member = await world.connect({ ...long, streams: [] });
      const joined = await joinGroup(member, "g");
      expect(await again(world, member, joined, "events")).toEqual([0]);
    });

    it("keeps what is sent to it, when all other consumers were made since", async () => {
      const world = new NatsWorld(server);
      const maker = await world.connect({ ...short, streams: [events!] });
      await maker.ensureGroup(spec("events"));
      await maker.close(soon());
      const member = await world.connect({ ...long, streams: [] });
      await member.ensureGroup(groupSpec("g", { patterns: ["events.*", "events.*.x"] }));
      const joined = await joinGroup(member, "g");
      let names: readonly string[] = [];
      while (names.length !== 1) names = (await consumers(member, `${world.prefix}=s=events`)).map(({ name }) => name);
      expect(names).not.toEqual(["g=1"]);
      expect(await again(world, member, joined, "queue")).toEqual([0]);
    });

    it("keeps the events of a stream that came later", async () => {
      const world = new NatsWorld(server);
      const member = await world.connect({ ...long, streams: [events!] });
      await member.ensureGroup(spec("events"));
      const joined = await joinGroup(member, "g");
      const grower = await world.connect({ ...short, streams: [more!] });
      await grower.ensureGroup(spec("events", "more"));
      await grower.close(soon());
      expect(await again(world, member, joined, "more")).toEqual([0]);
    });
  });
});
