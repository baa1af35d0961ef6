import { readFileSync } from "node:fs";
import { connect as connectClient, type NatsConnection } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { appMayPublish } from "../../scripts/brokers/nats.ts";
import { type Bus, connect, defineEvent, defineRequest, typed } from "../../src/index.ts";
import { nats } from "../../src/drivers/nats/index.ts";
import { until } from "../../src/testing/until.ts";
import { connectTo, toTopic } from "../support/driver-harness.ts";
import { type Count, Keyed, LogBook, Seen, Tick, Tock } from "../support/events.ts";
import { testBroker } from "../support/test-broker.ts";

const servers = [
  { name: "nats", broker: await testBroker("nats", { own: true, variant: "restricted" }) },
  { name: "nats@2.10", broker: await testBroker("nats", { own: true, release: "2.10", variant: "restricted" }) },
];
const Ask = defineRequest("ask", { request: typed<Count>(), response: typed<Count>() });
const Large = defineEvent("large", { schema: typed<{ readonly text: string }>() });
const once = { maxAttempts: 1 } as const;
const prefix = "omnibus"; // the user's rights are for this one
const leaseMs = 1_500;

it("the server's user has the rights that docs/nats.md names, and no other", () => {
  const page = readFileSync(new URL("../../docs/nats.md", import.meta.url), "utf8");
  const [, said = ""] = /needs, with `manage: "verify"`: publish to (.*?); subscribe/su.exec(page) ?? [];
  const [full = "", calls = ""] = said.split("and `$JS.API.STREAM.` of");
  const named = (text: string): readonly string[] => [...text.matchAll(/`([^`]+)`/gu)].map(([, right]) => right!);
  const rights = [...named(full), ...named(calls).map((call) => `$JS.API.STREAM.${call}`)];
  expect(rights.toSorted()).toEqual([...appMayPublish].toSorted());
});

describe.each(servers)("a user with the rights of docs/nats.md, at $name", ({ broker }) => {
  describe.skipIf(broker === undefined)("may do all that the driver ever does", () => {
    const url = (user: string): string => broker!.url.replace("omnibus:", `${user}:`);
    const log = new LogBook();

    async function app(): Promise<Bus> {
      const bus = await connect({ driver: nats({ servers: url("app"), leaseMs }), manage: "verify", logger: log });
      onTestFinished(() => bus.close({ timeoutMs: 2_000 }).then(() => undefined));
      return bus;
    }

    /** The server says each refusal, also of what is not waited for. */
    async function refusals(): Promise<readonly string[]> {
      const lines = (await broker!.logs()).split("\n");
      return lines.filter((line) => /Violation/.test(line));
    }

    it(
      "groups, queues, letters, delays, growth, handovers and what was deleted under it",
      { timeout: 60_000 },
      async () => {
        await (await connect({ driver: nats({ servers: url("omnibus") }) })).close(); // makes what the other may not
        const root: NatsConnection = await connectClient({
          servers: broker!.url.replace(/^.*@/, ""),
          user: "omnibus",
          pass: "secret",
        });
        onTestFinished(() => root.close());
        const [one, two] = [await app(), await app()];

        // an ordered group: shared, grown, handed over
        const ordered = new Seen();
        for (const bus of [one, two]) await bus.subscribe(Keyed, ordered.handle, { group: "ordered" });
        for (let n = 0; n < 40; n += 1) await one.publish(Keyed, { n, of: `k${n % 20}` });
        await until(() => ordered.count === 40, "the ordered group");
        for (const bus of [one, two]) await bus.subscribe(Tick, ordered.handle, { group: "ordered" });
        await two.publish(Tick, { n: 40 });
        await until(() => ordered.count === 41, "what it grew by");
        await one.close();
        for (let n = 41; n < 61; n += 1) await two.publish(Keyed, { n, of: `k${n % 20}` });
        await until(() => ordered.count === 61, "its other member");

        // an unordered one: grown, a deleted consumer, its queue, delays
        const three = await app();
        const seen = new Seen();
        await three.subscribe(Tick, seen.handle, { group: "unordered", order: "none" });
        await three.subscribe(Tock, seen.handle, { group: "unordered", order: "none" });
        const names = async (): Promise<readonly string[]> => {
          const answer = await root.request(`$JS.API.CONSUMER.NAMES.${prefix}=s=events`);
          return answer.json<{ readonly consumers: readonly string[] }>().consumers;
        };
        for (const name of await names()) await root.request(`$JS.API.CONSUMER.DELETE.${prefix}=s=events.${name}`);
        await three.publish(Tock, { n: 1 });
        await three.send("unordered", Tick, { n: 2 });
        await three.publish(Tock, { n: 3 }, { delayMs: 100 });
        await three.send("unordered", Tick, { n: 4 }, { delayMs: 100 });
        await until(
          () => [1, 2, 3, 4].every((n) => seen.numbers.includes(n)),
          () => `them, not ${seen.numbers.join()}`,
        );

        // retries, letters in one piece and in several, replayed and discarded
        let broken = true;
        const after = new Seen();
        const fail = (event: Parameters<typeof after.handle>[0]): void => {
          if (broken) throw new Error("y".repeat(500));
          after.handle(event);
        };
        const retry = { maxAttempts: 2, backoff: { baseMs: 10 } } as const;
        await two.subscribe(Tock, fail, { group: "failing", from: "newest", retry });
        await two.subscribe(Large, fail, { group: "failing", from: "newest", retry: once });
        await two.publish(Tock, { n: 5 });
        await two.publish(Large, { text: "x".repeat(64_800) });
        await until(async () => (await three.deadLetters.count({ group: "failing" })) === 2, "its letters");
        const pieces = await root.request(`$JS.API.STREAM.INFO.${prefix}=p`);
        expect(pieces.json<{ readonly state: { readonly messages: number } }>().state.messages).toBeGreaterThan(1);
        broken = false;
        const { items } = await three.deadLetters.list({ group: "failing" });
        expect(await three.deadLetters.get(items[0]!.id)).toBeDefined();
        expect(await three.deadLetters.replay({ group: "failing", topic: "tock" })).toEqual({ replayed: 1, failed: 0 });
        await until(() => after.count === 1, "the replayed one");
        expect(await three.deadLetters.discard({ group: "failing" })).toBe(1);

        // tails, requests
        const tail = new Seen();
        await three.subscribe(Keyed, tail.handle);
        await two.publish(Keyed, { n: 61, of: "k" });
        await until(() => tail.count === 1, "what is stored");
        await two.respond(Ask, ({ n }) => ({ n: n + 1 }));
        expect(await three.request(Ask, { n: 1 })).toEqual({ n: 2 });
        await three.publish(Keyed, { n: 62, of: "k" }, { delivery: "at-most-once" });
        await until(() => tail.count === 2, "what nobody keeps");

        // administration
        expect((await three.groups.info("ordered")).members).toHaveLength(1);
        await two.close();
        await three.groups.reset("failing", "newest");
        expect(await three.streams.trim("events", new Date())).toBeGreaterThanOrEqual(0);
        expect((await three.streams.list()).map(({ name }) => name)).toEqual(["events"]);
        expect(await three.groups.delete("failing")).toBe(true);
        expect((await three.health()).status).toBe("up");
        await three.close();
        expect(await refusals()).toEqual([]);
        expect(log.lines.filter((line) => JSON.stringify(line).includes("BUS_AUTHENTICATION"))).toEqual([]);
      },
    );

    it("state, what is due later", async () => {
      await (await connect({ driver: nats({ servers: url("omnibus") }) })).close();
      const { connection } = await connectTo(nats({ servers: url("app") }), { prefix, manage: "verify" });
      onTestFinished(() => connection.close(AbortSignal.timeout(2_000)));
      const state = connection.state!;
      const ending = new AbortController();
      const watch = state.watch("b", "", ending.signal)[Symbol.asyncIterator]();
      const first = watch.next();
      expect(await state.put("b", "k", Buffer.from("1"), { ttlMs: 60_000, expect: null })).toBeDefined();
      expect((await first).done).toBe(false);
      ending.abort();
      for await (const key of state.keys("b", "")) expect(key).toBe("k");
      expect(await state.get("b", "k")).toBeDefined();
      expect(await state.delete("b", "k")).toBe(true);
      const message = { id: "1", to: toTopic("a"), group: undefined, topic: "a", key: undefined, headers: [] } as const;
      const stored = { ...message, body: new Uint8Array(1), storedAt: 0, notBefore: 1 };
      await state.schedule([stored, { ...stored, id: "2", notBefore: 9e12 }]);
      expect((await state.due(2, 10, 1_000)).map(({ id }) => id)).toEqual(["1"]);
      expect(await state.unschedule(["2"])).toEqual(["2"]);
      expect(await refusals()).toEqual([]);
    });
  });
});
