import { describe, expect, it } from "vitest";
import { connect, createBus, defineEvent, type Bus } from "../../src/index.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { until, within } from "../../src/testing/until.ts";
import { FaultyDriver } from "../support/faulty-driver.ts";
import { atOnce, failureOf, fresh, LogBook, onFaulty, onMemory, Seen, Tick } from "../support/events.ts";
import { z } from "zod";

const Strict = defineEvent("strict", { schema: z.object({ n: z.number().transform((n) => n * 10) }) });

describe("the options of a bus", () => {
  it("option: BusOptions.name is the source of what it publishes, and its own name", async () => {
    await using bus = await onMemory({ name: "shop" });
    const seen = new Seen();
    await bus.subscribe(Tick, seen.handle, { group: "g" });
    await bus.publish(Tick, { n: 1 });
    await until(() => seen.count === 1, "the event");
    expect([bus.name, seen.events[0]!.source]).toEqual(["shop", "shop"]);
  });

  it("option: BusOptions.prefix keeps two buses on one store apart", async () => {
    const name = fresh("store");
    await using left = await connect({ driver: memory({ name }), prefix: "left" });
    await using right = await connect({ driver: memory({ name }), prefix: "right" });
    await using same = await connect({ driver: memory({ name }), prefix: "left" });
    await left.publish(Tick, { n: 1 });
    expect((await right.streams.info("events")).messages).toBe(0);
    expect((await same.streams.info("events")).messages).toBe(1);
  });

  it("option: BusOptions.group is the group of subscriptions that name none", async () => {
    await using bus = await onMemory({ group: "shop" });
    const subscription = await bus.subscribe(Tick, () => undefined);
    expect(subscription.group).toBe("shop");
    expect((await bus.groups.list()).map(({ group }) => group)).toEqual(["shop"]);
  });

  it("option: BusOptions.definitions validates what is published and received untyped", async () => {
    await using bus = await onMemory({ definitions: [Strict] });
    const seen = new Seen();
    await bus.subscribePattern("strict", seen.handle, { group: "g" });
    await bus.publishTopic("strict", { n: 1 });
    await until(() => seen.count === 1, "the event");
    expect(seen.numbers).toEqual([10]);
    expect(await failureOf(bus.publishTopic("strict", { n: "1" }))).toMatchObject({ code: "BUS_INVALID_DATA" });
  });

  it("option: BusOptions.unknownTypes decides over a type that nobody registered", async () => {
    const outcome = async (options: {
      readonly definitions?: readonly [typeof Strict];
      readonly unknownTypes?: "pass" | "dead-letter";
    }): Promise<string> => {
      await using bus = await onMemory(options);
      const seen = new Seen();
      await bus.subscribePattern(">", seen.handle, { group: "g" });
      await bus.publishTopic("nobody.knows", 1);
      let letters = 0;
      await until(async () => seen.count + (letters = await bus.deadLetters.count()) > 0, "either");
      return letters > 0 ? "dead-letter" : "pass";
    };
    expect(await outcome({ unknownTypes: "dead-letter" })).toBe("dead-letter");
    expect(await outcome({ definitions: [Strict], unknownTypes: "pass" })).toBe("pass");
    expect([await outcome({}), await outcome({ definitions: [Strict] })]).toEqual(["pass", "dead-letter"]);
  });

  it("option: BusOptions.validate says where schemas run", async () => {
    const run = async (validate: "both" | "publish" | "receive" | undefined): Promise<readonly unknown[]> => {
      await using bus = await onMemory({ validate });
      const seen = new Seen();
      await bus.subscribe(Strict, seen.handle, { group: "g" });
      const wrong = await bus.publish(Strict, { n: "x" } as never).then(
        () => "published",
        () => "refused",
      );
      await bus.publish(Strict, { n: 1 });
      await until(() => seen.events.some(({ data }) => [1, 10].includes((data as { n: number }).n)), "the right one");
      return [wrong, (seen.events.at(-1)!.data as { n: number }).n, await bus.deadLetters.count()];
    };
    expect(await run(undefined)).toEqual(["refused", 10, 0]);
    expect(await run("both")).toEqual(["refused", 10, 0]);
    expect(await run("publish")).toEqual(["refused", 1, 0]);
    expect(await run("receive")).toEqual(["published", 10, 1]);
  });

  it("option: BusOptions.streams are made, and the most specific captures a topic", async () => {
    await using bus = await onMemory({
      streams: [
        { name: "ticks", topics: ["tick.>", "tick"] },
        { name: "rest", topics: [">"] },
      ],
    });
    expect((await bus.publish(Tick, { n: 1 })).stream).toBe("ticks");
    expect((await bus.publishTopic("else.where", 1)).stream).toBe("rest");
    expect((await bus.streams.list()).map(({ name }) => name).toSorted()).toEqual(["rest", "ticks"]);
  });

  it("option: BusOptions.retry is the policy of subscriptions that give none", async () => {
    await using bus = await onMemory({ retry: { maxAttempts: 2, ...atOnce } });
    let runs = 0;
    await bus.subscribe(Tick, () => Promise.reject(new Error(`run ${(runs += 1)}`)), { group: "g" });
    await bus.publish(Tick, { n: 1 });
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    expect(runs).toBe(2);
  });

  it("option: BusOptions.publishing is the policy of publishes", async () => {
    const { bus, driver } = await onFaulty({ publishing: { retry: { maxAttempts: 1 } } });
    await using _ = bus;
    driver.sendFault = () => "no";
    expect(await failureOf(bus.publish(Tick, { n: 1 }))).toMatchObject({ attempts: 1, outcome: "rejected" });
  });

  it("option: BusOptions.wire says how events are written", async () => {
    const { bus, driver } = await onFaulty({ wire: { mode: "binary" } });
    await using _ = bus;
    await bus.publish(Tick, { n: 1 });
    expect(new TextDecoder().decode(driver.sent[0]!.body)).toBe('{"n":1}');
  });

  it("option: BusOptions.correlate makes handlers' publishes caused by their event, or leaves it to them", async () => {
    const run = async (correlate: "auto" | "explicit" | undefined): Promise<readonly (string | undefined)[]> => {
      await using bus = await onMemory({ correlate });
      const seen = new Seen();
      await bus.subscribePattern("told.*", seen.handle, { group: "told" });
      await bus.subscribe(
        Tick,
        (_event, delivery) => Promise.all([bus.publishTopic("told.bus", 1), delivery.publish(Told, { n: 1 })]),
        { group: "g" },
      );
      const { id } = await bus.publish(Tick, { n: 1 }, { correlationId: "chain" });
      await until(() => seen.count === 2, "both");
      const of = (topic: string): string | undefined => {
        const event = seen.events.find((each) => each.topic === topic)!;
        return event.causationId === id && event.correlationId === "chain" ? "caused" : event.causationId;
      };
      return [of("told.bus"), of("told.delivery")];
    };
    const Told = defineEvent("told.delivery", { schema: z.object({ n: z.number() }) });
    expect(await run("explicit")).toEqual([undefined, "caused"]);
    expect(await run("auto")).toEqual(["caused", "caused"]);
    expect(await run(undefined)).toEqual(["caused", "caused"]);
  });

  it("option: BusOptions.logger gets one structured line of what happens", async () => {
    const logger = new LogBook();
    const bus = await onMemory({ name: "shop", logger });
    await bus.close();
    expect(logger.of("connected")[0]).toMatchObject({ level: "info", fields: { bus: "shop", driver: "memory" } });
    expect(logger.of("closed")).toHaveLength(1);
  });

  it("option: BusOptions.connectTimeoutMs ends a connect that nobody answers, saying what it tried", async () => {
    const driver = new FaultyDriver();
    driver.failConnects = Number.POSITIVE_INFINITY;
    const failure = await within(failureOf(connect({ driver, connectTimeoutMs: 150 })), "the time-out", 4_000);
    expect(failure).toMatchObject({ code: "BUS_CONNECTION", retryable: true });
    expect(failure.message).toMatch(/"faulty".*150 ms.*the broker is not there/);
    expect(driver.connectTimes.length).toBeGreaterThan(1);
  });

  it("option: BusOptions.reconnect is how often it is tried", async () => {
    const driver = new FaultyDriver();
    driver.failConnects = 5;
    expect(await failureOf(connect({ driver, reconnect: { maxAttempts: 2, minMs: 1, maxMs: 1 } }))).toMatchObject({
      code: "BUS_CONNECTION",
    });
    expect(driver.connectTimes).toHaveLength(2);
  });

  it("option: BusOptions.manage makes what is missing, names it, or assumes it", async () => {
    const name = fresh("store");
    const config = { driver: memory({ name }), streams: [{ name: "orders", topics: ["tick"] }] };
    expect(await failureOf(connect({ ...config, manage: "verify" }))).toMatchObject({
      code: "BUS_NOT_FOUND",
      message: expect.stringContaining('"orders" (tick)') as string,
    });
    await using assuming = await connect({ ...config, manage: "off" });
    expect(await assuming.streams.list()).toEqual([]);
    await using making = await connect(config);
    expect((await making.streams.list()).map((stream) => stream.name)).toEqual(["orders"]);
    await using verifying = await connect({ ...config, manage: "verify" });
    expect((await verifying.publish(Tick, { n: 1 })).stream).toBe("orders");
  });

  it("option: BusOptions.member is shown among a group's members", async () => {
    await using bus = await onMemory({ member: "worker-7" });
    await bus.subscribe(Tick, () => undefined, { group: "g" });
    expect((await bus.groups.info("g")).members.map((member) => member.name)).toEqual(["worker-7"]);
  });

  it("option: BusOptions.maxMessageBytes refuses a larger event before it is sent", async () => {
    const { bus, driver } = await onFaulty({ maxMessageBytes: 2_000 });
    await using _ = bus;
    expect(await failureOf(bus.publishTopic("big", "x".repeat(2_000)))).toMatchObject({ code: "BUS_TOO_LARGE" });
    expect(driver.sent).toEqual([]);
    await bus.publishTopic("small", "x".repeat(1_000));
  });

  it("option: BusOptions.signal closes the bus when it aborts", async () => {
    const stop = new AbortController();
    const bus = await onMemory({ signal: stop.signal });
    stop.abort();
    await until(() => bus.state === "closed", "the end");
    const late: Bus = createBus({ driver: memory(), signal: stop.signal });
    expect(await failureOf(late.publish(Tick, { n: 1 }))).toMatchObject({ code: "BUS_CLOSED" });
  });
});

