import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { until } from "../../src/testing/until.ts";
import { atOnce, failureOf, onFaulty, onMemory, Seen, Tick } from "../support/events.ts";

const soon = { reconnect: { minMs: 1, maxMs: 5 } } as const;

describe("statistics", () => {
  it("are named in one table, in their order", async () => {
    await using bus = await onMemory();
    const page = readFileSync(new URL("../../docs/statistics.md", import.meta.url), "utf8");
    const named = [...page.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
    expect(named).toEqual(Object.keys(bus.stats()));
  });

  it("are a copy: what is counted later does not change it", async () => {
    await using bus = await onMemory();
    const before = bus.stats();
    await bus.publish(Tick, { n: 1 });
    expect([before.published, bus.stats().published]).toEqual([0, 1]);
  });

  it("count reconnections of the connection and of a subscription, and when the last error was", async () => {
    const { bus, driver } = await onFaulty(soon);
    await using _ = bus;
    const seen = new Seen();
    const subscription = await bus.subscribe(Tick, seen.handle, { group: "g" });
    expect(bus.stats()).toMatchObject({ reconnects: 0, lastErrorAt: undefined });
    const { connectedAt } = bus.stats();
    const before = Date.now();
    await driver.last("group").end();
    await until(() => subscription.state === "running", "the subscription to be back");
    expect(bus.stats().reconnects).toBe(1);
    expect(bus.stats().lastErrorAt!.getTime()).toBeGreaterThanOrEqual(before);
    expect(bus.stats().connectedAt).toEqual(connectedAt);
    await until(() => Date.now() > connectedAt!.getTime(), "the clock to go on");
    const context = driver.contexts.at(-1)!;
    context.status({ type: "disconnected", error: new Error("gone") });
    context.status({ type: "connected" });
    expect(bus.stats().reconnects).toBe(2);
    expect(bus.stats().connectedAt!.getTime()).toBeGreaterThan(connectedAt!.getTime());
  });

  it("count revocations as rebalances, whatever was revoked", async () => {
    const { bus, driver } = await onFaulty(soon);
    await using _ = bus;
    await bus.subscribe(Tick, () => undefined, { group: "g" });
    const { sink } = driver.last("group");
    sink.revoked({ partition: "events/3" });
    sink.revoked([]);
    expect(bus.stats().rebalances).toBe(2);
  });

  it("count a publish once, however many tries it took, and one that failed as failed", async () => {
    const { bus, driver } = await onFaulty({ publishing: { retry: { maxAttempts: 3, ...atOnce } } });
    await using _ = bus;
    driver.sendFault = (_message, attempt) => (attempt < 3 ? "no" : undefined);
    await bus.publish(Tick, { n: 1 });
    expect(bus.stats()).toMatchObject({ published: 1, publishFailed: 0 });
    driver.sendFault = () => "no";
    await failureOf(bus.publish(Tick, { n: 2 }));
    expect(bus.stats()).toMatchObject({ published: 1, publishFailed: 1 });
  });
});
