import { getEventListeners } from "node:events";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { connect, createBus, defineEvent, defineRequest, typed, type BusError } from "../../src/index.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { silence, until, within } from "../../src/testing/until.ts";
import { failureOf, fresh, gate, onMemory, Seen, stillWorks, Tick } from "../support/events.ts";
import { tapped } from "../support/tapped-driver.ts";

const Double = defineRequest("double", { request: typed<number>(), response: typed<number>() });

describe("a subscription that ends while it starts", () => {
  for (const how of ["unsubscribed", "aborted"] as const) {
    it(`is gone, and handles nothing: ${how}`, async () => {
      const [asked, open] = [gate(), gate()];
      const driver = tapped({
        connection: (connection) => ({
          ensureGroup: async (group) => {
            asked.open();
            await open.opened;
            return connection.ensureGroup(group);
          },
        }),
      });
      await using bus = createBus({ driver });
      const seen = new Seen();
      const stop = new AbortController();
      const subscription = await bus.subscribe(Tick, seen.handle, { group: "g", signal: stop.signal });
      const connecting = bus.connect();
      await asked.opened;
      const ended = how === "aborted" ? stop.abort() : subscription.unsubscribe();
      open.open();
      expect(await ended).toBe(how === "aborted" ? undefined : true);
      await connecting;
      await until(async () => (await bus.groups.info("g")).members.length === 0, "that it has left the group", 2_000);
      await bus.publish(Tick, { n: 1 });
      await silence(() => seen.count + bus.stats().delivered, "handled afterwards", 30);
      expect([subscription.state, bus.stats().subscriptions, seen.count]).toEqual(["closed", 0, 0]);
      await stillWorks(bus);
    });
  }
});

describe("joining a group whose only other handler is being unsubscribed", () => {
  for (const first of ["subscribe", "unsubscribe"] as const) {
    it(`leaves the new one running, with ${first} called first`, async () => {
      await using bus = await onMemory();
      const old = await bus.subscribe(Tick, () => undefined, { group: "g" });
      const seen = new Seen();
      const join = () => bus.subscribe(Tick, seen.handle, { group: "g" });
      const [subscription] =
        first === "subscribe"
          ? await Promise.all([join(), old.unsubscribe()])
          : await Promise.all([old.unsubscribe(), join()]).then(([left, joined]) => [joined, left]);
      expect([(subscription as typeof old).state, old.state]).toEqual(["running", "closed"]);
      await bus.publish(Tick, { n: 1 });
      await bus.publish(Tick, { n: 2 }, { delivery: "at-most-once" });
      await until(() => seen.count === 2, "both events", 2_000);
    });
  }
});

