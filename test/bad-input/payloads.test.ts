import { describe, expect, it } from "vitest";
import { connect, createBus, defineRequest, typed, type Bus } from "../../src/index.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { until } from "../../src/testing/until.ts";
import { failureOf, onMemory, Seen, stillWorks, Tick } from "../support/events.ts";

const secret = "4111-hidden";
const deep = (levels: number): unknown => {
  let data: unknown = 1;
  for (let level = 0; level < levels; level += 1) data = level % 2 === 0 ? [data] : { data };
  return data;
};
const cyclic = (): unknown => {
  const all: { list: unknown[]; secret: string } = { list: [], secret };
  all.list.push({ all });
  return all;
};
const throwing = (): never => {
  throw new Error("the user's own");
};

/** What JSON can't hold without loss, at the top and deep inside. */
const refused: readonly (readonly [string, () => unknown])[] = [
  ["undefined", () => undefined],
  ["a function", () => () => secret],
  ["a symbol", () => Symbol(secret)],
  ["a BigInt", () => 10n],
  ["NaN", () => Number.NaN],
  ["Infinity", () => Number.POSITIVE_INFINITY],
  ["-Infinity", () => Number.NEGATIVE_INFINITY],
  ["a cycle", cyclic],
  ["20,000 levels", () => deep(20_000)],
  ["65 levels", () => deep(65)],
  ["a Map", () => new Map([[secret, 1]])],
  ["a Set", () => new Set([secret])],
  [
    "an instance",
    () =>
      new (class Card {
        readonly number = secret;
      })(),
  ],
  ["a Date", () => new Date(0)],
  ["a Date of another world's time", () => new Date(Number.NaN)],
  ["a RegExp", () => /x/],
  ["an Error", () => new Error(secret)],
  ["a promise", () => Promise.resolve(secret)],
  ["a boxed number", () => Object(7)],
  ["a list with a hole", () => [secret, , 1]], // oxlint-disable-line no-sparse-arrays -- that is the point
  ["half a surrogate pair", () => `${secret}\uD83D`],
  ["a key of half a surrogate pair", () => ({ [`${secret}\uDE00`]: 1 })],
  ["a getter that throws", () => Object.defineProperty({}, "x", { enumerable: true, get: throwing })],
  [
    "a proxy that refuses everything",
    () => new Proxy({}, { ownKeys: throwing, get: throwing, getPrototypeOf: throwing }),
  ],
];
const given = (): readonly (readonly [string, () => unknown])[] => [
  ...refused,
  ...refused
    .filter(([what]) => what !== "undefined") // a property that is undefined is left out, as in JSON
    .map(([what, make]) => [`${what}, inside`, () => ({ secret, list: [{ bad: make() }] })] as const),
];

const stored = async (bus: Bus): Promise<number> => (await bus.streams.info("events")).messages;

describe("data that JSON can't hold", () => {
  for (const [what, make] of given()) {
    it(`is refused by publish, publishMany, send and before connecting, nothing is stored: ${what}`, async () => {
      await using bus = await onMemory();
      const waiting = createBus({ driver: memory() });
      const [outcome] = await bus.publishMany([Tick.of(make() as never)]);
      const failures = [
        await failureOf(bus.publish(Tick, make() as never)),
        await failureOf(bus.publishTopic("a.b", make())),
        await failureOf(bus.send("g", Tick, make() as never)),
        await failureOf(waiting.publish(Tick, make() as never)),
        outcome!.ok ? new Error("was taken") : outcome!.error,
      ];
      for (const failure of failures) {
        expect(failure).toMatchObject({ code: "BUS_INVALID_DATA", retryable: false });
        expect((failure as Error).message).not.toContain(secret);
        expect((failure as Error).message.length).toBeLessThan(400);
      }
      expect([await stored(bus), bus.stats().published]).toEqual([0, 0]);
      await waiting.close();
      await stillWorks(bus);
    });
  }

  it("is refused in requests and replies; who asked is told", async () => {
    await using bus = await onMemory();
    const Ask = defineRequest("ask", { request: typed<unknown>(), response: typed<unknown>() });
    let answer: unknown;
    await bus.respond(Ask, () => answer);
    // a responder may answer nothing, which is null, or a promise
    const skipped = new Set(["undefined", "a promise", "a proxy that refuses everything"]);
    for (const [, make] of refused.filter(([what]) => !skipped.has(what))) {
      expect(await failureOf(bus.request(Ask, make(), { timeoutMs: 2_000 }))).toMatchObject({
        code: "BUS_INVALID_DATA",
      });
      answer = make();
      const failure = await failureOf(bus.request(Ask, 1, { timeoutMs: 2_000 }));
      expect(failure).toMatchObject({ code: "BUS_REMOTE" });
      expect(failure.message).not.toContain(secret);
    }
    answer = "fine";
    expect(await bus.request(Ask, 1)).toBe("fine");
  });

  for (const [what, toJSON] of [
    ["answers nothing", () => undefined],
    ["throws", throwing],
    [
      "answers itself",
      function self(this: unknown) {
        return this;
      },
    ],
  ] as const) {
    it(`is refused where toJSON ${what}, not asked`, async () => {
      await using bus = await onMemory();
      expect(await failureOf(bus.publish(Tick, { n: 1, toJSON } as never))).toMatchObject({ code: "BUS_INVALID_DATA" });
      expect(await stored(bus)).toBe(0);
      await stillWorks(bus);
    });
  }
});

