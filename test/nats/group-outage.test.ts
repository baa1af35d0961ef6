import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { afterEach, describe, expect, it } from "vitest";
import type { DriverConnection, GroupSpec, StreamOptions } from "../../src/driver.ts";
import { FaultProxy } from "../../src/testing/index.ts";
import {
  consume,
  groupSpec,
  joinGroup,
  numbered,
  outgoing,
  type Sent,
  type TestConsumption,
  textOf,
  toTopic,
  turns,
  until,
} from "../support/driver-harness.ts";
import { NatsWorld } from "../support/nats-world.ts";
import { testBroker } from "../support/test-broker.ts";

const servers = [
  { name: "nats", broker: await testBroker("nats", { own: true }) },
  { name: "nats@2.10", broker: await testBroker("nats", { own: true, release: "2.10" }) },
];
const four: StreamOptions = { name: "events", topics: [">"], partitions: 4, maxBytes: 10_000_000 };
const quick = { leaseMs: 1_000, requestTimeoutMs: 1_000, pingMs: 300, heartbeatMs: 200, streams: [four] };
const keyOf = (text: string): number => Number(text) % 4;

/** Sends each until it is stored; the same one never twice while it may be. */
async function publishAll(connection: DriverConnection, texts: readonly string[]): Promise<void> {
  for (const text of texts) {
    for (let times = 1; ; times += 1) {
      const hash = keyOf(text);
      const sent: Sent = outgoing(toTopic("a"), text, { id: `e-${text}`, hash, key: `k${hash}` });
      connection.send([sent.message]);
      await until(() => sent.outcome !== "waiting", "an outcome");
      if (sent.outcome === "stored" || sent.outcome === "duplicate") break;
      if (times > 500) throw new Error(`not stored: ${String(sent.error)}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

/** What a group's members were given, in the order of its first time, acknowledged at once. */
class Handled {
  readonly members: TestConsumption[] = [];
  readonly texts: string[] = [];
  readonly #seen = new Set<string>();
  /** Of each member what it was told itself. */
  readonly #floors = new Map<number, ReadonlyMap<string, string>>();

  take(): void {
    for (const [index, { sink, consumption }] of this.members.entries()) {
      if (sink.floors.size > 0) this.#floors.set(index, new Map([...(this.#floors.get(index) ?? []), ...sink.floors]));
      const batch = sink.messages.splice(0);
      if (batch.length === 0) continue;
      for (const message of batch) {
        const text = textOf(message);
        if (!this.#seen.has(text)) this.texts.push(text);
        this.#seen.add(text);
      }
      consumption.ack(batch);
    }
  }

  /** As the core does it: what ended is opened again, from its floors. */
  async reopen(connections: readonly DriverConnection[], spec: GroupSpec): Promise<void> {
    await Promise.all(
      this.members.map(async ({ sink }, index) => {
        if (sink.ends.length === 0) return;
        const resume = this.#floors.get(index);
        await connections[index]!.ensureGroup(spec);
        this.members[index] = await consume(connections[index]!, { kind: "group", group: spec.group, resume });
      }),
    );
  }

  async until(count: number): Promise<void> {
    await until(
      () => (this.take(), this.texts.length >= count),
      () => `${count}, not ${this.texts.length}`,
      15_000,
    );
  }

  assertOrder(): void {
    for (const key of [0, 1, 2, 3]) {
      const numbers = this.texts.filter((text) => keyOf(text) === key).map(Number);
      assert.deepEqual(
        numbers,
        numbers.toSorted((a, b) => a - b),
      );
    }
  }
}

describe.each(servers)("groups when $name fails", (server) => {
  describe.skipIf(server.broker === undefined)("with a server of its own", () => {
    for (const order of ["none", "group"] as const) {
      it.each(["killed", "paused past the lease"] as const)(
        `go on by themselves when it was %s (order: ${order})`,
        async (how) => {
          const { broker } = server;
          const world = new NatsWorld(server);
          const [publisher, one, two] = [
            await world.connect(quick),
            await world.connect(quick),
            await world.connect(quick),
          ];
          await one.ensureGroup(groupSpec("g", { order }));
          const handled = new Handled();
          handled.members.push(await joinGroup(one, "g"), await joinGroup(two, "g"));
          const publishing = publishAll(publisher, numbered(400));
          await handled.until(100);
          if (how === "killed") await broker!.kill();
          else await broker!.pause();
          const pause = how === "killed" ? 300 : 2_000;
          const from = performance.now();
          await until(() => (handled.take(), performance.now() - from > pause), "the pause", pause + 5_000);
          if (how === "killed") await broker!.start();
          else await broker!.resume();
          await handled.until(400);
          await publishing;
          expect(handled.texts.toSorted()).toEqual(numbered(400).toSorted());
          if (order === "group") handled.assertOrder();
          const since = performance.now();
          await publishAll(publisher, numbered(40, 401));
          await handled.until(440);
          expect(performance.now() - since).toBeLessThan(5_000);
          if (order === "group") handled.assertOrder();
          expect(handled.members.flatMap(({ sink }) => sink.ends)).toEqual([]);
        },
      );

      it(`go on where they were when somebody deletes them (order: ${order})`, async () => {
        const world = new NatsWorld(server);
        const [publisher, one, two] = [
          await world.connect(quick),
          await world.connect(quick),
          await world.connect(quick),
        ];
        const spec = groupSpec("g", { order, from: { at: "newest" } });
        await publishAll(publisher, numbered(40)); // before it began
        await one.ensureGroup(spec);
        const handled = new Handled();
        handled.members.push(await joinGroup(one, "g"), await joinGroup(two, "g"));
        const publishing = publishAll(publisher, numbered(360, 41));
        for (const count of [60, 160, 260]) {
          await handled.until(count);
          expect(await publisher.admin.deleteGroup("g")).toBe(true);
          await until(() => handled.members.every(({ sink }) => sink.ends.length > 0), "both to be told");
          handled.take();
          await handled.reopen([one, two], spec);
        }
        await publishing;
        await handled.until(360);
        expect(handled.texts.toSorted()).toEqual(numbered(360, 41).toSorted());
        if (order === "group") handled.assertOrder();
      });

      it(`loses nothing when the line of a member is reset in the middle of a batch, again and again (order: ${order})`, async () => {
        const world = new NatsWorld(server);
        await using proxy = await FaultProxy.start(server.broker!.url);
        const publisher = await world.connect(quick);
        const one = await world.connect({ ...quick, servers: proxy.url(server.broker!.url) });
        const two = await world.connect(quick);
        await publisher.ensureGroup(groupSpec("g", { order }));
        await publishAll(publisher, numbered(300));
        const handled = new Handled();
        const window = { messages: 20, bytes: 1_000_000 };
        handled.members.push(await joinGroup(one, "g", window), await joinGroup(two, "g", window));
        let publishing = Promise.resolve();
        for (let round = 0; round < 3; round += 1) {
          const reset = proxy.replies.resetAfter(3_000);
          publishing = publishing.then(() => publishAll(publisher, numbered(50, 301 + 50 * round)));
          let over = false;
          void reset.then(() => (over = true));
          await until(() => (handled.take(), over || handled.texts.length >= 350 + 50 * round), "the reset", 10_000);
        }
        await publishing;
        await handled.until(450);
        expect(handled.texts.toSorted()).toEqual(numbered(450).toSorted());
        if (order === "group") handled.assertOrder();
      });
    }

    it.each(["none", "group"] as const)(
      "begin again when all that the server had is gone (order: %s)",
      async (order) => {
        const world = new NatsWorld(server);
        const connection = await world.connect(quick);
        await connection.ensureGroup(groupSpec("g", { order }));
        const handled = new Handled();
        handled.members.push(await joinGroup(connection, "g"));
        await publishAll(connection, numbered(8));
        await handled.until(8);
        const requester = connection.client as { request(subject: string): Promise<unknown> };
        for (const name of ["=s=events", "=q", "=n"])
          await requester.request(`$JS.API.STREAM.DELETE.${world.prefix}${name}`);
        // the core makes what it needs again, and opens what ended
        const again = async (): Promise<void> => {
          for (const stream of [four]) await connection.ensureStream(stream);
          await publishAll(connection, numbered(8, 9));
        };
        await again();
        for (let times = 0; handled.texts.length < 16 && times < 200; times += 1) {
          handled.take();
          await handled.reopen([connection], groupSpec("g", { order })).catch(() => undefined);
          await turns(5);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        expect(handled.texts.slice(8).toSorted()).toEqual(numbered(8, 9).toSorted());
      },
    );

    const children: ChildProcess[] = [];
    afterEach(() => {
      for (const child of children.splice(0)) {
        child.kill("SIGCONT");
        child.kill("SIGKILL");
      }
    });

    it.each(["none", "group"] as const)(
      "take over from a member that stood still past its lease, whose late settlements do no harm (order: %s)",
      async (order) => {
        const world = new NatsWorld(server);
        const connection = await world.connect(quick);
        await connection.ensureGroup(groupSpec("g", { order }));
        const said: {
          got?: string;
          deliveries?: number;
          joined?: boolean;
          revoked?: number;
          acknowledged?: boolean;
        }[] = [];
        const child = fork(new URL("../support/nats-group-child.ts", import.meta.url), [
          world.url,
          world.prefix,
          "g",
          "1000",
        ]);
        children.push(child);
        child.on("message", (message) => void said.push(message as (typeof said)[number]));
        await until(() => said.some(({ joined }) => joined), "the child to join", 10_000);
        await publishAll(connection, numbered(8));
        await until(() => said.filter(({ got }) => got !== undefined).length === 8, "it to have all");
        child.kill("SIGSTOP");
        const { sink, consumption } = await joinGroup(connection, "g");
        await until(
          () => sink.messages.length === 8,
          () => `to take over, not ${sink.texts.join()}`,
          10_000,
        );
        expect(sink.texts.toSorted()).toEqual(numbered(8));
        expect(
          sink.messages.every(({ deliveries }) => deliveries > 1),
          "as suspects",
        ).toBe(true);
        child.kill("SIGCONT");
        if (order === "group") await until(() => said.some(({ revoked = 0 }) => revoked >= 4), "it to notice");
        child.send("ack");
        await until(() => said.some(({ acknowledged }) => acknowledged), "its answer");
        consumption.ack(sink.messages);
        await consumption.flush();
        await publishAll(connection, numbered(8, 9));
        const late = (): readonly string[] => [
          ...sink.texts.slice(8),
          ...said.flatMap(({ got }) => (got === undefined ? [] : [got])).slice(8),
        ];
        let handled = 8;
        await until(
          () => {
            // a partition that is to move waits for what its owner has in hand
            consumption.ack(sink.messages.slice(handled));
            handled = sink.messages.length;
            return late().length >= 8;
          },
          () => `the new ones, not ${late().join()}`,
        );
        expect(late().toSorted()).toEqual(numbered(8, 9).toSorted());
      },
    );
  });
});
