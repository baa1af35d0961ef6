import { beforeEach, describe, expect, it, vi } from "vitest";
import type * as Omnibus from "../../src/index.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { until, within } from "../../src/testing/until.ts";
import { failureOf, Seen, Tick } from "../support/events.ts";

/** What receives and what answers is loaded with its first use: in each test it is loaded anew. */
let omnibus: typeof Omnibus;
beforeEach(async () => {
  vi.resetModules();
  omnibus = await import("../../src/index.ts");
});

describe("what is declared while its part of the package is still loading", () => {
  it("runs when connect resolves", async () => {
    await using bus = omnibus.createBus({ driver: memory() });
    const [seen, other] = [new Seen(), new Seen()];
    const declared = [bus.subscribe(Tick, seen.handle), bus.subscribePattern("a.*", other.handle)];
    await bus.connect();
    await bus.publish(Tick, { n: 1 }); // an ephemeral subscriber would miss it if it started later
    await bus.publishTopic("a.b", { n: 2 });
    await until(() => seen.count === 1 && other.count === 1, "both");
    expect((await Promise.all(declared)).map(({ state }) => state)).toEqual(["running", "running"]);
  });

  it("answers when connect resolves", async () => {
    await using bus = omnibus.createBus({ driver: memory() });
    const twice = omnibus.defineRequest("twice", {
      request: omnibus.typed<number>(),
      response: omnibus.typed<number>(),
    });
    const declared = bus.respond(twice, (n) => 2 * n);
    await bus.connect();
    expect(await bus.request(twice, 21)).toBe(42);
    expect(await declared).toMatchObject({ state: "running" });
  });

  it("keeps the order of its calls", async () => {
    await using bus = omnibus.createBus({ driver: memory() });
    await Promise.all([1, 2, 3].map(() => bus.subscribe(Tick, () => undefined, { group: "g" })));
    const first = await failureOf(bus.subscribe(Tick, () => undefined, { group: "g", name: "tick#3" }));
    expect(first).toMatchObject({ code: "BUS_CONFLICT" });
  });

  it("is refused when the bus closes meanwhile, and delays nothing", async () => {
    const bus = omnibus.createBus({ driver: memory() });
    const twice = omnibus.defineRequest("twice", {
      request: omnibus.typed<number>(),
      response: omnibus.typed<number>(),
    });
    const calls = [
      bus.subscribe(Tick, () => undefined),
      bus.subscribeBatch(Tick, async () => undefined, { maxSize: 2, maxAgeMs: 5 }),
      bus.respond(twice, (n) => 2 * n),
    ].map(failureOf);
    expect(await within(bus.close(), "the close", 5_000)).toEqual({ unfinished: 0 });
    for (const failure of await Promise.all(calls)) expect(failure.code).toBe("BUS_CLOSED");
  });
});

it("a bus that never subscribed is healthy, follows new streams and closes", async () => {
  const bus = await omnibus.connect({ driver: memory() });
  expect(await bus.health()).toMatchObject({ status: "up", subscriptions: [] });
  await bus.streams.ensure({ name: "other", topics: ["other.>"] });
  expect(await bus.publishTopic("other.a", 1)).toMatchObject({ stream: "other" });
  expect(await bus.close()).toEqual({ unfinished: 0 });
});
