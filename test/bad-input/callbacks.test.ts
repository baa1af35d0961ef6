import { describe, expect, it } from "vitest";
import { defineRequest, RetryAfter, typed } from "../../src/index.ts";
import { silence, until } from "../../src/testing/until.ts";
import { atOnce, failureOf, onMemory, stillWorks as works, Tick } from "../support/events.ts";

const once = { retry: { maxAttempts: 1 } } as const;
const Double = defineRequest("double", { request: typed<number>(), response: typed<number>() });

describe("what the user gives to be called", () => {
  const throwing = (): never => {
    throw new Error("the user's own");
  };

  it("may throw: a backoff", async () => {
    await using bus = await onMemory({ retry: { maxAttempts: 2, backoff: throwing } });
    await bus.subscribe(Tick, () => Promise.reject(new Error("no")), { group: "g" });
    await bus.publish(Tick, { n: 1 });
    await until(() => bus.stats().retried === 1, "that it is to be retried", 2_000);
    await works(bus);
    await bus.close({ timeoutMs: 50 });
  });

  it("may throw: a backoff of publishing", async () => {
    await using bus = await onMemory({ publishing: { retry: { backoff: throwing } } });
    await works(bus);
    expect(bus.stats().publishFailed).toBe(0);
  });

  it("may throw or reject: a listener of onStatus", async () => {
    await using bus = await onMemory(once);
    bus.onStatus(throwing);
    bus.onStatus((async () => throwing()) as never);
    const heard: string[] = [];
    bus.onStatus(({ type }) => void heard.push(type));
    await bus.subscribe(Tick, () => Promise.reject(new Error("no")), { group: "g" });
    await bus.publish(Tick, { n: 1 });
    await until(() => heard.includes("dead-lettered"), "the others");
    await works(bus);
  });

  it("may throw or reject: a logger", async () => {
    const rejecting = (async () => throwing()) as () => never;
    await using bus = await onMemory({
      ...once,
      logger: { debug: throwing, info: throwing, warn: rejecting, error: rejecting },
    });
    await bus.subscribe(Tick, () => Promise.reject(new Error("no")), { group: "g" });
    await bus.publish(Tick, { n: 1 });
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    await works(bus);
  });

  it("may throw: canHandle, which counts as the handler's own failure", async () => {
    await using bus = await onMemory(once);
    await bus.subscribe(Tick, { handle: () => undefined, canHandle: throwing }, { group: "g" });
    await bus.publish(Tick, { n: 1 });
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    await works(bus);
  });

  it("may throw oddly: a responder, and the requester is told", async () => {
    await using bus = await onMemory();
    let thrown: unknown;
    await bus.respond(Double, () => {
      throw thrown;
    });
    for (thrown of [
      undefined,
      null,
      "text",
      7,
      new Error("\u0000\r\nx"),
      new Error("x".repeat(100_000)),
      Object.create(null),
    ])
      expect(await failureOf(bus.request(Double, 1, { timeoutMs: 2_000 }))).toMatchObject({ code: "BUS_REMOTE" });
  });

  it("may answer what can't be sent: the requester is told", async () => {
    await using bus = await onMemory();
    let answer: unknown;
    await bus.respond(Double, () => answer as number);
    for (answer of [1n, () => 1, Symbol("s"), Number.NaN, { loop: undefined as unknown }]) {
      if (typeof answer === "object") (answer as { loop: unknown }).loop = answer;
      expect(await failureOf(bus.request(Double, 1, { timeoutMs: 2_000 }))).toMatchObject({ code: "BUS_REMOTE" });
    }
  });
});

describe("odd delays of a retry", () => {
  it("are waits, never a storm", async () => {
    for (const delayMs of [Number.NaN, Number.POSITIVE_INFINITY, "5" as never, undefined as never]) {
      await using bus = await onMemory({ retry: { maxAttempts: 3 } });
      let runs = 0;
      await bus.subscribe(
        Tick,
        () => {
          runs += 1;
          throw new RetryAfter(delayMs);
        },
        { group: "g" },
      );
      await bus.publish(Tick, { n: 1 });
      await until(() => bus.stats().retried === 1, "the first");
      await silence(() => runs, "runs", 30);
    }
  });

  it("below nothing is at once", async () => {
    await using bus = await onMemory({ retry: { maxAttempts: 3, ...atOnce } });
    let runs = 0;
    await bus.subscribe(
      Tick,
      () => {
        runs += 1;
        throw new RetryAfter(-5);
      },
      { group: "g" },
    );
    await bus.publish(Tick, { n: 1 });
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    expect(runs).toBe(3);
  });
});
