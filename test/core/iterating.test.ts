import { describe, expect, it } from "vitest";
import type { BusError } from "../../src/index.ts";
import { silence, until, within } from "../../src/testing/until.ts";
import { atOnce, failureOf, onMemory, Seen, stillWorks, Tick } from "../support/events.ts";

describe("a loop over events", () => {
  for (const order of ["none", "group"] as const) {
    it(`that is aborted unsubscribes, and hands back what was open (order ${order})`, async () => {
      await using bus = await onMemory();
      const stop = new AbortController();
      const events = await bus.events(Tick, { group: "g", order, signal: stop.signal });
      await bus.publish(Tick, { n: 1 });
      expect((await events.next()).value.data).toEqual({ n: 1 });
      stop.abort();
      expect(await within(failureOf(events.next()), "the abort", 1_000)).toMatchObject({ code: "BUS_ABORTED" });
      await until(() => bus.stats().subscriptions === 0, "that it has unsubscribed", 1_000);
      await bus.publish(Tick, { n: 2 });
      await silence(() => bus.stats().delivered, "delivered to nobody, again and again", 100);
      const seen = new Seen();
      await bus.subscribe(Tick, seen.handle, { group: "g" });
      await until(() => seen.count === 2, "both, by the next subscriber");
      expect(seen.numbers.toSorted()).toEqual([1, 2]);
      expect((await events.next()).done).toBe(true);
    });
  }

  it("that waits in next() is aborted", async () => {
    await using bus = await onMemory();
    const stop = new AbortController();
    const events = await bus.events(Tick, { signal: stop.signal });
    const next = failureOf(events.next());
    stop.abort();
    expect(await within(next, "the abort", 1_000)).toMatchObject({ code: "BUS_ABORTED" });
    await until(() => bus.stats().subscriptions === 0, "that it has unsubscribed", 1_000);
  });

  it("does not time out an event that only waits to be asked for", async () => {
    await using bus = await onMemory({ retry: { maxAttempts: 1 } });
    await using events = await bus.events(Tick, { group: "g", timeoutMs: 40 });
    await bus.publish(Tick, { n: 1 });
    await until(() => bus.stats().delivered === 1, "that it is here");
    await silence(() => bus.stats().failed, "timed out", 150);
    expect((await within(events.next(), "the event", 1_000)).value.data).toEqual({ n: 1 });
    expect([await bus.deadLetters.count(), bus.stats().failed]).toEqual([0, 0]);
  });

  it("limits its body, from when it got the event", async () => {
    await using bus = await onMemory({ retry: { maxAttempts: 2, ...atOnce } });
    await using events = await bus.events(Tick, { group: "g", timeoutMs: 40 });
    await bus.publish(Tick, { n: 1 });
    await events.next();
    await until(() => bus.stats().failed === 1, "that it took too long", 2_000);
    expect((await within(events.next(), "the second attempt", 2_000)).value.data).toEqual({ n: 1 });
    const last = events.next();
    await until(() => bus.stats().handled === 1, "that it is settled");
    await events.return!();
    expect((await last).done).toBe(true);
    await stillWorks(bus);
  });
});

describe("a loop over events that opens while the bus closes", () => {
  it("ends, or is refused, at whatever step closing meets it", async () => {
    for (let steps = 0; steps < 40; steps += 1) {
      const bus = await onMemory();
      const opening = bus.events(Tick).then(
        (events) => events.next().then(({ done }) => done),
        (error: unknown) => (error as BusError).code,
      );
      for (let step = 0; step < steps; step += 1) await Promise.resolve();
      await bus.close();
      expect([true, "BUS_CLOSED"], `after ${steps} steps`).toContain(await within(opening, "the loop", 5_000));
    }
  });
});
