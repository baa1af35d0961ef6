import { describe, expect, it } from "vitest";
import { idOf, isAwkward, isUnbillable, type Order, plan } from "./orders.ts";
import { places } from "./places.ts";
import { type History, runShop } from "./shop.ts";

const all = await places();

/** What the plan comes to, whoever carries it. */
function expected(): History {
  const of = (wanted: string): readonly Order[] => plan.filter(({ orderId }) => orderId === wanted);
  const orders = [...new Set(plan.map(({ orderId }) => orderId))].toSorted();
  const perOrder = (entries: (order: readonly Order[], orderId: string) => readonly string[]): History["audit"] =>
    Object.fromEntries(orders.map((orderId) => [orderId, entries(of(orderId), orderId)]));
  return {
    shipping: perOrder((events) => events.map((order) => `${idOf(order)} at attempt ${isAwkward(order) ? 3 : 1}`)),
    billing: [...plan.map(idOf), "reminder"].toSorted(),
    letters: plan
      .filter(isUnbillable)
      .map((order) => `${idOf(order)}: BUS_HANDLER at attempt 1`)
      .toSorted(),
    lettersAfterReplay: 0,
    audit: {
      ...perOrder((events, orderId) => [...events.map(idOf), `shipped ${orderId}`]),
      reminder: ["reminder"],
    },
    chains: orders.map((orderId) => `shipped ${orderId}: ${orderId}/7 of ${orderId}/7`).toSorted(),
  };
}

describe.each(all)("the same program on $name", ({ name, url }) => {
  it.skipIf(url === undefined)("has the same history as on every other", { timeout: 120_000 }, async () => {
    const awkward = plan.filter(isAwkward).length;
    expect(awkward).toBeGreaterThan(5);
    expect(plan.filter(isUnbillable).length).toBeGreaterThan(5);
    expect(await runShop(url!, `shop-${name}-${process.pid}`)).toEqual(expected());
  });
});
