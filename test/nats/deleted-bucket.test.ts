import { once } from "node:events";
import { type AddressInfo, connect as connectSocket, createServer } from "node:net";
import { connect as connectClient } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { connect, type Bus, type BusError } from "../../src/index.ts";
import { nats } from "../../src/drivers/nats/index.ts";
import { until } from "../../src/testing/until.ts";
import { fresh, Seen, Tick } from "../support/events.ts";
import { natsServers, NatsWorld } from "../support/nats-world.ts";

const servers = await natsServers();

interface Relay {
  url: string;
  held: boolean;
  deaf: boolean;
  /** What makes it deaf, one after the other. */
  deafAfter: readonly string[];
  unheard: number;
}

function unlessMissing(error: BusError): undefined {
  if (error.code !== "BUS_NOT_FOUND") throw error;
}

describe.each(servers)("the bucket deleted behind the bus's back, at $name", (server) => {
  describe.skipIf(server.broker === undefined)("is made again, and everything goes on", () => {
    const leaseMs = 1_500;

    async function open(prefix: string): Promise<Bus> {
      const bus = await connect({ driver: nats({ servers: server.broker!.url, leaseMs }), prefix });
      onTestFinished(() => bus.close({ timeoutMs: 2_000 }).then(() => undefined));
      return bus;
    }

    async function removal(prefix: string): Promise<() => Promise<void>> {
      const client = await connectClient({ servers: server.broker!.url });
      onTestFinished(() => client.close());
      const remove = async (): Promise<boolean> => {
        const answer = await client.request(`$JS.API.STREAM.DELETE.KV_${prefix}`, undefined, { timeout: 10_000 });
        return !Object.hasOwn(answer.json<object>(), "error");
      };
      return () => until(remove, "a bucket to delete", 10_000);
    }

    it.each(["group", "process"] as const)(
      "a group of order %s goes on where it was, with two members, over two deletions",
      { timeout: 40_000 },
      async (order) => {
        const prefix = fresh(`k${process.pid}`);
        const [one, two] = [await open(prefix), await open(prefix)];
        const seen = new Seen();
        for (const bus of [one, two]) await bus.subscribe(Tick, seen.handle, { group: "g", order });
        const remove = await removal(prefix);
        await one.publish(Tick, { n: 0 });
        await until(() => seen.count === 1, "the first");
        for (const round of [1, 2]) {
          await remove();
          await two.publish(Tick, { n: round });
          await until(
            () => seen.numbers.includes(round),
            () => `the event after deletion ${round}; ${seen.numbers.join()}`,
            12_000,
          );
        }
        await one.publish(Tick, { n: 3 }, { delayMs: 100 });
        await until(() => seen.numbers.includes(3), "one that was due later", 12_000);
        // what was settled in the last second may come again: how far the group was is said that often
        expect([...new Set(seen.numbers)].toSorted()).toEqual([0, 1, 2, 3]);
        // until they have noticed the last deletion there is no group, though they go on
        const members = async (): Promise<number> =>
          (await one.groups.info("g").catch(unlessMissing))?.members.length ?? 0;
        await until(async () => (await members()) === 2, "both members in the group", 10_000);
        const late = await open(prefix);
        await late.subscribe(Tick, seen.handle, { group: "g", order });
      },
    );

    it(
      "a group that is made again in the same second is another one: no consumer's name comes twice",
      { timeout: 30_000 },
      async () => {
        const prefix = fresh(`k${process.pid}`);
        const bus = await open(prefix);
        const seen = new Seen();
        await bus.subscribe(Tick, seen.handle, { group: "g" });
        const remove = await removal(prefix);
        const client = await connectClient({ servers: server.broker!.url });
        onTestFinished(() => client.close());
        const first = async (): Promise<number | undefined> => {
          const wanted = JSON.stringify({ last_by_subj: `$KV.${prefix}.g.g` });
          const answer = await client.request(`$JS.API.STREAM.MSG.GET.KV_${prefix}`, wanted, { timeout: 10_000 });
          const { message } = answer.json<{ readonly message?: { readonly data: string } }>();
          if (message === undefined) return undefined;
          return (JSON.parse(Buffer.from(message.data, "base64").toString()) as { readonly first: number }).first;
        };
        const firsts = [await first()];
        for (let round = 0; round < 5; round += 1) {
          await remove();
          await until(
            async () => !firsts.includes((await first()) ?? firsts[0]),
            `another group, not ${firsts.join()}`,
            5_000,
          );
          firsts.push(await first());
        }
        expect(firsts.toSorted((one, other) => one! - other!)).toEqual(firsts);
        await bus.publish(Tick, { n: 1 });
        await until(() => seen.numbers.includes(1), "an event", 10_000);
      },
    );

    /** What goes to the server waits while `held` is set, and questions of this subject never come there while it is `deaf`. */
    async function relay(subject: string): Promise<Relay> {
      const state: Relay = { url: "", held: false, deaf: false, deafAfter: [], unheard: 0 };
      const asked = (of: string): RegExp =>
        new RegExp(String.raw`PUB ${of.replaceAll("$", String.raw`\$`)} \S+ \d+\r\n[^\r]*\r\n`, "gu");
      let question = asked(subject);
      const { port } = new URL(server.broker!.url);
      const listening = createServer((client) => {
        const target = connectSocket(Number(port), "127.0.0.1");
        for (const socket of [client, target]) socket.on("error", () => undefined).setNoDelay(true);
        target.pipe(client);
        let last = Promise.resolve(); // one behind the other
        const pass = async (text: string): Promise<void> => {
          while (state.held) await new Promise((resolve) => setImmediate(resolve));
          if (state.deafAfter.length > 0 && text.includes(state.deafAfter[0]!)) {
            const consumer = /.*CONSUMER\.CREATE\.\S+?\.(r=[^\s.]+)/su.exec(
              text.split(state.deafAfter[0]!, 1)[0]!,
            )?.[1];
            state.deafAfter = state.deafAfter.slice(1);
            state.deaf = state.deafAfter.length === 0;
            if (consumer !== undefined) question = asked(`${subject}.${consumer}`); // and to no other's
          }
          const passed = state.deaf ? text.replaceAll(question, () => ((state.unheard += 1), "")) : text;
          target.write(passed, "latin1");
        };
        client.setEncoding("latin1").on("data", (text: string) => void (last = last.then(() => pass(text))));
        client.on("close", () => target.destroy());
      });
      await once(listening.listen(0, "127.0.0.1"), "listening");
      onTestFinished(() => void listening.close());
      state.url = `nats://127.0.0.1:${(listening.address() as AddressInfo).port}`;
      return state;
    }

    it("who asks in vain whether it is the same asks again", { timeout: 30_000 }, async () => {
      const world = new NatsWorld(server);
      const stream = `KV_${world.prefix}`;
      const between = await relay(`$JS.API.STREAM.INFO.${stream}`);
      const connection = await world.connect({ servers: between.url, requestTimeoutMs: 1_000 });
      const client = await connectClient({ servers: server.broker!.url });
      onTestFinished(() => client.close());
      const watch = connection.state!.watch("b", "", new AbortController().signal)[Symbol.asyncIterator]();
      await connection.state!.put("b", "k", Buffer.from("1"), {});
      expect((await watch.next()).done).toBe(false);
      const ended = watch.next().then(
        () => "a change",
        (error: BusError) => error.code,
      );
      const { config } = (await client.request(`$JS.API.STREAM.INFO.${stream}`, undefined, { timeout: 10_000 })).json<{
        readonly config: object;
      }>();
      between.held = true; // or the reader could find that there is none
      between.deaf = true;
      // one after the other: asked of both at once, a server answers 3 in 100 with "error creating store for stream"
      const deleted = await client.request(`$JS.API.STREAM.DELETE.${stream}`, undefined, { timeout: 10_000 });
      expect(deleted.json()).not.toHaveProperty("error");
      const made = await client.request(`$JS.API.STREAM.CREATE.${stream}`, JSON.stringify(config), { timeout: 10_000 });
      expect(made.json()).not.toHaveProperty("error");
      between.held = false;
      // who takes part and where streams are is watched as well
      await until(() => between.unheard >= 6, "each to ask twice in vain", 10_000);
      between.deaf = false;
      expect(await ended).toBe("BUS_NOT_FOUND");
    });

    it("while a member waits for the owners' entries: its opening ends too", { timeout: 40_000 }, async () => {
      const prefix = fresh(`k${process.pid}`);
      const one = await open(prefix);
      const seen = new Seen();
      await one.subscribe(Tick, seen.handle, { group: "g" });
      const remove = await removal(prefix);
      const between = await relay(`$JS.API.CONSUMER.MSG.NEXT.KV_${prefix}`);
      const two = await connect({ driver: nats({ servers: between.url, leaseMs }), prefix });
      onTestFinished(() => two.close({ timeoutMs: 2_000 }).then(() => undefined));
      await two.health();
      between.deafAfter = ['"groups":{"g"', `"$KV.${prefix}.o.g.>"`]; // it has a seat, and the entries never come
      let outcome: string | undefined;
      const opening = two.subscribe(Tick, seen.handle, { group: "g" }).then(
        () => "open",
        (error: BusError) => error.code,
      );
      void opening.then((how) => (outcome = how));
      await until(() => between.unheard > 0, "a request for the entries", 10_000);
      await remove();
      await until(() => outcome !== undefined, "the end of the opening", 10_000);
      expect(outcome).toBe("BUS_NOT_FOUND");
      between.deaf = false;
      await until(
        () =>
          two.subscribe(Tick, seen.handle, { group: "g" }).then(
            () => true,
            () => false,
          ),
        "another try",
        10_000,
      );
      await one.publish(Tick, { n: 1 });
      await until(() => seen.numbers.includes(1), "an event", 10_000);
    });

    it("without a publish: nobody waits for the next one", { timeout: 30_000 }, async () => {
      const prefix = fresh(`k${process.pid}`);
      const bus = await open(prefix);
      await bus.subscribe(Tick, new Seen().handle, { group: "g" });
      await (
        await removal(prefix)
      )();
      await until(async () => (await bus.health()).status === "up", "the bucket", 10_000);
      await until(async () => (await bus.groups.list()).length === 1, "the group", 10_000);
    });
  });
});