describe("data that JSON can hold", () => {
  it("arrives as it was: -0, null, the empty ones, bytes, emoji, 64 levels, odd keys", async () => {
    await using bus = await onMemory();
    const seen = new Seen();
    await bus.subscribePattern("a.b", seen.handle, { group: "g", concurrency: 1 });
    const odd = JSON.parse('{"hasOwnProperty":1,"toString":2,"":3,"constructor":4}') as unknown;
    const fine = [null, -0, 0, "", [], {}, false, "😀\u2028", deep(64), odd, { at: null }, Number.MAX_VALUE, 5e-324];
    for (const data of fine) await bus.publishTopic("a.b", data, { key: "k" });
    await until(() => seen.count === fine.length, "all of them");
    expect(seen.events.map(({ data }) => data)).toEqual(fine);
    expect(Object.is(seen.events[1]!.data, -0)).toBe(true);
  });

  it("may be bytes, of every kind, which arrive as bytes and not as an object of numbers", async () => {
    await using bus = await onMemory();
    const seen = new Seen();
    await bus.subscribePattern("a.b", seen.handle, { group: "g", concurrency: 1 });
    const shared = new SharedArrayBuffer(3);
    new Uint8Array(shared).set([1, 2, 3]);
    const kinds = [Buffer.from([1, 2, 3]), new Uint8Array([1, 2, 3]), new Uint8Array([1, 2, 3]).buffer, shared];
    let taken = 0;
    for (const data of kinds) {
      const outcome = await bus.publishTopic("a.b", data, { key: "k" }).catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome).toMatchObject({ code: "BUS_INVALID_DATA" });
      else taken += 1;
    }
    expect(taken).toBeGreaterThanOrEqual(2);
    await until(() => seen.count === taken, "those that were taken");
    for (const { data } of seen.events) expect([...(data as Uint8Array)]).toEqual([1, 2, 3]);
    await bus.publishTopic("a.b", new Uint8Array(0), { key: "k" });
    await until(() => seen.count === taken + 1, "no bytes at all");
    expect((seen.events.at(-1)!.data as Uint8Array).byteLength).toBe(0);
  });

  it("is read once, a property at a time, and what is published is what was given at the call", async () => {
    for (const encode of [true, false]) {
      await using bus = await connect({ driver: memory({ encode: true }), maxMessageBytes: 10_000 + Number(encode) });
      const seen = new Seen();
      await bus.subscribePattern("a.b", seen.handle, { group: "g", concurrency: 1 });
      let reads = 0;
      const data: Record<string, unknown> = { list: [1] };
      Object.defineProperty(data, "n", { enumerable: true, get: () => (reads += 1) });
      const publishing = bus.publishTopic("a.b", data, { key: "k" });
      (data["list"] as number[]).push(2);
      data["more"] = true;
      await publishing;
      const proxied = bus.publishTopic("a.b", new Proxy({ n: 1 }, {}), { key: "k" });
      await proxied;
      await until(() => seen.count === 2, "both");
      expect(reads).toBe(1);
      expect(seen.events.map((event) => event.data)).toEqual([{ list: [1], n: 1 }, { n: 1 }]);
    }
  });

  it("is snapshot at the call, also while the bus is not connected yet", async () => {
    await using bus = createBus({ driver: memory() });
    const seen = new Seen();
    await bus.subscribe(Tick, seen.handle, { group: "g" });
    const data = { n: 1 };
    const publishing = bus.publish(Tick, data);
    data.n = 2;
    await publishing;
    await until(() => seen.count === 1, "the event");
    expect(seen.numbers).toEqual([1]);
  });
});

describe("the size of an event", () => {
  const text = (length: number): { readonly text: string } => ({ text: "x".repeat(length) });

  for (const mode of ["structured", "binary"] as const) {
    it(`may be exactly the limit, attributes and headers counted, and no byte more (${mode})`, async () => {
      await using bus = await onMemory({ maxMessageBytes: 4_000, wire: { mode } });
      const publish = (length: number): Promise<unknown> =>
        bus.publishTopic("a.b", text(length), { id: "fixed-id", time: new Date(0), key: "k" });
      let taken = 0;
      let tooLong = 5_000;
      while (tooLong - taken > 1) {
        const length = Math.floor((taken + tooLong) / 2);
        const outcome = await publish(length).catch((error: unknown) => error);
        if (outcome instanceof Error) {
          expect(outcome).toMatchObject({ code: "BUS_TOO_LARGE", retryable: false });
          tooLong = length;
        } else taken = length;
      }
      expect(taken).toBeGreaterThan(3_000);
      expect(taken).toBeLessThan(4_000);
      const raised = await onMemory({ maxMessageBytes: 4_001, wire: { mode } });
      await raised.publishTopic("a.b", text(tooLong), { id: "fixed-id", time: new Date(0), key: "k" });
      await raised.close();
      expect(await failureOf(publish(tooLong))).toMatchObject({ code: "BUS_TOO_LARGE" });
      await stillWorks(bus);
    });
  }

  it("is refused soon, however large it is, and without being copied first", async () => {
    await using bus = await onMemory();
    const huge = "x".repeat(2 ** 29 - 25);
    const from = performance.now();
    for (const data of [
      huge,
      { huge },
      Array.from({ length: 50 }, () => huge),
      Array.from({ length: 5_000_000 }, () => 0),
    ])
      expect(await failureOf(bus.publishTopic("a.b", data))).toMatchObject({ code: "BUS_TOO_LARGE" });
    expect(performance.now() - from).toBeLessThan(4_000);
    expect(await stored(bus)).toBe(0);
    await stillWorks(bus);
  });
});
