import { describe, expect, it } from "vitest";
import { connect, type Bus } from "../../src/index.ts";
import type { Driver } from "../../src/driver.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { until } from "../../src/testing/index.ts";
import { fresh } from "../support/events.ts";

/** The store that others use, too; what changes there is not said here in time. */
function unaware(name: string): Driver {
  const inner = memory({ name });
  return {
    name: inner.name,
    capabilities: inner.capabilities,
    classify: (error) => inner.classify(error),
    connect: (context) =>
      inner.connect({
        ...context,
        status: (status) => context.status(status),
        changed: () => undefined,
      }),
  };
}

async function twoBuses(): Promise<{ readonly here: Bus; readonly there: Bus } & AsyncDisposable> {
  const name = fresh("following");
  const here = await connect({ driver: unaware(name), streams: [] });
  const there = await connect({ driver: memory({ name }), streams: [] });
  const close = async (): Promise<void> => void (await Promise.all([here.close(), there.close()]));
  return { here, there, [Symbol.asyncDispose]: close };
}

describe("a stream that another process has just made", () => {
  const stream = { name: "orders", topics: ["orders.>"] };

  it("takes publishes once it was listed", async () => {
    await using buses = await twoBuses();
    await buses.there.streams.ensure(stream);
    await expect(buses.here.publishTopic("orders.a", 1)).rejects.toMatchObject({ code: "BUS_NOT_FOUND" });
    expect(await buses.here.streams.list()).toMatchObject([{ name: "orders" }]);
    expect(await buses.here.publishTopic("orders.a", 1)).toMatchObject({ stream: "orders" });
  });

  it("takes publishes once it was ensured, though that changed nothing", async () => {
    await using buses = await twoBuses();
    await buses.there.streams.ensure(stream);
    expect(await buses.here.streams.ensure(stream)).toBe("unchanged");
    expect(await buses.here.publishTopic("orders.a", 1)).toMatchObject({ stream: "orders" });
  });

  it("takes publishes of the topics that it has got since", async () => {
    await using buses = await twoBuses();
    await buses.there.streams.ensure(stream);
    await buses.here.streams.list();
    await buses.there.streams.ensure({ name: "orders", topics: ["orders.>", "refunds.>"] });
    await expect(buses.here.publishTopic("refunds.a", 1)).rejects.toMatchObject({ code: "BUS_NOT_FOUND" });
    await buses.here.streams.info("orders");
    expect(await buses.here.publishTopic("refunds.a", 1)).toMatchObject({ stream: "orders" });
  });

  it("is gone once it was listed no more, and what it captured goes to the next", async () => {
    await using buses = await twoBuses();
    await buses.there.streams.ensure({ name: "all", topics: [">"] });
    await buses.there.streams.ensure(stream);
    await buses.here.streams.list();
    await buses.there.streams.delete("orders");
    expect(await buses.here.streams.list()).toMatchObject([{ name: "all" }]);
    expect(await buses.here.publishTopic("orders.a", 1)).toMatchObject({ stream: "all" });
  });
});

describe("a stream that is deleted under a subscriber without a group", () => {
  it("is no more missed: the subscriber is well, and gets what the next stream captures", async () => {
    const driver = memory();
    await using bus = await connect({
      driver,
      streams: [
        { name: "all", topics: [">"] },
        { name: "own", topics: ["own.>"] },
      ],
    });
    await using other = await connect({ driver, streams: [] });
    const got: unknown[] = [];
    const subscription = await bus.subscribePattern("own.>", ({ data }) => void got.push(data));
    await bus.publishTopic("own.a", 1);
    await until(() => got.length === 1, "the first");
    await other.streams.delete("own");
    await until(async () => (await bus.health()).status === "up", "to be well");
    expect(subscription.state).toBe("running");
    expect(await other.publishTopic("own.a", 2)).toMatchObject({ stream: "all" });
    await until(() => got.length === 2, "the second");
    await other.streams.ensure({ name: "own", topics: ["own.>"] });
    await until(async () => (await other.publishTopic("own.a", 3)).stream === "own", "it to be there again");
    await until(() => got.includes(3), "what it captures then");
    expect(await subscription.unsubscribe()).toBe(true);
    expect((await bus.health()).reasons).toEqual([]);
  });
});
