import { connect } from "@nats-io/transport-node";
import { describe, expect, it } from "vitest";
import type { InMessage, StreamOptions } from "../../src/driver.ts";
import { decideHandOn } from "../../src/hand-on.ts";
import { FaultProxy, until as poll } from "../../src/testing/index.ts";
import { header } from "../../src/wire-names.ts";
import {
  groupSpec,
  joinGroup,
  numbered,
  outgoing,
  publish,
  type TestConsumption,
  textOf,
  toTopic,
  turns,
  until,
} from "../support/driver-harness.ts";
import { NatsWorld, natsServers } from "../support/nats-world.ts";

const events: StreamOptions = { name: "events", topics: [">"], partitions: 1, maxBytes: 50_000_000 };
const handOnMs = 60_000;

/** As the core does it with what no handler of the member takes. */
function release(consumption: TestConsumption["consumption"], message: InMessage): void {
  const now = Date.now();
  const decision = decideHandOn(message.note(header.hops), message.note(header.handedOnSince), now, handOnMs);
  if (decision.kind === "dead") throw new Error(`${textOf(message)} was given up`);
  const headers = [
    [header.hops, String(decision.hops)],
    [header.handedOnSince, String(decision.since)],
  ] as const;
  void consumption.settle([{ how: "release", message, delayMs: decision.delayMs, headers }]);
}

/** Requests that the server keeps open for the group's readers of the stream. */
async function open({ url, prefix }: NatsWorld): Promise<number> {
  const client = await connect({ servers: url });
  const answer = await client.request(`$JS.API.CONSUMER.LIST.${prefix}=s=events`, undefined, { timeout: 10_000 });
  await client.close();
  const { consumers } = answer.json<{ readonly consumers: readonly { readonly num_waiting: number }[] }>();
  return consumers.reduce((sum, { num_waiting: waiting }) => sum + waiting, 0);
}

