import { describe, expect, it } from "vitest";
import { connect, createBus, type BusOptions, type SubscribeOptions } from "../../src/index.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { sqlite } from "../../src/drivers/sqlite/index.ts";
import { failureOf, onMemory, stillWorks as works, Tick, Tock } from "../support/events.ts";

describe("wrong urls", () => {
  const wrong: readonly [unknown, RegExp][] = [
    ["memroy:", /not "memroy"; did you mean "memory:"/],
    ["sqllite:./x.db", /did you mean "sqlite:"/],
    ["https://example.com", /must be one of .*memory/],
    ["bus.db", /scheme must be one of/],
    ["", /url/],
    [7, /url/],
    [undefined, /url/],
    [null, /url/],
    ["__proto__:", /must be one of/],
    ["sqlite:", /needs a path/],
    ["memory:?encoed=false", /encoed/],
    [{}, /either a "url" or a "driver"/],
    [{ url: "memory:", driver: { connect: () => undefined } }, /either a "url" or a "driver"/],
    [{ driver: {} }, /"driver" must be a driver/],
    [{ url: "memory:", memroy: {} }, /did you mean "memory"/],
    [{ url: "memory:", memory: [] }, /memory/],
  ];
  for (const [target, words] of wrong) {
    it(`${JSON.stringify(target)} is refused by name, with a suggestion where one is near`, async () => {
      const failure = await failureOf((async () => connect(target as string))());
      expect(failure).toMatchObject({ code: "BUS_INVALID_OPTION", retryable: false });
      expect(failure.message).toMatch(words);
    });
  }

  it("a name with a percent sign that encodes nothing is refused, not crashed on", async () => {
    expect(await failureOf(connect("sqlite:./100%.db"))).toMatchObject({ code: "BUS_INVALID_OPTION" });
  });
});

describe("wrong options of a driver", () => {
  const limits = "must be a whole number from 300 to 3600000";
  const sqliteOptions = '"path", "leaseMs", "pollMs", "busyTimeoutMs", "maxFileBytes"';
  const wrong: readonly [url: string, section: object | undefined, message: string][] = [
    ["memory:?encoed=false", undefined, 'memory has no option "encoed"; did you mean "encode"?'],
    ["memory:", { memory: { encoed: false } }, 'memory has no option "encoed"; did you mean "encode"?'],
    ["memory:?encode=7", undefined, 'memory: "encode" must be true or false'],
    ["memory:?maxMessages=", undefined, 'memory: "maxMessages" must be a whole number from 1 to 2^53'],
    ["memory:", { memory: { maxBytes: 0.5 } }, 'memory: "maxBytes" must be a whole number from 1 to 2^53'],
    ["memory:?maxLetters=NaN", undefined, 'memory: "maxLetters" must be a whole number from 1 to 2^53'],
    ["memory:?whenFull=drop", undefined, 'memory: "whenFull" must be one of "reject", "drop-oldest", "wait"'],
    [`memory:${"x".repeat(300)}`, undefined, 'memory: "name" must be a text of 1 to 255 characters'],
    ["memory:a?name=b", undefined, 'memory: "name" stands in the url already; leave the option out'],
    ["memory:", { memory: 7 }, 'the bus: "memory" must be an object'],
    ["sqlite:./x.db?leasMs=5000", undefined, 'sqlite has no option "leasMs"; did you mean "leaseMs"?'],
    ["sqlite:./x.db", { sqlite: { leasMs: 5_000 } }, 'sqlite has no option "leasMs"; did you mean "leaseMs"?'],
    ["sqlite:./x.db?lease=5", undefined, 'sqlite has no option "lease"; did you mean "leaseMs"?'],
    ["sqlite:./x.db?synchronous=off", undefined, `sqlite has no option "synchronous"; there are ${sqliteOptions}`],
    ["sqlite:./x.db?__proto__=1", undefined, `sqlite has no option "__proto__"; there are ${sqliteOptions}`],
    ["sqlite:./x.db?leaseMs=5", undefined, `sqlite: "leaseMs" ${limits}`],
    ["sqlite:./x.db?leaseMs=5s", undefined, `sqlite: "leaseMs" ${limits}`],
    ["sqlite:./x.db", { sqlite: { leaseMs: "500" } }, `sqlite: "leaseMs" ${limits}`],
    ["sqlite:./x.db?leaseMs=500&leaseMs=600", undefined, 'the url has the option "leaseMs" twice'],
    ["sqlite:./x.db?path=y.db", undefined, 'sqlite: "path" stands in the url already; leave the option out'],
    ["sqlite::memory:", undefined, 'sqlite: "path" must be a file; a bus in memory is memory:'],
    ["sqlite:", { sqlite: { path: 7 } }, 'sqlite: "path" must be a string that is not empty'],
  ];
  for (const [url, section, message] of wrong) {
    it(`${url.slice(0, 40)}${section === undefined ? "" : ` ${JSON.stringify(section)}`}: ${message}`, async () => {
      const refused = { code: "BUS_INVALID_OPTION", retryable: false, message };
      expect(await failureOf((async () => connect(url, section as BusOptions))())).toMatchObject(refused);
    });
  }

  it("are told in the same words by its factory", () => {
    expect(() => memory({ encoed: false } as never)).toThrow('memory has no option "encoed"; did you mean "encode"?');
    expect(() => memory(null as never)).toThrow("memory must be an object");
    expect(() => sqlite({ path: "./x.db", leaseMs: 5 })).toThrow(`sqlite: "leaseMs" ${limits}`);
    expect(() => sqlite(undefined as never)).toThrow('sqlite needs a "path"');
  });

  it("name the driver once, also when it refuses later", async () => {
    const { message } = await failureOf(connect("sqlite:./never-made.db", { prefix: "sqlite" }));
    expect(message).toBe('connecting (sqlite): "prefix" must not begin with "sqlite"');
  });
});

