import { describe, expect, it } from "vitest";
import type { RetryPolicy } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { LogBook, onMemory, Tick } from "../support/events.ts";

interface Ended {
  readonly runs: number;
  /** As the log says them. */
  readonly delays: readonly unknown[];
  readonly letters: number;
}

/** One event whose handler always throws. */
async function failing(retry: RetryPolicy, error: () => unknown = () => new Error("always")): Promise<Ended> {
  const logger = new LogBook();
  await using bus = await onMemory({ logger });
  let runs = 0;
  const subscription = await bus.subscribe(
    Tick,
    () => {
      runs += 1;
      throw error();
    },
    { group: "g", retry },
  );
  await bus.publish(Tick, { n: 1 });
  await until(async () => {
    const { waiting, inFlight } = await bus.groups.info("g");
    return runs > 0 && waiting === 0 && inFlight === 0 && subscription.stats().inFlight === 0;
  }, "the end of it");
  return {
    runs,
    delays: logger.of("retried").map(({ fields }) => fields["delayMs"]),
    letters: await bus.deadLetters.count(),
  };
}

describe("the retry policy", () => {
  it("option: RetryPolicy.maxAttempts counts the first too", async () => {
    expect(await failing({ maxAttempts: 3, backoff: { baseMs: 1, maxMs: 1 } })).toMatchObject({ runs: 3, letters: 1 });
    expect(await failing({ maxAttempts: 1 })).toMatchObject({ runs: 1, letters: 1 });
    expect(await failing({ backoff: { baseMs: 1, maxMs: 1 } })).toMatchObject({ runs: 5, letters: 1 });
  });

  it("option: RetryPolicy.backoff may be a function of the attempt and its error", async () => {
    const asked: unknown[] = [];
    const error = new Error("why");
    const { delays } = await failing(
      {
        maxAttempts: 3,
        backoff: (attempt, why) => {
          asked.push([attempt, why]);
          return attempt * 3;
        },
      },
      () => error,
    );
    expect(asked).toEqual([
      [1, error],
      [2, error],
    ]);
    expect(delays).toEqual([3, 6]);
  });

  it("option: RetryPolicy.exhausted drops instead of writing a dead letter", async () => {
    expect(await failing({ maxAttempts: 2, backoff: { baseMs: 1 }, exhausted: "drop" })).toMatchObject({
      runs: 2,
      letters: 0,
    });
    expect(await failing({ maxAttempts: 2, backoff: { baseMs: 1 }, exhausted: "dead-letter" })).toMatchObject({
      runs: 2,
      letters: 1,
    });
  });

  it("option: BackoffOptions.baseMs, BackoffOptions.factor, BackoffOptions.maxMs make the waits", async () => {
    const { delays } = await failing({ maxAttempts: 6, backoff: { baseMs: 2, factor: 3, maxMs: 50, jitter: 0 } });
    expect(delays).toEqual([2, 6, 18, 50, 50]);
  });

  it("option: BackoffOptions.factor alone doubles by default", async () => {
    const { delays } = await failing({ maxAttempts: 4, backoff: { baseMs: 5, jitter: 0 } });
    expect(delays).toEqual([5, 10, 20]);
  });

  it("option: BackoffOptions.jitter takes a random part off", async () => {
    const many = async (jitter: number | undefined): Promise<readonly number[]> =>
      (await failing({ maxAttempts: 12, backoff: { baseMs: 100, factor: 1, maxMs: 100, jitter } }))
        .delays as readonly number[];
    const [full, half] = await Promise.all([many(undefined), many(0.5)]);
    expect(new Set(full).size).toBeGreaterThan(3);
    expect(Math.min(...full)).toBeLessThan(50);
    expect(Math.min(...half)).toBeGreaterThanOrEqual(50);
    expect(new Set(half).size).toBeGreaterThan(3);
  });
});
