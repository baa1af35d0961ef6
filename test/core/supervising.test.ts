import { describe, expect, it } from "vitest";
import { connect, defineRequest, isBusError, type BusStatus, typed } from "../../src/index.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { silence, until, within } from "../../src/testing/until.ts";
import { FaultyDriver } from "../support/faulty-driver.ts";
import { connectTo, turns } from "../support/driver-harness.ts";
import { failureOf, fresh, gate, LogBook, onFaulty, Seen, Tick, Tock } from "../support/events.ts";

const soon = { reconnect: { minMs: 1, maxMs: 5 } } as const;
const Double = defineRequest("double", { request: typed<number>(), response: typed<number>() });

describe("a subscription that the broker ended", () => {
  it("and was resumed while it was opened again delivers", async () => {
    const { bus, driver } = await onFaulty({ ...soon });
    await using _ = bus;
    const seen = new Seen();
    const subscription = await bus.subscribe(Tick, seen.handle, { group: "g" });
    await subscription.pause();
    const open = gate();
    driver.consumeGate = open.opened;
    await driver.last("group").end();
    await until(() => driver.consumeTimes.length === 2, "that it is being opened");
    await subscription.resume();
    open.open();
    await bus.publish(Tick, { n: 1 });
    await until(() => seen.count === 1, "the event");
  });

  it("comes back by itself, as often as it takes, and nothing is lost", async () => {
    const logger = new LogBook();
    const { bus, driver } = await onFaulty({ ...soon, logger });
    await using _ = bus;
    const said: BusStatus["type"][] = [];
    bus.onStatus(({ type }) => void said.push(type));
    const seen = new Seen();
    const subscription = await bus.subscribe(Tick, seen.handle, { group: "g" });
    for (let round = 0; round < 5; round += 1) {
      driver.failConsumes = round;
      await driver.last("group").end();
      expect(subscription.state).toBe("recovering");
      await bus.publish(Tick, { n: round });
      await until(() => seen.numbers.includes(round) && subscription.state === "running", "the event");
    }
    expect([...new Set(seen.numbers)]).toEqual([0, 1, 2, 3, 4]);
    expect(said).toEqual(expect.arrayContaining(["reconnecting", "connected"]));
    expect(bus.stats().reconnects).toBe(5);
    expect(
      [logger.of("subscription ended, opening it again"), logger.of("subscription runs again")].map(
        ({ length }) => length,
      ),
    ).toEqual([5, 5]);
  });

  it("waits longer between tries that fail", async () => {
    const { bus, driver } = await onFaulty({ reconnect: { minMs: 20, maxMs: 10_000 } });
    await using _ = bus;
    await bus.subscribe(Tick, () => undefined, { group: "g" });
    const before = driver.consumeTimes.length;
    driver.failConsumes = 4;
    await driver.last("group").end();
    await until(() => driver.consumeTimes.length === before + 5, "the fifth try");
    const times = driver.consumeTimes.slice(before);
    expect(times[4]! - times[3]!).toBeGreaterThanOrEqual(80);
    expect(times[4]! - times[0]!).toBeLessThan(2_000);
  });

  it("is opened with the floors that the broker told", async () => {
    const { bus, driver } = await onFaulty(soon);
    await using _ = bus;
    await bus.subscribe(Tick, () => undefined, { group: "g" });
    const first = driver.last("group");
    first.sink.floor("elsewhere/3", "41");
    first.sink.floor("elsewhere/3", "42");
    await first.end();
    await until(() => driver.last("group") !== first, "the second opening");
    const { source } = driver.last("group");
    expect(source.kind === "group" && source.resume?.get("elsewhere/3")).toBe("42");
  });

  it("ignores what an earlier opening still says", async () => {
    const { bus, driver } = await onFaulty(soon);
    await using _ = bus;
    const subscription = await bus.subscribe(Tick, () => undefined, { group: "g" });
    const first = driver.last("group");
    await first.end();
    await until(() => subscription.state === "running", "the second opening");
    const opened = driver.opened.length;
    first.sink.ended(new Error("again"), false);
    await silence(() => driver.opened.length, "opened once more", 40);
    expect(subscription.state).toBe("running");
    expect(opened).toBe(driver.opened.length);
  });

  it("shows in the health until it runs again, or for ever when it was given up", async () => {
    const { bus, driver } = await onFaulty({ reconnect: { minMs: 1, maxMs: 1, maxAttempts: 2 } });
    await using _ = bus;
    await bus.subscribe(Tick, () => undefined, { group: "g" });
    expect((await bus.health()).status).toBe("up");
    driver.failConsumes = 9;
    await driver.last("group").end();
    await until(() => driver.failConsumes === 7, "giving up");
    const health = await bus.health();
    expect(health.status).toBe("degraded");
    expect(health.reasons.join()).toMatch(/group "g" could not be opened again in 2 tries/);
  });

  it("does not stop others from subscribing while it comes back", async () => {
    const { bus, driver } = await onFaulty({ reconnect: { minMs: 200, maxMs: 200 } });
    await using _ = bus;
    await bus.subscribe(Tick, () => undefined);
    await driver.last("tail").end();
    const seen = new Seen();
    await within(bus.subscribe(Tock, seen.handle), "the other subscription", 3_000);
    await bus.publish(Tock, { n: 1 });
    await until(() => seen.count === 1, "the event", 3_000);
  });

  it("does not cost a tail what is published while it comes back", async () => {
    const { bus, driver } = await onFaulty({ reconnect: { minMs: 50, maxMs: 50 } });
    await using _ = bus;
    const seen = new Seen();
    await bus.subscribe(Tick, seen.handle);
    await bus.publish(Tick, { n: 1 });
    await until(() => seen.count === 1, "the first");
    await driver.last("tail").end();
    await bus.publish(Tick, { n: 2 });
    await until(() => seen.count === 2, "the second", 2_000);
  });

  it("lets a request wait for the inbox that comes back", async () => {
    const { bus, driver } = await onFaulty({ reconnect: { minMs: 200, maxMs: 200 } });
    await using _ = bus;
    await bus.respond(Double, (n) => n * 2);
    expect(await bus.request(Double, 1)).toBe(2);
    await driver.last("inbox").end();
    expect(await bus.request(Double, 2, { timeoutMs: 2_000 })).toBe(4);
  });

  it("fails open requests at once when the inbox is lost", async () => {
    const { bus, driver } = await onFaulty(soon);
    await using _ = bus;
    const [asked, open] = [gate(), gate()];
    await bus.respond(Double, async (n) => (asked.open(), await open.opened, n));
    const answer = failureOf(bus.request(Double, 1, { timeoutMs: 30_000 }));
    await asked.opened;
    await driver.last("inbox").end();
    expect(await within(answer, "the failure", 2_000)).toMatchObject({ code: "BUS_CONNECTION", retryable: true });
    open.open();
  });
});

