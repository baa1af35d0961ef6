import { AsyncLocalStorage } from "node:async_hooks";
import { describe, expect, it } from "vitest";
import { until } from "../../src/testing/until.ts";
import { defineRequest, typed } from "../../src/index.ts";
import { atOnce, failureOf, onMemory, Seen, Tick, Tock } from "../support/events.ts";

const scope = { source: "tenant-a", correlationId: "corr-a", session: "s-a", metadata: { tenant: "a" } } as const;
const timers = (): number => process.getActiveResourcesInfo().filter((each) => each === "Timeout").length;
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
      const before = timers();
      await using bus = await onMemory({ name: "me", correlate, retry: atOnce });
      const seen = new Seen();
      const Never = defineRequest("never", { request: typed<object>(), response: typed<object>() });
      await bus.respond(
        Never,
        (_data, { signal }) => new Promise((resolve) => signal.addEventListener("abort", () => resolve({}))),
      );
      await until(() => timers() <= before, "that the bus has no timer");
      const waiting = bus.within(scope, () => failureOf(bus.request(Never, {}, { timeoutMs: 300 }))); // sets a timer
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
      expect(await waiting).toMatchObject({ code: "BUS_TIMEOUT" });
    });

    it("does not leak from whoever subscribes or resumes into the handlers that this starts", async () => {
      await using bus = await onMemory({ name: "me", correlate });
      const seen = new Seen();
      await bus.subscribe(Tock, seen.handle, { group: "told" });
      await bus.publish(Tick, { n: 1 });
      const subscription = await bus.within(scope, () =>
        bus.subscribe(
          Tick,
          (event, delivery) =>
            correlate === "auto" ? bus.publish(Tock, event.data) : delivery.publish(Tock, event.data),
          { group: "g" },
        ),
      );
      await until(() => seen.count === 1, "what waited for the subscriber");
      await subscription.pause();
      await bus.publish(Tick, { n: 2 });
      await bus.within(scope, () => subscription.resume());
      await until(() => seen.count === 2, "what waited for the end of the pause");
      expect(plain(seen)).toEqual([
        ["me", undefined, {}],
        ["me", undefined, {}],
      ]);
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

describe("the stores of other libraries", () => {
  const theirs = new AsyncLocalStorage<string>();

  it("are nobody's in a handler, whoever published, and in what it awaits", async () => {
    await using bus = await onMemory();
    const seen: (string | undefined)[] = [];
    await bus.subscribe(
      Tick,
      async () => {
        seen.push(theirs.getStore());
        await Promise.resolve();
        seen.push(theirs.getStore());
      },
      { group: "g" },
    );
    await bus.subscribeBatch(Tock, async () => void seen.push(theirs.getStore()), {
      group: "batches",
      maxSize: 10,
      maxAgeMs: 20,
    });
    await theirs.run("a request", async () => {
      await bus.publishMany([Tick.of({ n: 1 }), Tock.of({ n: 1 }), Tock.of({ n: 2 })]);
      expect(theirs.getStore()).toBe("a request");
    });
    await until(() => seen.length === 3, "all handlers");
    expect(seen).toEqual([undefined, undefined, undefined]);
  });
});
