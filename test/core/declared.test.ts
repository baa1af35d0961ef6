import { describe, expect, it } from "vitest";
import { type Bus, connect, defineEvent, defineRequest, typed } from "../../src/index.ts";
import { until } from "../../src/testing/index.ts";
import type { Need } from "../../src/testing/suite.ts";
import { lacking } from "../support/lacking-driver.ts";
import { lying } from "../support/lying-driver.ts";

const batch = { maxSize: 2, maxAgeMs: 5 };

describe("the bus goes by what the driver declares, and does not try", () => {
  const item = defineEvent("declared.item", { schema: typed<{ readonly n: number }>() });
  const asked: readonly [Need, string, (bus: Bus) => Promise<unknown>][] = [
    ["groups", "a durable group", (bus) => bus.subscribe(item, () => undefined, { group: "g" })],
    ["groups", "a batch handler's group", (bus) => bus.subscribeBatch(item, async () => {}, { group: "g", ...batch })],
    ["groups", "pulling", (bus) => bus.pull(item, { group: "g" })],
    ["groups", "sending to a group", (bus) => bus.send("g", item, { n: 1 })],
    ["replay", "a start at the oldest", (bus) => bus.subscribe(item, () => undefined, { group: "g", from: "oldest" })],
    ["replay", "a start at a time", (bus) => bus.subscribe(item, () => undefined, { group: "g", from: new Date(0) })],
    ["order", "order group", (bus) => bus.subscribe(item, () => undefined, { group: "g", order: "group" })],
    ["delay", "a delay", (bus) => bus.publish(item, { n: 1 }, { delayMs: 5 })],
    ["delay", "a delayed send", (bus) => bus.send("g", item, { n: 1 }, { delayMs: 5 })],
  ];

  it("a durable group is refused before the driver is asked", async () => {
    await using bus = await connect({ driver: lying("groups") });
    const [, , ask] = asked[0]!;
    await expect(ask(bus)).rejects.toMatchObject({ code: "BUS_UNSUPPORTED" });
  });

  it.each(asked)("without %s: %s", async (need, _, ask) => {
    await using bus = await connect({ driver: lying(need) });
    await expect(ask(bus)).rejects.toMatchObject({
      code: "BUS_UNSUPPORTED",
      message: expect.stringContaining("memory"),
    });
    await bus.publish(item, { n: 2 });
    expect(await bus.groups.list()).toEqual([]);
    expect((await bus.health()).status).toBe("up");
  });

  it("without groups a live group shares load all the same, and requests are answered", async () => {
    await using bus = await connect({ driver: lacking(["groups"]) });
    const seen: number[] = [];
    await bus.subscribe(item, ({ data }) => void seen.push(data.n), { group: "g", live: true });
    await bus.publish(item, { n: 1 });
    await until(() => seen.length === 1, "the event");
    const double = defineRequest("declared.double", {
      request: typed<{ readonly n: number }>(),
      response: typed<{ readonly n: number }>(),
    });
    await bus.respond(double, ({ n }) => ({ n: n * 2 }));
    expect(await bus.request(double, { n: 2 })).toEqual({ n: 4 });
  });
});
