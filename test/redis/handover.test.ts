import { afterEach, describe, expect, it } from "vitest";
import type { Consumption, DriverConnection, InMessage, Sink } from "../../src/driver.ts";
import { redis as redisDriver } from "../../src/drivers/redis/index.ts";
import { until } from "../../src/testing/until.ts";
import { groupSpec, joinGroup, numbered, publish, textOf, turns, wide } from "../support/driver-harness.ts";
import { freshPrefix, redisContext } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const redis = await testBroker("redis");
const open: DriverConnection[] = [];

async function end(prefix: string): Promise<DriverConnection> {
  // a lease that no slow machine outlasts: whatever comes twice came twice by a handover
  const driver = redisDriver({ url: redis!.url, leaseMs: 120_000, pollMs: 200 });
  const connection = await driver.connect(redisContext(prefix));
  open.push(connection);
  await connection.ensureStream({ name: "events", topics: [">"], partitions: 8 });
  return connection;
}

/** What all members did. */
class Ledger {
  readonly handled = new Map<string, number>();
  readonly order = new Map<number, number>();
  readonly disorder: string[] = [];
  readonly running = new Map<number, string>();

  start(text: string, key: number): void {
    const other = this.running.get(key);
    if (other !== undefined) this.disorder.push(`${text} beside ${other}`);
    this.running.set(key, text);
    if (Number(text) < (this.order.get(key) ?? 0)) this.disorder.push(`${text} after ${this.order.get(key)}`);
  }

  done(text: string, key: number): void {
    this.running.delete(key);
    this.order.set(key, Number(text));
    this.handled.set(text, (this.handled.get(text) ?? 0) + 1);
  }
}

/** Handles one message of a key at a time, each over a few turns of the event loop. */
class Member implements Sink {
  consumption: Consumption | undefined;
  readonly #ledger: Ledger;
  readonly #queues = new Map<number, InMessage[]>();
  #gone = new Set<InMessage>();
  #stopped = false;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  deliver(messages: readonly InMessage[]): void {
    for (const message of messages) {
      const key = Number(message.key);
      const queue = this.#queues.get(key);
      if (queue !== undefined) queue.push(message);
      else {
        this.#queues.set(key, [message]);
        void this.#work(key);
      }
    }
  }

  revoked(what: readonly InMessage[] | { readonly partition: string }): void {
    const all = [...this.#queues.values()].flat();
    for (const message of "partition" in what ? all.filter(({ partition }) => partition === what.partition) : what)
      this.#gone.add(message);
  }

  /** Takes nothing more up; what runs ends. */
  async leave(): Promise<void> {
    this.#stopped = true;
    await this.consumption!.stop();
    await until(() => this.#queues.size === 0, "what runs to end");
    await this.consumption!.close(AbortSignal.timeout(5_000));
  }

  floor(): void {}
  spec(): void {}
  lost(): void {}
  ended(error: unknown): void {
    this.#ledger.disorder.push(`ended: ${String(error)}`);
  }

  async #work(key: number): Promise<void> {
    const queue = this.#queues.get(key)!;
    for (let message = queue[0]; message !== undefined; message = queue[0]) {
      if (!this.#stopped && !this.#gone.has(message)) {
        const text = textOf(message);
        this.#ledger.start(text, key);
        await turns(1 + (Number(text) % 3));
        this.#ledger.done(text, key);
        this.consumption!.ack([message]);
      }
      queue.shift();
    }
    this.#queues.delete(key);
  }
}

afterEach(async () => {
  for (const connection of open.splice(0)) await connection.close(AbortSignal.timeout(1_000));
});

describe.skipIf(redis === undefined)("members that come and go on redis", () => {
  it("handle each event once and a key in order, while partitions change hands", { timeout: 60_000 }, async () => {
    const prefix = freshPrefix();
    const ledger = new Ledger();
    const connections = [await end(prefix), await end(prefix), await end(prefix)];
    const publisher = await end(prefix);
    await publisher.ensureGroup(groupSpec("g", { order: "group" }));
    const join = async (connection: DriverConnection): Promise<Member> => {
      const member = new Member(ledger);
      const source = { kind: "group", group: "g", resume: undefined } as const;
      member.consumption = await connection.consume(source, member, wide);
      return member;
    };
    const members = [await join(connections[0]!)];
    let sent = 0;
    for (let round = 0; round < 72; round += 1) {
      const changing = (async () => {
        if (members.length < 3) members.push(await join(connections[members.length % 3]!));
        else await members.shift()!.leave();
      })();
      for (let burst = 0; burst < 12; burst += 1) {
        for (const text of numbered(5, sent + 1)) {
          const key = Number(text) % 24;
          publish(publisher, [text], { key: String(key), hash: key });
        }
        sent += 5;
        await turns(2);
      }
      await changing;
    }
    await until(
      () => ledger.handled.size === sent,
      () => `${sent}; ${ledger.handled.size} were handled`,
    );
    await Promise.all(members.map((member) => member.leave()));
    expect([...ledger.handled].filter(([, times]) => times > 1)).toEqual([]);
    expect(ledger.disorder).toEqual([]);
  });

  it("acknowledge the last of a partition before they give it up", async () => {
    const prefix = freshPrefix();
    const [one, two] = [await end(prefix), await end(prefix)];
    await one.ensureGroup(groupSpec("g", { order: "group" }));
    const first = await joinGroup(one, "g");
    for (const partition of [0, 1, 2, 3, 4, 5, 6, 7]) publish(one, [`old ${partition}`], { hash: partition });
    await until(() => first.sink.messages.length === 8, "one of each partition");
    const second = await joinGroup(two, "g");
    const client = one.client as { sendCommand(args: readonly string[]): Promise<readonly unknown[]> };
    const shares = async (lane: "q:" | "s:"): Promise<readonly number[]> => {
      const own = (await client.sendCommand(["HGETALL", `{${prefix}}:g:g:own`])).map(String);
      const seats = own.filter((_, at) => at % 2 === 1 && own[at - 1]!.startsWith(lane));
      return [...new Set(seats)].map((seat) => seats.filter((each) => each === seat).length);
    };
    // nothing of the queue is in hand: it goes at once, and the rest when it is handled
    await until(async () => (await shares("q:")).join() === "8,8", "half of the queue for each");
    for (const message of first.sink.messages) {
      first.consumption.ack([message]);
      await turns(20);
    }
    await until(async () => (await shares("s:")).join() === "4,4", "half for each");
    for (const partition of [0, 1, 2, 3, 4, 5, 6, 7]) publish(one, [`new ${partition}`], { hash: partition });
    await until(() => first.sink.messages.length + second.sink.messages.length >= 16, "the new ones");
    expect(second.sink.texts.filter((text) => text.startsWith("old"))).toEqual([]);
  });
});
