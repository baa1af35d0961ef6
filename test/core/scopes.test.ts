import { describe, expect, it } from "vitest";
import { until } from "../../src/testing/until.ts";
import { atOnce, onMemory, Seen, Tick, Tock } from "../support/events.ts";

const scope = { source: "tenant-a", correlationId: "corr-a", session: "s-a", metadata: { tenant: "a" } } as const;
const plain = (seen: Seen): readonly unknown[] =>
  seen.events.map(({ source, session, metadata }) => [source, session, metadata]);

for (const correlate of ["auto", "explicit"] as const) {
  describe(`a scope (correlate: ${correlate})`, () => {
    it("does not leak into the handlers of what others publish in the same turn", async () => {
      await using bus = await onMemory({ name: "me", correlate });
      const seen = new Seen();
      await bus.subscribe(Tock, seen.handle, { group: "told" });
      await bus.subscribe(
        Tick,
        (event, delivery) =>
          correlate === "auto" ? bus.publish(Tock, event.data) : delivery.publish(Tock, event.data),
        { group: "g" },
      );
      const inside = bus.within(scope, () => bus.publishTopic("nobody.here", {}));
      const { id } = await bus.publish(Tick, { n: 1 });
      await inside;
      await until(() => seen.count === 1, "what was caused");
      expect(plain(seen)).toEqual([["me", undefined, {}]]);
      expect(seen.events[0]).toMatchObject({ correlationId: id, causationId: id });
    });

    it("does not leak into handlers through what is started in it: subscriptions, timers, retries", async () => {
      await using bus = await onMemory({ name: "me", correlate, retry: atOnce });
      const seen = new Seen();
      await bus.within(scope, async () => {
        await bus.subscribe(Tock, seen.handle, { group: "told" });
        await bus.subscribe(
          Tick,
          async (event, delivery) => {
            if (delivery.attempt === 1) throw new Error("once");
            await (correlate === "auto" ? bus.publish(Tock, event.data) : delivery.publish(Tock, event.data));
          },
          { group: "g" },
        );
      });
      await bus.publishMany([1, 2, 3].map((n) => Tick.of({ n })));
      await until(() => seen.count === 3, "what was caused");
      expect(plain(seen)).toEqual(Array.from({ length: 3 }, () => ["me", undefined, {}]));
      expect(seen.events.map(({ correlationId, causationId }) => correlationId === causationId)).not.toContain(false);
    });

    it("goes with the event's correlation into what its handler publishes, and no further", async () => {
      await using bus = await onMemory({ name: "me", correlate });
      const seen = new Seen();
      await bus.subscribe(Tock, seen.handle, { group: "told" });
      await bus.subscribe(
        Tick,
        (event, delivery) =>
          correlate === "auto" ? bus.publish(Tock, event.data) : delivery.publish(Tock, event.data),
        { group: "g" },
      );
      const { id } = await bus.within(scope, () => bus.publish(Tick, { n: 1 }));
      await until(() => seen.count === 1, "what was caused");
      expect(seen.events[0]).toMatchObject({ correlationId: "corr-a", causationId: id, source: "me", metadata: {} });
    });
  });
}