describe("subscribing", () => {
  it("ends when its signal aborts before it runs", async () => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    const open = gate();
    driver.consumeGate = open.opened;
    const stop = new AbortController();
    const subscribing = bus
      .subscribe(Tick, () => undefined, { group: "g", signal: stop.signal })
      .then(
        (subscription) => subscription.state,
        (error: { readonly code: string }) => error.code,
      );
    stop.abort();
    open.open();
    expect(["closed", "BUS_ABORTED"]).toContain(await subscribing);
    await until(() => bus.stats().subscriptions === 0, "that it is gone", 1_000);
  });

  it("leaves nothing behind when it could not be opened, and works when tried again", async () => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    driver.failConsumes = 1;
    expect(await failureOf(bus.subscribe(Tick, () => undefined, { group: "g", name: "h" }))).toMatchObject({
      code: "BUS_CONNECTION",
    });
    expect(bus.stats().subscriptions).toBe(0);
    const seen = new Seen();
    await bus.subscribe(Tick, seen.handle, { group: "g", name: "h" });
    await bus.publish(Tick, { n: 1 });
    await until(() => seen.count === 1, "the event");
  });

  it("several handlers of a group at once has each of them there before the first delivery", async () => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    const before = [
      await bus.subscribe(Tick, () => undefined, { group: "g" }),
      await bus.subscribe(Tock, () => undefined, { group: "g" }),
    ];
    for (const subscription of before) await subscription.unsubscribe();
    for (let n = 0; n < 5; n += 1) await bus.publish(Tock, { n });
    const open = gate();
    driver.groupGate = open.opened;
    const seen = new Seen();
    const openings = driver.consumeTimes.length;
    const subscribing = [
      bus.subscribe(Tick, () => undefined, { group: "g" }),
      bus.subscribe(Tock, seen.handle, { group: "g" }),
    ];
    await until(() => driver.consumeTimes.length === openings + 2, "that the direct lane and the group are opened");
    await turns(10); // what is delivered waits for the answer
    open.open();
    await Promise.all(subscribing);
    await until(() => seen.count === 5, "the events");
    expect(bus.stats().unhandled).toBe(0);
  });

  it("a handler of a group that can't be opened leaves none of it behind", async () => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    driver.failConsumes = 1;
    const seen = new Seen();
    const failures = [Tick, Tock].map((type) =>
      failureOf(bus.subscribe(type, seen.handle, { group: "g", name: type.type })),
    );
    for (const failure of await Promise.all(failures)) expect(failure).toMatchObject({ code: "BUS_CONNECTION" });
    expect(bus.stats().subscriptions).toBe(0);
    await bus.subscribe(Tock, seen.handle, { group: "g", name: Tock.type });
    await bus.publish(Tock, { n: 1 });
    await until(() => seen.count === 1, "the event, once");
    await silence(() => seen.count, "handled once more", 40);
  });

  it("without a group leaves nothing behind either, of the part that could be opened", async () => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    driver.failConsumes = 1;
    const seen = new Seen();
    expect(await failureOf(bus.subscribe(Tick, seen.handle))).toMatchObject({ code: "BUS_CONNECTION" });
    await bus.publish(Tick, { n: 1 });
    await silence(() => seen.count, "handled", 40);
    await bus.subscribe(Tick, seen.handle);
    await bus.publish(Tick, { n: 2 });
    await until(() => seen.count === 1, "the event");
  });

  it.each(["g", false] as const)("fails with an error of ours when it is not heard (group: %s)", async (group) => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    const before = new Seen();
    await bus.subscribe(Tock, before.handle, { group });
    driver.deaf = true;
    const seen = new Seen();
    const failure = await failureOf(bus.subscribe(Tick, seen.handle, { group }));
    expect([isBusError(failure), failure]).toMatchObject([true, { code: "BUS_CONNECTION" }]);
    driver.deaf = false;
    await bus.subscribe(Tick, seen.handle, { group });
    await bus.publish(Tick, { n: 1 });
    await bus.publish(Tock, { n: 2 });
    await until(() => seen.count === 1 && before.count === 1, "both events");
    await silence(() => seen.count + before.count, "handled once more", 40);
  });

  it("stores a letter again and again until the broker has it", async () => {
    const { bus, driver } = await onFaulty({ retry: { maxAttempts: 1 } });
    await using _ = bus;
    driver.failLetters = 1;
    await bus.subscribe(Tick, () => Promise.reject(new Error("no")), { group: "g" });
    await bus.publish(Tick, { n: 1 });
    await until(() => driver.failLetters === 0, "the first try");
    expect(await bus.deadLetters.count()).toBe(0);
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    expect(bus.stats().deadLettered).toBe(1);
  });

  it("aborts the handler of a message that went to another member", async () => {
    const { bus, driver } = await onFaulty({ reconnect: { minMs: 60_000, maxMs: 60_000 } });
    const [started, aborted] = [gate(), gate()];
    let reason: unknown;
    await bus.subscribe(
      Tick,
      (_event, { signal }) => {
        started.open();
        return new Promise<void>((resolve) =>
          signal.addEventListener("abort", () => {
            reason = signal.reason;
            aborted.open();
            resolve();
          }),
        );
      },
      { group: "g" },
    );
    await bus.publish(Tick, { n: 1 });
    await started.opened;
    await driver.last("group").end();
    await within(aborted.opened, "the abort", 1_000);
    expect(reason).toMatchObject({ code: "BUS_LEASE_LOST" });
    await bus.close({ timeoutMs: 50 });
  });
});