describe("wrong options of the bus", () => {
  const wrong: readonly [object, RegExp][] = [
    [{ retires: {} }, /no option "retires"; did you mean "retry"/],
    [{ retry: { maxAttempt: 3 } }, /did you mean "maxAttempts"/],
    [{ retry: { maxAttempts: 0 } }, /"maxAttempts" must be a whole number from 1/],
    [{ retry: { backoff: { jitter: 1.5 } } }, /"jitter" must be a number from 0 to 1/],
    [{ retry: { backoff: { jitter: Number.NaN } } }, /"jitter"/],
    [{ retry: { backoff: { factor: 0 } } }, /"factor"/],
    [{ retry: { backoff: { baseMs: -1 } } }, /"baseMs"/],
    [{ retry: { backoff: "fast" } }, /"backoff"/],
    [{ publishing: { maxInFlight: 0 } }, /"maxInFlight"/],
    [{ publishing: { attemptTimeoutMs: Number.POSITIVE_INFINITY } }, /"attemptTimeoutMs"/],
    [{ connectTimeoutMs: Number.NaN }, /"connectTimeoutMs"/],
    [{ connectTimeoutMs: "5s" }, /"connectTimeoutMs"/],
    [{ reconnect: { minMs: -1 } }, /"minMs"/],
    [{ wire: { compression: { encoding: "lz4" } } }, /"encoding" must be one of "gzip", "zstd", "br"/],
    [{ wire: { compression: {} } }, /encoding/],
    [{ logger: console.log }, /logger/],
    [{ logger: { info: () => undefined } }, /logger/],
    [{ streams: [{ name: "a b", topics: [">"] }] }, /stream/],
    [{ streams: [{ name: "a", topics: [] }] }, /at least one/],
    [{ streams: [undefined] }, /stream/],
    [{ wire: { foreign: [undefined] } }, /foreign/],
    [{ name: "a b" }, /bus/],
    [{ prefix: "a.b>" }, /prefix/],
    [{ maxMessageBytes: 2 ** 53 }, /"maxMessageBytes"/],
    [{ definitions: [Tick, Tick] }, /tick/],
    [{ definitions: [7] }, /definition/],
    [{ signal: {} }, /"signal" must be an AbortSignal/],
    [null as never, /./],
  ];
  for (const [options, words] of wrong) {
    it(`${JSON.stringify(options, (_key, value: unknown) => (typeof value === "number" && !Number.isFinite(value) ? String(value) : value))} is refused by name`, async () => {
      if (options === null) return expect(createBus("memory:", options as never).state).toBe("new");
      const failure = await failureOf((async () => connect("memory:", options as BusOptions))());
      expect(failure).toMatchObject({
        code: expect.stringMatching(/^BUS_(INVALID_OPTION|CONFLICT|INVALID_TOPIC)$/) as string,
      });
      expect(failure.message).toMatch(words);
    });
  }
});

