import { describe, expect, it, onTestFinished } from "vitest";
import { connect, isBusError, type BusError, type BusOptions } from "../../src/index.ts";
import { nats, type NatsOptions } from "../../src/drivers/nats/index.ts";
import { until } from "../../src/testing/until.ts";
import { connectTo, outgoing, toTopic } from "../support/driver-harness.ts";
import { Seen, Tick } from "../support/events.ts";
import { testBroker } from "../support/test-broker.ts";

const servers = [
  { name: "nats", broker: await testBroker("nats", { own: true, variant: "restricted" }) },
  { name: "nats@2.10", broker: await testBroker("nats", { own: true, release: "2.10", variant: "restricted" }) },
];
const plain = await testBroker("nats", { own: true });

describe.each(servers)("a user with few rights, at $name", ({ broker }) => {
  describe.skipIf(broker === undefined)("of a server that knows users", () => {
    const of = (user: string): string => broker!.url.replace("omnibus:", `${user}:`);
    const config = (user: string, options: NatsOptions & BusOptions = {}): Parameters<typeof connect>[0] => {
      const { requestTimeoutMs, inboxPrefix, ...rest } = options;
      return { driver: nats({ servers: of(user), requestTimeoutMs, inboxPrefix }), ...rest };
    };

    it("the rights that docs/nats.md names for manage: verify are enough for everything", async () => {
      await (await connect(config("omnibus"))).close(); // makes what the other may not
      const refused = await connect(config("app")).catch((error: unknown) => error as BusError);
      expect(refused).toMatchObject({ code: "BUS_AUTHENTICATION" });
      const warned: unknown[] = [];
      const warn = (...what: readonly unknown[]): void => void warned.push(what);
      const logger = { debug: () => undefined, info: () => undefined, warn, error: warn };
      const bus = await connect(config("app", { manage: "verify", logger }));
      onTestFinished(() => bus.close().then(() => undefined));
      const kinds = { unordered: new Seen(), ordered: new Seen(), tail: new Seen() };
      await bus.subscribe(Tick, kinds.unordered.handle, { group: "u", order: "none" });
      await bus.subscribe(Tick, kinds.ordered.handle, { group: "o", order: "group" });
      await bus.subscribe(Tick, kinds.tail.handle);
      await bus.publish(Tick, { n: 1 });
      await bus.publish(Tick, { n: 2 }, { delayMs: 200 });
      await bus.publish(Tick, { n: 3 }, { delivery: "at-most-once" });
      await bus.send("u", Tick, { n: 4 });
      await until(() => kinds.tail.count >= 3, "the tail", 10_000);
      await until(() => kinds.unordered.count >= 3 && kinds.ordered.count >= 2, "the groups", 10_000);
      const failing = await bus.subscribe(
        Tick,
        () => {
          throw new Error("no");
        },
        { group: "f", retry: { maxAttempts: 1 } },
      );
      await bus.publish(Tick, { n: 5 });
      await until(async () => (await bus.deadLetters.count({ group: "f" })) === 3, "its letters", 10_000);
      await failing.unsubscribe();
      expect(await bus.deadLetters.discard({ group: "f" })).toBe(3);
      expect((await bus.groups.list()).map(({ group }) => group).toSorted()).toEqual(["f", "o", "u"]);
      expect(await bus.groups.delete("f")).toBe(true);
      expect((await bus.health()).status).toBe("up");
      expect(warned.filter((line) => JSON.stringify(line).includes("BUS_AUTHENTICATION"))).toEqual([]);
    });

    it("one who may not subscribe to the answers is refused at once, by name", async () => {
      const started = performance.now();
      const error: unknown = await connect(config("deaf", { requestTimeoutMs: 8_000 })).catch(
        (reason: unknown) => reason,
      );
      expect(isBusError(error)).toBe(true);
      expect(performance.now() - started).toBeLessThan(3_000);
      expect(error).toMatchObject({ code: "BUS_AUTHENTICATION", retryable: false });
      expect((error as Error).message).toMatch(/omnibus\.i\.>.*inboxPrefix/s);
      const elsewhere = await connect(config("deaf", { inboxPrefix: "omnibus.r.answers" }));
      onTestFinished(() => elsewhere.close().then(() => undefined));
      await expect(elsewhere.subscribePattern("x.*", () => undefined)).rejects.toMatchObject({
        code: "BUS_AUTHENTICATION",
      });
    });

    it.skipIf(plain === undefined)(
      "the largest message is what the server takes that we are connected to now",
      async () => {
        const both = [of("omnibus"), plain!.url.replace("//", "//omnibus:secret@")];
        for (const url of both) {
          const { connection } = await connectTo(nats({ servers: url }), { prefix: "payload" });
          await connection.ensureStream({ name: "events", topics: [">"] });
          await connection.close(AbortSignal.timeout(2_000));
        }
        const { connection } = await connectTo(nats({ servers: both }), { prefix: "payload" });
        onTestFinished(() => connection.close(AbortSignal.timeout(2_000)));
        const largest = (): number => connection.capabilities.maxMessageBytes!;
        const small = 65_536;
        const [here, there] = largest() === small ? [broker!, plain!] : [plain!, broker!];
        const before = largest();
        onTestFinished(() => here.start());
        await here.kill();
        await until(() => largest() !== before, "the other server", 10_000);
        expect([before, largest()].toSorted((a, b) => a - b)).toEqual([small, 1_048_576]);
        const outcome = async (): Promise<string> => {
          const sent = outgoing(toTopic("a.b"), "x".repeat(100_000));
          connection.send([sent.message]);
          await until(() => sent.outcome !== "waiting", "an outcome");
          return sent.outcome === "no" ? (sent.error as BusError).code : sent.outcome;
        };
        const wanted = there === plain ? "stored" : "BUS_TOO_LARGE";
        await until(async () => (await outcome()) === wanted, `100,000 bytes to be ${wanted}`, 10_000);
      },
    );
  });
});