describe("the reconnect policy", () => {
  const timesOf = async (reconnect: object, fails: number): Promise<readonly number[]> => {
    const driver = new FaultyDriver();
    driver.failConnects = fails;
    await using _ = await connect({ driver, reconnect });
    return driver.connectTimes.slice(1).map((time, index) => time - driver.connectTimes[index]!);
  };

  it("option: ReconnectPolicy.maxAttempts ends the tries to open a subscription again", async () => {
    const { bus, driver } = await onFaulty({ reconnect: { maxAttempts: 3, minMs: 1, maxMs: 1 } });
    await using _ = bus;
    const subscription = await bus.subscribe(Tick, () => undefined, { group: "g" });
    const before = driver.consumeTimes.length;
    driver.failConsumes = Number.POSITIVE_INFINITY;
    await driver.last("group").end();
    await until(() => subscription.state === "closed", "giving up");
    expect(driver.consumeTimes.length - before).toBe(3);
  });

  it("option: ReconnectPolicy.minMs is the first wait, down to half of it by chance", async () => {
    const [first] = await timesOf({ minMs: 300, maxMs: 300 }, 1);
    expect(first).toBeGreaterThanOrEqual(149);
    const [quick] = await timesOf({ minMs: 1 }, 1);
    expect(quick).toBeLessThan(100);
  });

  it("option: ReconnectPolicy.maxMs is the longest wait", async () => {
    const waits = await timesOf({ minMs: 1, maxMs: 2 }, 12);
    expect(waits).toHaveLength(12);
    expect(waits.at(-1)).toBeLessThan(500);
  });
});
