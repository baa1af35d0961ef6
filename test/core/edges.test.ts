import { describe, expect, it } from "vitest";
import { createBus } from "../../src/index.ts";
import { until, within } from "../../src/testing/until.ts";
import { Fault, FaultyDriver } from "../support/faulty-driver.ts";
import { failureOf, gate, LogBook, onFaulty, onMemory, Seen, Tick } from "../support/events.ts";

const connectingForEver = (): FaultyDriver => {
  const driver = new FaultyDriver();
  driver.failConnects = Number.POSITIVE_INFINITY;
  return driver;
};

describe("an AbortSignal", () => {
  for (const call of ["events", "pull"] as const) {
    it(`ends ${call} that waits for the connection`, async () => {
      const bus = createBus({ driver: connectingForEver() });
      const stop = new AbortController();
      const waiting = failureOf(
        call === "pull"
          ? bus.pull(Tick, { group: "g", signal: stop.signal })
          : bus.events(Tick, { signal: stop.signal }),
      );
      setTimeout(() => stop.abort(), 20);
      const failure = await within(waiting, "the end", 1_500).catch((error: unknown) => error);
      await bus.close({ timeoutMs: 50 });
      expect(failure).toMatchObject({ code: "BUS_ABORTED" });
    });
  }
});

describe("what an error says", () => {
  it("of a publish that ran out of time is the reason of its last try", async () => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    driver.sendFault = () => "no";
    const failure = await failureOf(bus.publish(Tick, { n: 1 }, { timeoutMs: 100 }));
    expect(failure).toMatchObject({ code: "BUS_TIMEOUT", outcome: "rejected" });
    expect(failure.message).toContain("not now");
    expect(failure.message).not.toContain("no answer");
  });

  for (const password of ["p@ss", "p/ss", "p#ss", "p:ss"]) {
    it(`never is the password ${password} of a url`, async () => {
      const logger = new LogBook();
      const driver = connectingForEver();
      driver.connectFault = () =>
        new Fault(`can't reach amqp://user:${password}@host.example:5672/v`, { retryable: false });
      const bus = createBus({ driver, logger });
      const failure = await failureOf(bus.connect());
      expect(`${failure.message} ${JSON.stringify(logger.lines)}`).not.toMatch(/[@/#:]ss\b/);
      await bus.close();
    });
  }
});

describe("closing", () => {
  it("leaves no timer behind, whatever its handlers do later", async () => {
    const bus = await onMemory({ retry: { backoff: { baseMs: 60_000, jitter: 0 } } });
    const seen = new Seen();
    const late = gate();
    await bus.subscribe(Tick, async (event) => {
      seen.handle(event);
      await late.opened;
      throw new Error("late");
    });
    await bus.publish(Tick, { n: 1 });
    await until(() => seen.count === 1, "the handler");
    await bus.close({ timeoutMs: 20 });
    const before = process.getActiveResourcesInfo().filter((each) => each === "Timeout").length;
    late.open();
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    expect(process.getActiveResourcesInfo().filter((each) => each === "Timeout").length).toBeLessThanOrEqual(before);
  });
});