describe.each(await natsServers())("a member that lacks a handler at $name", (server) => {
  describe.skipIf(server.broker === undefined)("beside one that has it", () => {
    it("is given each event once, however long the other takes for all of them", { timeout: 45_000 }, async () => {
      const world = new NatsWorld(server);
      const [older, newer] = [await world.connect({ streams: [events] }), await world.connect({ streams: [events] })];
      await older.ensureGroup(groupSpec("g"));
      const count = 2_000;
      const sent = numbered(count).map((text) => outgoing(toTopic(Number(text) % 2 === 0 ? "new" : "old"), text));
      older.send(sent.map(({ message }) => message));
      await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
      const lacking = await joinGroup(older, "g", { messages: 100, bytes: 1_000_000 });
      const slow = await joinGroup(newer, "g", { messages: 10, bytes: 1_000_000 });
      const handled: string[] = [];
      const released = new Map<string, number>();
      const deliveries = new Set<number>();
      let next = performance.now();
      await until(
        () => {
          for (const message of lacking.sink.messages.splice(0)) {
            if (message.topic === "old") {
              lacking.consumption.ack([message]);
              handled.push(textOf(message));
            } else {
              released.set(textOf(message), (released.get(textOf(message)) ?? 0) + 1);
              release(lacking.consumption, message);
            }
          }
          if (performance.now() < next) return false;
          next = performance.now() + 15;
          const batch = slow.sink.messages.splice(0);
          for (const { deliveries: times } of batch) deliveries.add(times);
          slow.consumption.ack(batch);
          handled.push(...batch.map(textOf));
          return handled.length >= count;
        },
        () => `all of them, not ${handled.length}`,
        30_000,
      );
      await turns(20);
      expect(handled.toSorted()).toEqual(numbered(count).toSorted());
      expect(released.size, "it had some").toBeGreaterThan(0);
      expect(Math.max(...released.values())).toBe(1);
      expect([...deliveries], "as if they were fresh").toEqual([1]);
    });

    it.each(["gives up", "closes with"] as const)(
      "%s what it holds without room as it was: attempts and notes",
      async (how) => {
        const world = new NatsWorld(server);
        const [first, second] = [
          await world.connect({ streams: [events] }),
          await world.connect({ streams: [events] }),
        ];
        await first.ensureGroup(groupSpec("g"));
        const failing = await joinGroup(first, "g", { messages: 1, bytes: 1_000_000 });
        publish(first, ["it"]);
        await until(() => failing.sink.messages.length === 1, "it to come");
        const full = await joinGroup(second, "g", { messages: 10, bytes: 1_000_000 });
        await poll(async () => (await open(world)) > 0, "the other to ask for more");
        full.consumption.window({ messages: 0, bytes: 0 });
        failing.consumption.window({ messages: 0, bytes: 0 });
        const headers = [["omnibus-done", "a"]] as const;
        const [message] = failing.sink.messages.splice(0);
        await failing.consumption.settle([{ how: "retry", message: message!, delayMs: 0, attempts: 3, headers }]);
        await poll(async () => (await open(world)) === 0, "it to be held by the other");
        failing.consumption.window({ messages: 10, bytes: 1_000_000 });
        if (how === "closes with") await full.consumption.close(AbortSignal.timeout(2_000));
        await until(() => failing.sink.messages.length === 1, "it to be given up", 5_000);
        const [again] = failing.sink.messages;
        expect([again!.deliveries, again!.attempts, again!.note("omnibus-done")]).toEqual([1, 3, "a"]);
      },
    );

    it("hands on what may have killed a process without making it fresh", async () => {
      const world = new NatsWorld(server);
      const [older, newer, third] = [
        await world.connect({ streams: [events] }),
        await world.connect({ streams: [events] }),
        await world.connect({ streams: [events] }),
      ];
      await older.ensureGroup(groupSpec("g"));
      const lacking = await joinGroup(older, "g");
      publish(older, ["it"]);
      await until(() => lacking.sink.messages.length === 1, "it to come to who lacks the handler");
      const killed = await joinGroup(newer, "g");
      release(lacking.consumption, lacking.sink.messages.splice(0)[0]!);
      await until(() => killed.sink.messages.length === 1, "it to be handed on");
      await killed.consumption.close(AbortSignal.abort()); // as a process that ends without a word
      const last = await joinGroup(third, "g");
      await until(
        () => {
          // nobody else was there for a moment
          for (const message of lacking.sink.messages.splice(0)) release(lacking.consumption, message);
          return last.sink.messages.length === 1;
        },
        "it to come to the last",
        5_000,
      );
      expect(last.sink.messages[0]!.deliveries).toBe(2);
    });

    it("gives what it keeps for others to them when it closes, and when its line was cut", async () => {
      const world = new NatsWorld(server);
      await using proxy = await FaultProxy.start(server.broker!.url);
      const quick = { streams: [events], leaseMs: 1_000 };
      const older = await world.connect({ ...quick, servers: proxy.url(server.broker!.url) });
      const newer = await world.connect(quick);
      await newer.ensureGroup(groupSpec("g"));
      for (const how of ["closed", "cut"] as const) {
        const lacking = await joinGroup(older, "g");
        const full = await joinGroup(newer, "g", { messages: 0, bytes: 0 });
        const sent = numbered(20).map((text) => outgoing(toTopic("new"), text));
        newer.send(sent.map(({ message }) => message));
        let released = 0;
        await until(
          () => {
            for (const message of lacking.sink.messages.splice(0)) {
              released += 1;
              release(lacking.consumption, message);
            }
            return released === 20;
          },
          () => `all to be handed on, not ${released}`,
        );
        const from = performance.now();
        await until(() => performance.now() - from > 300, "them to come back");
        if (how === "closed") await lacking.consumption.close(AbortSignal.timeout(2_000));
        else proxy.reset();
        full.consumption.window({ messages: 100, bytes: 1_000_000 });
        await until(() => full.sink.messages.length >= 20, "the other to have them", 10_000);
        expect(full.sink.texts.toSorted()).toEqual(numbered(20).toSorted());
        if (how === "closed")
          expect(new Set(full.sink.messages.map(({ deliveries }) => deliveries))).toEqual(new Set([1]));
        full.consumption.ack(full.sink.messages);
        await full.consumption.close(AbortSignal.timeout(2_000));
        expect(lacking.sink.messages).toEqual([]);
      }
    });

    it("has what it handed on again when the other is gone", async () => {
      const world = new NatsWorld(server);
      const [older, newer] = [await world.connect({ streams: [events] }), await world.connect({ streams: [events] })];
      await older.ensureGroup(groupSpec("g"));
      const first = await joinGroup(older, "g");
      const full = await joinGroup(newer, "g", { messages: 0, bytes: 0 });
      const sent = outgoing(toTopic("new"), "x");
      older.send([sent.message]);
      await until(() => first.sink.messages.length === 1, "it");
      release(first.consumption, first.sink.messages.pop()!);
      const from = performance.now();
      await until(() => performance.now() - from > 500, "the delay to be over");
      expect(first.sink.texts, "while another could have it").toEqual([]);
      await full.consumption.close(AbortSignal.timeout(2_000));
      await until(() => first.sink.messages.length === 1, "it again");
      expect(first.sink.messages[0]!.note(header.hops)).toBe("1");
    });
  });
});