describe("closing", () => {
  it("waits for a subscription that is being unsubscribed, and cuts it off", async () => {
    const bus = await onMemory();
    const aborted = gate();
    let started = false;
    const subscription = await bus.subscribe(
      Tick,
      (_event, { signal }) => {
        started = true;
        signal.addEventListener("abort", aborted.open);
        return new Promise(() => undefined);
      },
      { group: "g" },
    );
    await bus.publish(Tick, { n: 1 });
    await until(() => started, "the handler");
    const unsubscribed = subscription.unsubscribe({ timeoutMs: 60_000 });
    expect(await within(bus.close({ timeoutMs: 50 }), "the end", 3_000)).toEqual({ unfinished: 1 });
    await within(aborted.opened, "the handler's signal", 500);
    expect(await within(unsubscribed, "the end of unsubscribe", 1_000)).toBe(true);
  });

  it("waits until what a subscription that is being unsubscribed has settled is at the broker", async () => {
    const calls: string[] = [];
    const settled = gate();
    const driver = tapped({
      connection: (connection) => ({
        close: (signal) => {
          calls.push("connection closed");
          return connection.close(signal);
        },
      }),
      consumption: (consumption) => ({
        flush: async () => {
          calls.push("flushing");
          await settled.opened;
          await consumption.flush();
        },
      }),
    });
    const bus = await connect({ driver });
    const seen = new Seen();
    const subscription = await bus.subscribe(Tick, seen.handle, { group: "g" });
    await bus.publish(Tick, { n: 1 });
    await until(() => seen.count === 1, "the event");
    const unsubscribed = subscription.unsubscribe();
    await until(() => calls.includes("flushing"), "the settlement under way");
    const closed = bus.close();
    await silence(() => calls.filter((call) => call === "connection closed").length, "closed too soon", 100);
    settled.open();
    expect(await within(unsubscribed, "the end of unsubscribe", 5_000)).toBe(true);
    expect(await within(closed, "closing", 5_000)).toEqual({ unfinished: 0 });
    expect(calls.at(-1)).toBe("connection closed");
  });

  it("starts no handler of a subscription that opens meanwhile", async () => {
    const asked = gate();
    const answered = gate();
    const name = fresh("closing");
    const driver = tapped(
      {
        connection: (connection) => ({
          ensureGroup: async (spec) => {
            asked.open();
            await answered.opened;
            return connection.ensureGroup(spec);
          },
        }),
      },
      memory({ name }),
    );
    await using other = await connect({ driver: memory({ name }) });
    await other.publish(Tick, { n: 1 });
    const bus = await connect({ driver });
    const seen = new Seen();
    const subscribing = bus.subscribe(Tick, seen.handle, { group: "g" }).then(
      () => "subscribed",
      (error: unknown) => (error as BusError).code,
    );
    await asked.opened;
    const closed = bus.close();
    answered.open();
    expect(await within(closed, "closing", 5_000)).toEqual({ unfinished: 0 });
    await within(subscribing, "the end of subscribe", 5_000);
    expect(seen.count).toBe(0);
    await other.subscribe(Tick, seen.handle, { group: "g" });
    await until(() => seen.count === 1, "the event, by another bus");
  });

  it("lets the handler of a subscription that is being unsubscribed finish, in time", async () => {
    const name = fresh("store");
    await using keep = await connect({ driver: memory({ name }) });
    const bus = await connect({ driver: memory({ name }) });
    const open = gate();
    let ended = false;
    const subscription = await bus.subscribe(Tick, () => open.opened.then(() => (ended = true)), { group: "g" });
    await bus.publish(Tick, { n: 1 });
    await until(() => bus.stats().inFlight === 1, "the handler");
    const unsubscribed = subscription.unsubscribe();
    const closing = bus.close();
    await silence(() => Number(bus.state === "closed"), "closed under the handler", 40);
    open.open();
    expect(await within(closing, "the end", 2_000)).toEqual({ unfinished: 0 });
    expect([await unsubscribed, ended]).toEqual([true, true]);
    expect(await keep.groups.info("g")).toMatchObject({ waiting: 0, inFlight: 0 }); // settled before it closed
  });

  it("starts no handler whose schema answers afterwards; the event is for the next member", async () => {
    const name = fresh("store");
    await using keep = await connect({ driver: memory({ name }) });
    const bus = await connect({ driver: memory({ name }), validate: "receive" });
    const asked: (() => void)[] = [];
    const schema = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value: unknown) => new Promise((resolve) => asked.push(() => resolve({ value }))),
      },
    } as unknown as ReturnType<typeof typed<{ readonly n: number }>>;
    let started = 0;
    await bus.subscribe(defineEvent("tick", { schema }), () => void (started += 1), { group: "g" });
    await keep.publish(Tick, { n: 1 });
    await until(() => asked.length === 1, "the schema");
    const closing = bus.close({ timeoutMs: 5_000 });
    await until(() => bus.state === "closing", "closing");
    await new Promise((resolve) => setImmediate(resolve));
    asked[0]!();
    expect(await within(closing, "the end", 2_000)).toEqual({ unfinished: 0 });
    expect(started).toBe(0);
    const seen = new Seen();
    await keep.subscribe(Tick, seen.handle, { group: "g" });
    await until(() => seen.count === 1, "the event", 2_000);
  });

  it("lets requests go to the other responder from its first moment", async () => {
    const name = fresh("store");
    const asker = await connect({ driver: memory({ name }) });
    const [one, two] = [await connect({ driver: memory({ name }) }), await connect({ driver: memory({ name }) })];
    const [asked, open] = [gate(), gate()];
    await one.respond(Double, async (n) => (asked.open(), await open.opened, n * 2));
    const slow = asker.request(Double, 0, { timeoutMs: 10_000 });
    await asked.opened;
    await two.respond(Double, (n) => n * 2);
    const closing = one.close();
    const answers = await Promise.allSettled(
      Array.from({ length: 20 }, (_each, n) => asker.request(Double, n, { timeoutMs: 1_000 })),
    );
    expect(answers.filter(({ status }) => status === "rejected")).toEqual([]);
    open.open();
    expect([await slow, await closing]).toEqual([0, { unfinished: 0 }]);
    await Promise.all([two.close(), asker.close()]);
  });
});

describe("a signal that lives long", () => {
  const listeners = (signal: AbortSignal): number => getEventListeners(signal, "abort").length;

  it("keeps no listener of what has ended", async () => {
    const { signal } = new AbortController();
    await using bus = await onMemory();
    await bus.respond(Double, (n) => n * 2);
    const Hung = defineRequest("hung", { request: typed<number>(), response: typed<number>() });
    await bus.respond(
      Hung,
      (n, context) => new Promise((resolve) => context.signal.addEventListener("abort", () => resolve(n))),
    );
    for (let round = 0; round < 3; round += 1) {
      for (const group of [false, "g"] as const) {
        const subscription = await bus.subscribe(Tick, () => undefined, { group, signal });
        expect(listeners(signal)).toBe(1);
        await subscription.unsubscribe();
      }
      const events = await bus.events(Tick, { group: "loop", signal });
      await events.return!();
      await bus.pull(Tick, { group: "pulled", waitMs: 1, signal });
      await bus.publish(Tick, { n: 1 }, { signal });
      await bus.publishMany([Tick.of({ n: 1 }, { signal })], { signal });
      await failureOf(bus.publish(Tick, { n: 1n } as never, { signal }));
      expect(await bus.request(Double, 2, { signal })).toBe(4);
      await failureOf(bus.request(Hung, 1, { timeoutMs: 20, signal }));
      await bus.health({ signal });
      await failureOf(bus.subscribe(Tick, () => undefined, { group: "a b", signal }));
    }
    expect(listeners(signal)).toBe(0);
  });

  it("keeps no listener of a bus, of its subscriptions or of a publish that waited, once it is closed", async () => {
    const { signal } = new AbortController();
    const bus = await onMemory({ signal });
    await bus.subscribe(Tick, () => undefined, { group: "g", signal });
    await bus.subscribe(Tick, () => undefined, { signal });
    await bus.events(Tick, { signal });
    await bus.close();
    const never = createBus({ driver: memory(), signal });
    await never.subscribe(Tick, () => undefined, { group: "g", signal });
    await never.close();
    expect(listeners(signal)).toBe(0);
  });
});

describe("what a subscription shows", () => {
  it("is nothing of the inside", async () => {
    await using bus = await onMemory({ name: "my-own-name" });
    for (const group of ["g", false] as const) {
      const subscription = await bus.subscribe(Tick, () => undefined, { group });
      expect(inspect(subscription, { depth: 9 })).not.toMatch(/runner|core|wheel|host|my-own-name/i);
      expect(Object.keys(subscription).toSorted()).toEqual(["group", "id"]);
    }
  });
});
