import { describe, expect, it } from "vitest";
import { connect, createBus, outgoing, type BusOptions, type PublishOptions, type SubscribeOptions } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { failureOf, onMemory, Seen, Tick, Tock } from "../support/events.ts";

/** Publishes and sees it handled: the bus still works. */
async function works(bus: Awaited<ReturnType<typeof onMemory>>): Promise<void> {
  const seen = new Seen();
  const subscription = await bus.subscribe(Tock, seen.handle, { group: "still-works" });
  await bus.publish(Tock, { n: 1 });
  await until(() => seen.count > 0, "that the bus still works");
  await subscription.unsubscribe();
}

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
      expect(failure).toMatchObject({ code: expect.stringMatching(/^BUS_(INVALID_OPTION|CONFLICT|INVALID_TOPIC)$/) as string });
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
    for (const handler of [undefined, null, 7, {}, { handle: 1 }]) expect(await failureOf(bus.subscribe(Tick, handler as never))).toMatchObject({ code: "BUS_INVALID_OPTION" });
    for (const events of [undefined, null, [], [undefined], "tick", {}]) expect(await failureOf(bus.subscribe(events as never, () => undefined))).toMatchObject({ code: "BUS_INVALID_OPTION" });
    expect(await failureOf(bus.subscribe([Tick, Tick], () => undefined))).toMatchObject({ code: "BUS_CONFLICT" });
    for (const options of [undefined, {}, { maxSize: 0, maxAgeMs: 1 }, { maxSize: 1, maxAgeMs: Number.NaN }]) expect(await failureOf(bus.subscribeBatch(Tick, async () => undefined, options as never))).toMatchObject({ code: "BUS_INVALID_OPTION" });
    for (const options of [undefined, {}, { group: "g", max: 0 }, { group: "g", waitMs: -1 }, { group: 7 }]) expect(await failureOf(bus.pull(Tick, options as never))).toMatchObject({ code: "BUS_INVALID_OPTION" });
    await works(bus);
  });

  it("the same handler name twice in a group, or conflicting options of one group, are refused", async () => {
    await using bus = await onMemory();
    await bus.subscribe(Tick, () => undefined, { group: "g", name: "h", order: "group" });
    expect(await failureOf(bus.subscribe(Tock, () => undefined, { group: "g", name: "h" }))).toMatchObject({ code: "BUS_CONFLICT", message: expect.stringContaining('"h"') as string });
    expect(await failureOf(bus.subscribe(Tock, () => undefined, { group: "g", order: "none" }))).toMatchObject({ code: "BUS_CONFLICT" });
    expect(await failureOf(bus.subscribe(Tock, () => undefined, { group: "g", live: true }))).toMatchObject({ code: "BUS_CONFLICT" });
    await bus.subscribe(Tock, () => undefined, { group: "other", name: "h" });
    await works(bus);
  });

  it("an order that differs from what the group has is refused, also where the first handler gave none", async () => {
    await using bus = await onMemory();
    await bus.subscribe(Tick, () => undefined, { group: "g" });
    expect(await failureOf(bus.subscribe(Tock, () => undefined, { group: "g", order: "none" }))).toMatchObject({ code: "BUS_CONFLICT" });
  });

  it("a run-ahead bound that differs from the first handler's is refused, not ignored", async () => {
    await using bus = await onMemory();
    await bus.subscribe(Tick, () => undefined, { group: "g", runAhead: 100 });
    expect(await failureOf(bus.subscribe(Tock, () => undefined, { group: "g", runAhead: 5 }))).toMatchObject({ code: "BUS_CONFLICT" });
  });
});

