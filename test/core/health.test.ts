import { describe, expect, it } from "vitest";
import { connect, createBus, defineRequest, typed } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { FaultyDriver } from "../support/faulty-driver.ts";
import { failureOf, fresh, Seen, Tick } from "../support/events.ts";

const Double = defineRequest("double", { request: typed<number>(), response: typed<number>() });

describe("health", () => {
  it("is not up when no stream captures what a subscription reads any more", async () => {
    const url = `memory:${fresh("health")}`;
    await using bus = await connect(url);
    await using other = await connect(url);
    await bus.subscribe(Tick, () => undefined, { group: "g" });
    expect((await bus.health()).status).toBe("up");
    await other.streams.delete("events");
    await until(async () => (await bus.health()).status !== "up", "that it is seen");
    expect((await bus.health()).reasons.join()).toMatch(/reads no stream/);
  });

  it("shows responders too", async () => {
    await using bus = await connect("memory:");
    await bus.respond(Double, (n) => n * 2);
    await bus.request(Double, 2);
    const { subscriptions } = await bus.health();
    expect(subscriptions).toMatchObject([{ group: "responders", state: "running" }]);
    expect(subscriptions[0]!.lastDelivery).toBeInstanceOf(Date);
  });
});

describe("status", () => {
  it("says that it still tries, while a bus waits for its broker", async () => {
    const driver = new FaultyDriver();
    driver.failConnects = 2;
    const bus = createBus({ driver, reconnect: { minMs: 5, maxMs: 5 } });
    await using _ = bus;
    const said: string[] = [];
    bus.onStatus(({ type }) => said.push(type));
    await bus.connect();
    expect(said).toEqual(["reconnecting", "reconnecting", "connected"]);
  });
});

describe("options that would do nothing", () => {
  it("are refused: a section beside a driver of another url", async () => {
    const failure = await failureOf(connect("memory:", { sqlite: { leaseMs: 5_000 } }));
    expect(failure).toMatchObject({ code: "BUS_INVALID_OPTION" });
  });

  for (const options of [{ group: "g", bufferSize: 5 }, { runAhead: 5 }, { handOnMs: 5 }]) {
    it(`are refused: ${JSON.stringify(options)}`, async () => {
      await using bus = await connect("memory:");
      const seen = new Seen();
      expect(await failureOf(bus.subscribe(Tick, seen.handle, options))).toMatchObject({ code: "BUS_INVALID_OPTION" });
    });
  }
});

describe("what publishing accepts", () => {
  it("can be read again: keys that readers refuse are refused at once", async () => {
    await using bus = await connect("memory:");
    const data = { constructor: { prototype: {} } };
    expect(await failureOf(bus.publishTopic("t", data))).toMatchObject({ code: "BUS_INVALID_DATA" });
    expect(await failureOf(bus.publishTopic("t", {}, { metadata: data }))).toMatchObject({ code: "BUS_INVALID_DATA" });
  });
});
