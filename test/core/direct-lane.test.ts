import { describe, expect, it } from "vitest";
import { type Bus, connect, createBus, defineRequest, typed } from "../../src/index.ts";
import type { Consumption, Source } from "../../src/driver.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { silence, until, within } from "../../src/testing/until.ts";
import { failureOf, fresh, gate, onFaulty, Seen, Tick, Tock } from "../support/events.ts";
import { Fault, FaultyDriver } from "../support/faulty-driver.ts";
import { tapped } from "../support/tapped-driver.ts";

const soon = { reconnect: { minMs: 1, maxMs: 5 } } as const;
const Double = defineRequest("double", { request: typed<number>(), response: typed<number>() });
const direct = { delivery: "at-most-once" } as const;

async function sendDirect(bus: Bus, count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) await bus.publish(Tick, { n }, direct);
}

/** Answers `wants` of the direct lane as `answer` says, after it is in force; counts what is open. */
class Wanting {
  open = 0;
  opened = 0;
  answer: (patterns: readonly string[]) => Promise<void> = () => Promise.resolve();
  readonly inner = new FaultyDriver();
  readonly driver = tapped({ consumption: (consumption, source) => this.#tap(consumption, source) }, this.inner);

  #tap(consumption: Consumption, source: Source): Partial<Consumption> {
    if (source.kind !== "direct") return {};
    this.open += 1;
    this.opened += 1;
    return {
      wants: async (patterns, answers) => {
        await consumption.wants(patterns, answers);
        await this.answer(patterns);
      },
      close: (signal) => {
        this.open -= 1;
        return consumption.close(signal);
      },
    };
  }
}

describe("a handler of several that the broker could not be told of", () => {
  it("leaves the others their at-most-once events when it could not join", async () => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    const seen = new Seen();
    await bus.subscribe(Tick, seen.handle, { group: "g" });
    driver.deaf = true;
    expect(await failureOf(bus.subscribe(Tock, seen.handle, { group: "g" }))).toMatchObject({ code: "BUS_CONNECTION" });
    driver.deaf = false;
    await sendDirect(bus, 3);
    await until(() => seen.count === 3, "the events");
  });

  it("leaves the others their at-most-once events, and does not fail, when it leaves", async () => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    const seen = new Seen();
    await bus.subscribe(Tick, seen.handle, { group: "g" });
    const leaving = await bus.subscribe(Tock, () => undefined, { group: "g" });
    driver.deaf = true;
    expect(await leaving.unsubscribe()).toBe(true);
    driver.deaf = false;
    await sendDirect(bus, 3);
    await until(() => seen.count === 3, "the events");
  });
});

describe("a direct lane whose opening fails at what it wants", () => {
  it("is closed before it is opened again, and takes no events with it", async () => {
    const wanting = new Wanting();
    await using bus = await connect({ driver: wanting.driver, ...soon });
    const seen = new Seen();
    const subscription = await bus.subscribe(Tick, seen.handle, { group: "g" });
    let failing = 1;
    wanting.answer = () => (failing-- > 0 ? Promise.reject(new Fault("no answer in time")) : Promise.resolve());
    wanting.open -= 1; // by its driver
    await wanting.inner.last("direct").end();
    await until(() => wanting.opened === 3 && subscription.state === "running", "the third opening");
    await sendDirect(bus, 10);
    await until(() => seen.count === 10, "all of them");
    expect(wanting.open).toBe(1);
  });

  it.each([
    ["g", "at once"],
    ["g", "later"],
    [false, "at once"],
    [false, "later"],
  ] as const)("fails the subscribing, and leaves nothing open: group %s, %s", async (group, when) => {
    const wanting = new Wanting();
    await using bus = await connect({ driver: wanting.driver, ...soon });
    wanting.answer = async (patterns) => {
      if (when === "later") await new Promise((resolve) => setImmediate(resolve));
      if (patterns.includes("tick")) throw new Fault("may not", { code: "BUS_AUTHENTICATION", retryable: false });
    };
    expect(await failureOf(bus.subscribe(Tick, () => undefined, { group }))).toMatchObject({
      code: "BUS_AUTHENTICATION",
    });
    await silence(() => wanting.opened, "opened again", 40);
    expect([wanting.opened, wanting.open, bus.stats().subscriptions]).toEqual([1, 0, 0]);
    const seen = new Seen();
    await bus.subscribe(Tock, seen.handle, { group });
    await bus.publish(Tock, { n: 1 }, direct);
    await until(() => seen.count === 1, "another subscription to work");
  });
});

describe("two handlers of a group that end together", () => {
  it("leave none of it on the direct lane", async () => {
    const name = fresh("store");
    await using other = await connect({ driver: memory({ name }) });
    await using bus = await connect({ driver: memory({ name }) });
    const [began, open] = [gate(), gate()];
    const busy = await bus.subscribe(Tock, () => (began.open(), open.opened), { group: "g" });
    const idle = await bus.subscribe(Tick, () => undefined, { group: "g" });
    await bus.publish(Tock, { n: 0 }, direct);
    await began.opened;
    const ending = [busy.unsubscribe(), idle.unsubscribe()];
    open.open();
    expect(await within(Promise.all(ending), "both ends", 3_000)).toEqual([true, true]);
    const seen = new Seen();
    await other.subscribe(Tick, seen.handle, { group: "g" });
    await sendDirect(other, 10);
    await until(() => seen.count === 10, "all of them, by the only member left", 2_000);
  });
});

describe("a subscription that was given up", () => {
  it.each(["g", false] as const)("is opened again for whoever subscribes later (group: %s)", async (group) => {
    const { bus, driver } = await onFaulty({ reconnect: { minMs: 1, maxMs: 1, maxAttempts: 2 } });
    await using _ = bus;
    const [seen, later] = [new Seen(), new Seen()];
    const first = await bus.subscribe(Tick, seen.handle, { group });
    driver.failConsumes = 2;
    await driver.last(group === false ? "tail" : "group").end();
    await until(() => first.state === "closed", "giving up");
    await bus.publish(Tick, { n: 1 });
    const second = await bus.subscribe(Tock, later.handle, { group });
    expect(second.state).toBe("running");
    await bus.publish(Tock, { n: 2 });
    await until(() => later.count === 1 && seen.count === 1, "both events: it goes on where it was");
  });
});

describe("an opening that fails when it is over", () => {
  it("does no harm to the one after it", async () => {
    const [asked, answered] = [gate(), gate()];
    const inner = new FaultyDriver();
    let openings = 0;
    inner.afterConnect = (connection) => {
      const consume = connection.consume.bind(connection);
      connection.consume = async (source, sink, window) => {
        if (source.kind !== "direct" || (openings += 1) > 1) return consume(source, sink, window);
        asked.open();
        await answered.opened;
        throw new Fault("late");
      };
    };
    await using bus = createBus({ driver: inner });
    const first = await bus.respond(Double, (n) => n * 2);
    const connecting = bus.connect();
    await asked.opened;
    const leaving = first.unsubscribe();
    const second = await bus.respond(Double, (n) => n * 3);
    answered.open();
    await connecting;
    await leaving;
    expect([first.state, second.state, bus.stats().subscriptions]).toEqual(["closed", "running", 1]);
    expect(await bus.request(Double, 2)).toBe(6);
    await second.unsubscribe();
    expect(await failureOf(bus.request(Double, 2))).toMatchObject({ code: "BUS_NO_RESPONDER" });
  });
});