describe("wrong options of a publish", () => {
  const odd = "\u202E";
  const wrong: readonly [string, object][] = [
    ...[-1, Number.NaN, "5", Number.POSITIVE_INFINITY, 2 ** 53 + 2].map((delayMs): [string, object] => [`delayMs ${delayMs}`, { delayMs }]),
    ["at that is no date", { at: new Date(Number.NaN) }],
    ["at that is a number", { at: 7 }],
    ["delayMs and at", { delayMs: 1, at: new Date() }],
    ["a delayed at-most-once", { delayMs: 1, delivery: "at-most-once" }],
    ["time that is no date", { time: new Date(Number.NaN) }],
    ["an unknown priority", { priority: "urgent" }],
    ["an unknown option", { delay: 5 }],
    ["an empty id", { id: "" }],
    ["an id with a line end", { id: "a\nb" }],
    ["an id of a megabyte", { id: "x".repeat(1_000_000) }],
    ["an id that is a number", { id: 7 }],
    ["an id with half a surrogate pair", { id: "\uD800" }],
    ["an id that changes direction", { id: `a${odd}b` }],
    ["an empty key", { key: "" }],
    ["a key of a megabyte", { key: "x".repeat(1_000_000) }],
    ["a key that is an object", { key: {} }],
    ["a key with NUL", { key: "a\0b" }],
    ["maxAttempts 0", { maxAttempts: 0 }],
    ["maxAttempts 1.5", { maxAttempts: 1.5 }],
    ["timeoutMs 0", { timeoutMs: 0 }],
    ["timeoutMs NaN", { timeoutMs: Number.NaN }],
    ["a signal that is none", { signal: { aborted: true } }],
    ["metadata that is a list", { metadata: [] }],
    ["metadata with a BigInt", { metadata: { big: 1n } }],
    ["metadata with a function", { metadata: { run: () => 1 } }],
    ["a source that is no URI-reference", { source: "a b" }],
    ["a correlationId with a tab", { correlationId: "a\tb" }],
  ];
  for (const [what, options] of wrong) {
    for (const encode of [true, false]) {
      it(`${what} is refused${encode ? "" : " without encoding, too"}; nothing is stored, the bus works on`, async () => {
        await using bus = await connect("memory:", { memory: { encode } } as never);
        const failure = await failureOf(bus.publish(Tick, { n: 1 }, options as PublishOptions));
        expect(failure.code).toMatch(/^BUS_INVALID_(OPTION|DATA)$/);
        expect(failure.message.length).toBeLessThan(400);
        expect((await bus.streams.info("events")).messages).toBe(0);
        await works(bus);
      });
    }
  }

  it("odd but legal ids and keys are plain data", async () => {
    await using bus = await onMemory();
    const seen = new Seen();
    await bus.subscribe(Tick, seen.handle, { group: "__proto__", name: "constructor", order: "none" });
    const odd = ["__proto__", "constructor", "toString", "hasOwnProperty", "a/b", "..", "-rf", "{tag}", "😀", "É", "E\u0301", " spaced "];
    for (const each of odd) await bus.publish(Tick, { n: 1 }, { id: each, key: each });
    await until(() => seen.count === odd.length, "all of them");
    expect(seen.events.map(({ id, key }) => `${id} ${key}`).toSorted()).toEqual(odd.map((each) => `${each} ${each}`).toSorted());
  });

  it("lists of items that are none are refused", async () => {
    await using bus = await onMemory();
    for (const items of [undefined, null, 7, {}, [7], [undefined], [{ topic: 7 }]]) expect(await failureOf(bus.publishMany(items as never))).toMatchObject({ code: "BUS_INVALID_OPTION" });
    expect(await failureOf(bus.publishMany([], { singal: 1 } as never))).toMatchObject({ message: expect.stringContaining('did you mean "signal"') as string });
    expect(await bus.publishMany([outgoing("a.b", 1)])).toMatchObject([{ ok: true }]);
    await works(bus);
  });
});

describe("wrong options of the rest", () => {
  it("are refused by name", async () => {
    await using bus = await onMemory();
    const subscription = await bus.subscribe(Tick, () => undefined, { group: "g" });
    const wrong: readonly (() => unknown)[] = [
      () => bus.health({ timeoutMs: Number.NaN }),
      () => bus.health({ timeout: 5 } as never),
      () => bus.deadLetters.list({ limit: 0 }),
      () => bus.deadLetters.list({ gruop: "g" } as never),
      () => bus.deadLetters.count({ before: new Date(Number.NaN) }),
      () => bus.deadLetters.replay({}, { ratePerSecond: -1 }),
      () => bus.deadLetters.replay({}, { data: {} }),
      () => bus.groups.recover("g", { idleMs: Number.NaN }),
      () => bus.groups.reset("g", "now" as never),
      () => bus.groups.update("g", []),
      () => bus.streams.ensure({ name: "x", topics: ["x"], partitions: 0 }),
      () => bus.streams.ensure({ name: "x", topics: ["x"] }, { dryrun: true } as never),
      () => bus.streams.trim("events", new Date(Number.NaN)),
      () => bus.within({ sesion: "s" } as never, () => undefined),
      () => bus.close({ timeout: 5 } as never),
      () => bus.close({ timeoutMs: -5 }),
      () => subscription.unsubscribe({ timeoutMs: Number.NaN }),
      () => subscription.unsubscribe({ timeout: 5 } as never),
      () => bus.onStatus(undefined as never),
    ];
    const failures: string[] = [];
    for (const call of wrong) {
      if (bus.state !== "connected" || subscription.state !== "running") break;
      const code = await Promise.race([(async () => call())().then(() => "accepted", (error: { readonly code?: string }) => error.code ?? String(error)), new Promise<string>((resolve) => setTimeout(() => resolve("hangs"), 1_000))]);
      if (code !== "BUS_INVALID_OPTION") failures.push(`${String(call)}: ${code}`);
    }
    expect(failures).toEqual([]);
  });
});
