import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { connect, createBus } from "../../src/index.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { available } from "../../src/index.ts";
import { loadDriver } from "../../src/load-driver.ts";
import { silence, until, within } from "../../src/testing/until.ts";
import { Fault, FaultyDriver } from "../support/faulty-driver.ts";
import { failureOf, gate, LogBook, onMemory, Seen, Tick } from "../support/events.ts";

const soon = { reconnect: { minMs: 1, maxMs: 5 } } as const;

describe("connecting", () => {
  it("is done once, however many ask at once", async () => {
    const driver = new FaultyDriver();
    await using bus = createBus({ driver });
    await Promise.all([
      bus.connect(),
      bus.publish(Tick, { n: 1 }),
      bus.connect(),
      bus.streams.list(),
      bus.subscribe(Tick, () => undefined, { group: "g" }),
    ]);
    await bus.connect();
    expect([driver.connectTimes.length, driver.open, bus.state]).toEqual([1, 1, "connected"]);
  });

  it("leaves nothing open when it times out, even a connection that comes later", async () => {
    const driver = new FaultyDriver();
    const open = gate();
    driver.connectGate = open.opened;
    expect(await failureOf(connect({ driver, connectTimeoutMs: 50 }))).toMatchObject({ code: "BUS_CONNECTION" });
    open.open();
    await until(() => driver.contexts.length === 1 && driver.contexts[0]!.signal.aborted, "the abort");
    await silence(() => driver.open, "left open", 50);
    expect(driver.open).toBe(0);
  });

  it("closes the connection when what is to be made at the broker can't be", async () => {
    const driver = new FaultyDriver();
    const streams = [{ name: "events", topics: [">"], replicas: 3 }];
    expect(await failureOf(connect({ driver, streams }))).toMatchObject({ code: "BUS_UNSUPPORTED" });
    expect(driver.open).toBe(0);
  });

  it("rejects at once for a reason that won't pass", async () => {
    const driver = new FaultyDriver();
    driver.failConnects = 9;
    driver.connectFault = () => new Fault("wrong password", { code: "BUS_AUTHENTICATION", retryable: false });
    const failure = await within(failureOf(connect({ driver })), "the failure", 1_000);
    expect(failure).toMatchObject({ code: "BUS_AUTHENTICATION", cause: expect.any(Fault) as unknown });
    expect(driver.connectTimes).toHaveLength(1);
  });

  it("logs what a driver warns of, with no password in it", async () => {
    const driver = new FaultyDriver();
    const logger = new LogBook();
    await using _ = await connect({ driver, logger });
    driver.contexts[0]!.warn("redis://omnibus:secret@localhost: maxmemory-policy allkeys-lru evicts", { evicted: 3 });
    const { level, message, fields } = logger.lines.at(-1)!;
    expect([level, fields]).toMatchObject(["warn", { evicted: 3, driver: driver.name }]);
    expect(message).toMatch(/maxmemory-policy/);
    expect(message).not.toMatch(/secret/);
  });

  it("is tried again by createBus for as long as it takes", async () => {
    const driver = new FaultyDriver();
    driver.failConnects = 20;
    await using bus = createBus({ driver, connectTimeoutMs: 1, ...soon });
    const seen = new Seen();
    await bus.subscribe(Tick, seen.handle, { group: "g" });
    await bus.connect();
    await bus.publish(Tick, { n: 1 });
    await until(() => seen.count === 1, "the event");
    expect(driver.connectTimes).toHaveLength(21);
  });

  it("may be tried again after it failed for good", async () => {
    const driver = new FaultyDriver();
    driver.failConnects = 1;
    driver.connectFault = () => new Fault("not yet", { retryable: false });
    await using bus = createBus({ driver });
    await failureOf(bus.connect());
    expect(bus.state).toBe("new");
    await bus.connect();
    expect(bus.state).toBe("connected");
  });

  it("is ended by close, in every state", async () => {
    const driver = new FaultyDriver();
    driver.failConnects = Number.POSITIVE_INFINITY;
    const bus = createBus({ driver, ...soon });
    const connecting = failureOf(bus.connect());
    await until(() => driver.connectTimes.length > 2, "some tries");
    await Promise.all([bus.close(), bus.close()]);
    expect(await connecting).toMatchObject({ code: "BUS_CLOSED" });
    const after = driver.connectTimes.length;
    await silence(() => driver.connectTimes.length, "tried after close", 40);
    expect([driver.connectTimes.length, bus.state]).toEqual([after, "closed"]);
    await createBus({ driver }).close();
  });

  it("refuses everything after close", async () => {
    const bus = await onMemory();
    await bus.close();
    const calls = [
      bus.connect(),
      bus.publish(Tick, { n: 1 }),
      bus.publishTopic("a", 1),
      bus.publishMany([]),
      bus.send("g", Tick, { n: 1 }),
      bus.subscribe(Tick, () => undefined),
      bus.events(Tick),
      bus.pull(Tick, { group: "g" }),
      bus.streams.list(),
      bus.groups.list(),
      bus.deadLetters.list(),
    ];
    for (const call of calls) expect(await failureOf(call)).toMatchObject({ code: "BUS_CLOSED" });
    expect(bus.driver).toBeUndefined();
  });
});