describe("wrong options of a subscription", () => {
  const wrong: readonly [object, RegExp][] = [
    [{ concurrency: 0 }, /"concurrency"/],
    [{ concurrency: 1e9 }, /"concurrency"/],
    [{ concurrency: Number.NaN }, /"concurrency"/],
    [{ concurrency: 1.5 }, /"concurrency"/],
    [{ timeoutMs: -1 }, /"timeoutMs"/],
    [{ timeoutMs: 2 ** 31 }, /"timeoutMs"/],
    [{ gruop: "g" }, /did you mean "group"/],
    [{ group: "" }, /group/],
    [{ group: "a\r\nPUB x" }, /group/],
    [{ group: "g", order: "fifo" }, /"order"/],
    [{ group: "g", from: new Date(Number.NaN) }, /"from"/],
    [{ group: "g", from: "latest" }, /"from"/],
    [{ group: "g", from: {} }, /"?from"?|positions/],
    [{ group: "g", from: { positions: 7 } }, /"?from"?|positions/],
    [{ from: "oldest" }, /"from" needs a group/],
    [{ live: true }, /"live" needs a group/],
    [{ order: "group" }, /needs a group/],
    [{ bufferSize: 0 }, /"bufferSize"/],
    [{ runAhead: 0 }, /"runAhead"/],
    [{ handOnMs: -5 }, /"handOnMs"/],
    [{ name: "\u0000" }, /handler/],
    [7 as never, /subscription/],
  ];
  for (const [options, words] of wrong) {
    it(`${JSON.stringify(options)} is refused by name, and the bus works on`, async () => {
      await using bus = await onMemory();
      const failure = await failureOf(bus.subscribe(Tick, () => undefined, options as SubscribeOptions));
      expect(failure.code).toBe("BUS_INVALID_OPTION");
      expect(failure.message).toMatch(words);
      await works(bus);
    });
  }

  it("handlers and definitions that are none are refused", async () => {
    await using bus = await onMemory();
    for (const handler of [undefined, null, 7, {}, { handle: 1 }])
      expect(await failureOf(bus.subscribe(Tick, handler as never))).toMatchObject({ code: "BUS_INVALID_OPTION" });
    for (const events of [undefined, null, [], [undefined], "tick", {}])
      expect(await failureOf(bus.subscribe(events as never, () => undefined))).toMatchObject({
        code: "BUS_INVALID_OPTION",
      });
    expect(await failureOf(bus.subscribe([Tick, Tick], () => undefined))).toMatchObject({ code: "BUS_CONFLICT" });
    for (const options of [undefined, {}, { maxSize: 0, maxAgeMs: 1 }, { maxSize: 1, maxAgeMs: Number.NaN }])
      expect(await failureOf(bus.subscribeBatch(Tick, async () => undefined, options as never))).toMatchObject({
        code: "BUS_INVALID_OPTION",
      });
    for (const options of [undefined, {}, { group: "g", max: 0 }, { group: "g", waitMs: -1 }, { group: 7 }])
      expect(await failureOf(bus.pull(Tick, options as never))).toMatchObject({ code: "BUS_INVALID_OPTION" });
    await works(bus);
  });

  it("the same handler name twice in a group, or conflicting options of one group, are refused", async () => {
    await using bus = await onMemory();
    await bus.subscribe(Tick, () => undefined, { group: "g", name: "h", order: "group" });
    expect(await failureOf(bus.subscribe(Tock, () => undefined, { group: "g", name: "h" }))).toMatchObject({
      code: "BUS_CONFLICT",
      message: expect.stringContaining('"h"') as string,
    });
    expect(await failureOf(bus.subscribe(Tock, () => undefined, { group: "g", order: "none" }))).toMatchObject({
      code: "BUS_CONFLICT",
    });
    expect(await failureOf(bus.subscribe(Tock, () => undefined, { group: "g", live: true }))).toMatchObject({
      code: "BUS_CONFLICT",
    });
    await bus.subscribe(Tock, () => undefined, { group: "other", name: "h" });
    await works(bus);
  });

  it("an order that differs from what the group has is refused, also where the first handler gave none", async () => {
    await using bus = await onMemory();
    await bus.subscribe(Tick, () => undefined, { group: "g" });
    expect(await failureOf(bus.subscribe(Tock, () => undefined, { group: "g", order: "none" }))).toMatchObject({
      code: "BUS_CONFLICT",
    });
  });

  it("a run-ahead bound that differs from the first handler's is refused, not ignored", async () => {
    await using bus = await onMemory();
    await bus.subscribe(Tick, () => undefined, { group: "g", runAhead: 100 });
    expect(await failureOf(bus.subscribe(Tock, () => undefined, { group: "g", runAhead: 5 }))).toMatchObject({
      code: "BUS_CONFLICT",
    });
  });
});
