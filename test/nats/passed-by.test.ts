import { connect as connectClient } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock, type Clock } from "../../src/clock.ts";
import type { ClientMessage, NatsClient } from "../../src/drivers/nats/client.ts";
import { nats, type NatsOptions } from "../../src/drivers/nats/index.ts";
import { changed } from "../../src/testing/changed.ts";
import {
  connectTo,
  groupSpec,
  joinGroup,
  outgoing,
  type TestConsumption,
  toTopic,
  until,
} from "../support/driver-harness.ts";
import { NatsWorld, natsServers } from "../support/nats-world.ts";

/**
 * A connection on which, while it is `behind`, messages of streams wait on their way, and what is said of consumers is what was
 * said before: as of a server that has stored something and not told its consumers yet.
 */
class SlowConnection {
  behind = false;
  readonly client: NatsClient;
  readonly #asked = new Map<string, string>();
  readonly #said = new Map<string, Uint8Array>();
  readonly #waiting: (() => void)[] = [];

  constructor(client: NatsClient) {
    this.client = changed(client, {
      publish: (subject, payload, options) => {
        if (subject.startsWith("$JS.API.CONSUMER.INFO.") && options?.reply !== undefined)
          this.#asked.set(options.reply, subject);
        client.publish(subject, payload, options);
      },
      subscribe: (subject, options) =>
        client.subscribe(subject, {
          ...options,
          callback: (error, message) => {
            if (this.behind && message.reply?.startsWith("$JS.ACK.") === true)
              this.#waiting.push(() => options.callback(error, message));
            else options.callback(error, error === null ? this.#asBefore(message) : message);
          },
        }),
    });
  }

  catchUp(): void {
    this.behind = false;
    for (const deliver of this.#waiting.splice(0)) deliver();
  }

  #asBefore(message: ClientMessage): ClientMessage {
    const subject = this.#asked.get(message.subject);
    if (subject === undefined) return message;
    const before = this.#said.get(subject);
    if (this.behind && before !== undefined) return changed(message, { data: before });
    this.#said.set(subject, message.data);
    return message;
  }
}

describe.each(await natsServers())("an ordered group's look at its stream, at $name", (server) => {
  describe.skipIf(server.broker === undefined)("once in ten seconds", () => {
    const wide = { messages: 100, bytes: 1_000_000 };

    /** A member of a group, by whose clock it can be later, with one of each of four partitions handled. */
    async function member(options: NatsOptions): Promise<
      TestConsumption & {
        readonly later: { ms: number };
        readonly handled: string[];
        readonly publish: (texts: readonly string[]) => Promise<void>;
        readonly handle: () => void;
      }
    > {
      const later = { ms: 0 };
      const clock: Clock = {
        now: () => systemClock.now() + later.ms,
        ticks: () => systemClock.ticks() + later.ms,
        after: (ms, callback) => systemClock.after(ms, callback),
        soon: (callback) => systemClock.soon(callback),
        random: () => systemClock.random(),
      };
      const { prefix } = new NatsWorld(server);
      const { connection } = await connectTo(nats({ ...options, leaseMs: 120_000 }), { prefix, clock });
      onTestFinished(() => connection.close(AbortSignal.timeout(2_000)));
      await connection.ensureStream({ name: "events", topics: [">"], partitions: 4 });
      await connection.ensureGroup(groupSpec("g", { order: "group" }));
      const { sink, consumption } = await joinGroup(connection, "g", wide);
      const publish = async (texts: readonly string[]): Promise<void> => {
        const sent = texts.map((text, hash) => outgoing(toTopic("a.b"), text, { hash, key: `k${hash}` }));
        connection.send(sent.map(({ message }) => message));
        await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
      };
      const handled: string[] = [];
      const handle = (): void => {
        handled.push(...sink.texts);
        consumption.ack(sink.messages.splice(0));
      };
      await publish(["a0", "a1", "a2", "a3"]);
      await until(() => (handle(), handled.length === 4), "one of each partition");
      return { sink, consumption, later, handled, publish, handle };
    }

    async function looks(): Promise<void> {
      const from = performance.now();
      await until(() => performance.now() - from > 2_500, "two looks");
    }

    it("passes nothing by that came and waits for room", { timeout: 30_000 }, async () => {
      const { sink, consumption, later, handled, publish, handle } = await member({ servers: server.broker!.url });
      consumption.window({ messages: 1, bytes: 1_000_000 }); // what was asked for before comes all the same
      await publish(["b0", "b1", "b2", "b3"]);
      await until(() => sink.messages.length > 0, "one of them");
      later.ms += 11_000;
      await looks();
      expect(sink.messages).toHaveLength(1);
      await until(
        () => (handle(), handled.length === 8),
        () => `all of them; ${handled.join()}`,
      );
      expect(handled.toSorted()).toEqual(["a0", "a1", "a2", "a3", "b0", "b1", "b2", "b3"]);
    });

    it("passes nothing by that is stored and not counted yet", { timeout: 30_000 }, async () => {
      const client = await connectClient({ servers: server.broker!.url });
      onTestFinished(() => client.close());
      const slow = new SlowConnection(client as unknown as NatsClient);
      const { sink, later, handled, publish, handle } = await member({ connection: slow.client as never });
      later.ms += 11_000;
      await looks(); // at what is said again below
      slow.behind = true;
      await publish(["b0", "b1", "b2", "b3"]);
      later.ms += 11_000;
      await looks();
      expect(sink.messages).toHaveLength(0);
      slow.catchUp();
      await until(
        () => (handle(), handled.length === 8),
        () => `all of them; ${handled.join()}`,
      );
      expect(handled.toSorted()).toEqual(["a0", "a1", "a2", "a3", "b0", "b1", "b2", "b3"]);
    });
  });
});