describe("loading a driver", () => {
  const needy = {
    needy: {
      schemes: ["needy"],
      client: { module: "no-such-client", install: "npm i no-such-client" },
      load: () => Promise.resolve(memory()),
    },
  };

  it("names the package that is missing, and the command that brings it", async () => {
    const failure = await failureOf(loadDriver("needy://host", {}, needy));
    expect(failure).toMatchObject({ code: "BUS_CLIENT_MISSING", retryable: false });
    expect(failure.message).toMatch(/"needy".*no-such-client.*npm i no-such-client/);
  });

  it("knows what is available", () => {
    expect([
      available("memory"),
      available("sqlite"),
      available("nosuch"),
      available("__proto__"),
      available("constructor"),
    ]).toEqual([true, true, false, false, false]);
  });

  it("takes a driver's options from the url and from its section, which wins", async () => {
    await using bus = await connect("memory:?maxMessages=1&encode=false", { memory: { encode: true } });
    const seen = new Seen();
    await bus.subscribe(Tick, seen.handle, { group: "g" });
    const data = { n: 1 };
    await bus.publish(Tick, data);
    await until(() => seen.count === 1, "the event");
    expect(seen.events[0]!.data === data).toBe(false);
  });
});

describe("secrets", () => {
  const secret = "hunter2%40x";
  const url = `amqp://user:${secret}@host.example/vhost?password=${secret}`;
  /** Everything that anybody could log of it. */
  const shown = (value: unknown): string =>
    `${inspect(value, { depth: 9, showHidden: true })} ${String(value)} ${JSON.stringify(value)}`;

  it("in a url never reach an error of connecting, nor what inspecting the bus shows", async () => {
    const failure = await failureOf(connect(url));
    expect(shown(failure)).not.toContain("hunter2");
    const bus = createBus(url);
    expect(shown(bus)).not.toContain("hunter2");
    expect(shown(await failureOf(bus.connect()))).not.toContain("hunter2");
    await bus.close();
  });

  it("in a driver's error never reach messages and logs", async () => {
    const logger = new LogBook();
    const driver = new FaultyDriver();
    driver.failConnects = Number.POSITIVE_INFINITY;
    driver.connectFault = () => new Fault(`can't reach ${url}`);
    const failure = await failureOf(connect({ driver, logger, connectTimeoutMs: 30, ...soon }));
    expect(failure.message).not.toContain("hunter2");
    expect(JSON.stringify(logger.lines)).not.toContain("hunter2");
  });

  it("in a handler's error never reach letters and logs", async () => {
    const logger = new LogBook();
    await using bus = await onMemory({ logger, retry: { maxAttempts: 1 } });
    await bus.subscribe(Tick, () => Promise.reject(new Error(`can't reach amqp://user:${secret}@host`)), {
      group: "g",
    });
    await bus.publish(Tick, { n: 1 });
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    expect(JSON.stringify((await bus.deadLetters.list()).items)).not.toContain("hunter2");
    expect(JSON.stringify(logger.lines)).not.toContain("hunter2");
  });
});