describe("a group that was deleted behind its members", () => {
  it("shows in the health within 10 s while it can't be started again", async () => {
    const name = fresh("store");
    await using bus = await connect({ driver: memory({ name }), reconnect: { minMs: 60_000, maxMs: 60_000 } });
    await bus.subscribe(Tick, () => undefined, { group: "g" });
    expect((await bus.health()).status).toBe("up");
    const { connection } = await connectTo(memory({ name }));
    await connection.admin.deleteGroup("g");
    const shows = async (): Promise<boolean> => {
      const { status, reasons } = await bus.health();
      return status === "degraded" && reasons.includes('group "g" does not exist at the broker');
    };
    await until(shows, "the health to show it", 10_000);
  });

  it("starts again", async () => {
    const name = fresh("store");
    const driver = new FaultyDriver(memory({ name }));
    await using bus = await connect({ driver, ...soon });
    const seen = new Seen();
    await bus.subscribe(Tick, seen.handle, { group: "g" });
    const { connection } = await connectTo(memory({ name }));
    await connection.admin.deleteGroup("g");
    await bus.publish(Tick, { n: 1 });
    await until(() => seen.count >= 1, "the event, after it started again");
    await until(async () => (await bus.health()).status === "up", "health");
  });
});

describe("what ends while the broker does not hear", () => {
  it("ends all the same, says so, and is not opened again", async () => {
    const logger = new LogBook();
    const { bus, driver } = await onFaulty({ ...soon, logger });
    await using _ = bus;
    const grouped = await bus.subscribe(Tick, () => undefined, { group: "g" });
    const alone = await bus.subscribe(Tick, () => undefined);
    const other = await bus.subscribe(Tock, () => undefined);
    driver.deaf = true;
    const ending = [grouped, alone, other].map((subscription) => subscription.unsubscribe());
    const ended = await within(Promise.allSettled(ending), "all to end", 3_000);
    driver.deaf = false;
    const [ofGroup, ...rest] = ended;
    expect(ofGroup).toMatchObject({
      reason: { code: "BUS_CONNECTION", message: expect.stringContaining('closing group "g"') as string },
    });
    expect(rest.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled"]);
    expect(logger.of("the broker could not be told").length).toBeGreaterThan(0);
    expect(bus.stats().subscriptions).toBe(0);
    const openings = driver.consumeTimes.length;
    for (const { sink } of [...driver.opened]) sink.ended(new Error("the line broke"), false);
    await silence(() => driver.consumeTimes.length, "opened again", 40);
    expect(driver.consumeTimes.length).toBe(openings);
    expect((await bus.health()).status).toBe("up");
    const seen = new Seen();
    await bus.subscribe(Tock, seen.handle);
    await bus.publish(Tock, { n: 1 });
    await until(() => seen.count === 1, "another subscription to work");
  });
});
