import { describe, expect, it } from "vitest";
import { z } from "zod";
import { defineEvent, typed } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { failureOf, onMemory, Seen } from "../support/events.ts";

const Placed = defineEvent("orders.placed", {
  schema: z.object({ orderId: z.string(), region: z.string(), total: z.string().transform(Number) }),
  topic: "orders.{region}.placed",
  key: (order) => order.orderId,
  priority: "high",
});
const order = { orderId: "o-1", region: "eu", total: "12" };

describe("the options of a definition", () => {
  it("option: DefineEventOptions.schema refuses on publishing what it does not take, and transforms on receipt", async () => {
    await using bus = await onMemory();
    const totals: number[] = [];
    await bus.subscribe(Placed, ({ data }) => void totals.push(data.total), { group: "g" });
    expect(await failureOf(bus.publish(Placed, { ...order, region: 7 } as never))).toMatchObject({
      code: "BUS_INVALID_DATA",
    });
    await bus.publish(Placed, order);
    await until(() => totals.length === 1, "the event");
    expect(totals).toEqual([12]);
  });

  it("option: DefineEventOptions.topic, DefineEventOptions.key, DefineEventOptions.priority are the published event's", async () => {
    await using bus = await onMemory();
    const seen = new Seen();
    await bus.subscribePattern("orders.>", seen.handle, { group: "g" });
    await bus.publish(Placed, order);
    await until(() => seen.count === 1, "the event");
    expect(seen.events[0]).toMatchObject({
      topic: "orders.eu.placed",
      key: "o-1",
      priority: "high",
      type: "orders.placed",
    });
  });

  it("option: DefineEventOptions.version, DefineEventOptions.upcast lift an older event on receipt", async () => {
    await using bus = await onMemory();
    const First = defineEvent("price", { schema: typed<{ cents: number }>() });
    const Second = defineEvent("price", {
      schema: z.object({ euros: z.number() }),
      version: 2,
      upcast: { 1: ({ cents }: { cents: number }) => ({ euros: cents / 100 }) },
    });
    const seen = new Seen();
    await bus.subscribe(Second, seen.handle, { group: "g" });
    await bus.publish(First, { cents: 250 });
    await bus.publish(Second, { euros: 3 });
    await until(() => seen.count === 2, "both");
    expect(seen.events.map(({ version, data }) => [version, data]).toSorted()).toEqual([
      [2, { euros: 2.5 }],
      [2, { euros: 3 }],
    ]);
  });
});
