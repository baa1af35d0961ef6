/* oxlint-disable unicorn/no-thenable -- what a handler may answer */
import { describe, expect, it } from "vitest";
import type { Delivery, RetryPolicy } from "../../src/index.ts";
import { silence, until, within } from "../../src/testing/until.ts";
import { failureOf, gate, onMemory, stillWorks as works, Tick, Tock } from "../support/events.ts";

const once = { retry: { maxAttempts: 1 } } as const;

/** One event for a bad handler: why its letter was written. */
async function reasonFor(
  handler: (event: unknown, delivery: Delivery) => unknown,
  options: { readonly timeoutMs?: number; readonly retry?: RetryPolicy } = {},
): Promise<{ readonly code: string; readonly name: string; readonly message: string }> {
  await using bus = await onMemory(once);
  await bus.subscribe(Tick, handler as never, { group: "g", concurrency: 1, ...options });
  await bus.publish(Tick, { n: 1 });
  await until(async () => (await bus.deadLetters.count()) === 1, "the letter", 2_000);
  await works(bus);
  expect(bus.stats()).toMatchObject({ inFlight: 0, failed: 1 });
  return (await bus.deadLetters.list()).items[0]!.reason;
}

describe("handlers that throw oddly", () => {
  const odd: readonly [string, unknown, RegExp][] = [
    ["undefined", undefined, /undefined was thrown/],
    ["null", null, /null was thrown/],
    ["a number", 7, /type number/],
    ["a text", "no luck", /no luck/],
    ["an empty text", "", /empty string/],
    ["a symbol", Symbol("s"), /type symbol/],
    ["an object without a prototype", Object.create(null), /object/],
    ["an error without a message", new TypeError(), /TypeError/],
    ["a frozen error", Object.freeze(new Error("frozen")), /frozen/],
    ["an error whose message is a megabyte", new Error("x".repeat(1_000_000)), /^x{100,}/],
    [
      "an error with itself as its cause",
      Object.assign(new Error("loop"), {
        get cause() {
          return this;
        },
      }),
      /loop/,
    ],
    ["an error whose message is no text", Object.assign(new Error("x"), { message: 7 }), /./],
    [
      "an error whose properties throw",
      Object.defineProperties(new Error("x"), {
        message: {
          get() {
            throw new Error("message");
          },
        },
        name: {
          get() {
            throw new Error("name");
          },
        },
        code: {
          get() {
            throw new Error("code");
          },
        },
        stack: {
          get() {
            throw new Error("stack");
          },
        },
      }),
      /./,
    ],
    [
      "a proxy that refuses everything",
      new Proxy(
        {},
        {
          get() {
            throw new Error("get");
          },
          has() {
            throw new Error("has");
          },
          getPrototypeOf() {
            throw new Error("prototype");
          },
        },
      ),
      /./,
    ],
  ];
  for (const [what, thrown, message] of odd) {
    it(`${what} makes a dead letter with a reason, thrown or rejected with, and the bus works on`, async () => {
      const sync = await reasonFor(() => {
        throw thrown;
      });
      expect(sync.message).toMatch(message);
      expect(sync.message.length).toBeLessThanOrEqual(1_024);
      expect((await reasonFor(() => Promise.reject(thrown))).message).toBe(sync.message);
    });
  }

  it("a thenable that throws is a failure like any other", async () => {
    const throwing = {
      then: (): never => {
        throw new Error("in then");
      },
    };
    expect((await reasonFor(() => throwing)).message).toBe("in then");
  });

  it("an answer whose `then` can't be read is a failure like any other", async () => {
    const unreadable = {
      get then(): never {
        throw new Error("reading then");
      },
    };
    expect((await reasonFor(() => unreadable)).message).toBe("reading then");
  });

  it("a thenable that answers twice counts once", async () => {
    await using bus = await onMemory();
    let runs = 0;
    await bus.subscribe(
      Tick,
      () => ({
        then: (done: () => void, failed: (error: unknown) => void) => {
          runs += 1;
          done();
          failed(new Error("too"));
          done();
        },
      }),
      { group: "g", concurrency: 1 },
    );
    await bus.publishMany([1, 2, 3].map((n) => Tick.of({ n })));
    await until(() => runs === 3, "all three");
    await works(bus);
    expect(bus.stats()).toMatchObject({ inFlight: 0, failed: 0 });
  });
});

describe("handlers that take too long", () => {
  it("and never settle: the attempt fails at the limit, the slot comes back at twice the limit", async () => {
    await using bus = await onMemory(once);
    await bus.subscribe(Tick, () => new Promise(() => undefined), { group: "g", concurrency: 1, timeoutMs: 40 });
    await bus.publish(Tick, { n: 1 });
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    expect((await bus.deadLetters.list()).items[0]!.reason.code).toBe("BUS_TIMEOUT");
    await until(() => bus.stats().inFlight === 0, "the slot", 1_000);
    await works(bus);
  });

  it("and throw after the time-out count once", async () => {
    await using bus = await onMemory(once);
    const late = gate();
    await bus.subscribe(
      Tick,
      async () => {
        await late.opened;
        throw new Error("late");
      },
      { group: "g", timeoutMs: 40 },
    );
    await bus.publish(Tick, { n: 1 });
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    late.open();
    await works(bus);
    await silence(() => bus.stats().failed, "counted twice", 20);
    expect(bus.stats()).toMatchObject({ failed: 1, deadLettered: 1, inFlight: 0 });
  });

  it("and answer or throw after close harm nothing", async () => {
    const bus = await onMemory();
    const late = gate();
    let running = 0;
    await bus.subscribe(
      Tick,
      async ({ data }, delivery) => {
        running += 1;
        await late.opened;
        await failureOf(delivery.publish(Tock, { n: 1 }));
        delivery.extend(1_000);
        if (data.n === 1) throw new Error("late");
      },
      { group: "g" },
    );
    await bus.publishMany([Tick.of({ n: 1 }), Tick.of({ n: 2 })]);
    await until(() => running === 2, "both");
    expect(await within(bus.close({ timeoutMs: 30 }), "the end", 3_000)).toEqual({ unfinished: 2 });
    late.open();
    await silence(() => running, "started after close", 30);
  });

  it("and are told odd extensions refuse them", async () => {
    for (const ms of [Number.NaN, -1, 0, 2 ** 31])
      expect((await reasonFor((_event, delivery) => delivery.extend(ms))).code).toBe("BUS_INVALID_OPTION");
  });
});
