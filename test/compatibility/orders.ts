import { defineEvent, typed } from "../../src/index.ts";

export interface Order {
  readonly orderId: string;
  /** The how manieth event of this order. */
  readonly n: number;
  readonly cents: number;
}

const options = { schema: typed<Order>(), key: (order: Order): string => order.orderId };
export const OrderPlaced = defineEvent("shop.order.placed", options);
export const OrderChanged = defineEvent("shop.order.changed", options);
export const Shipped = defineEvent("shop.shipped", options);
export const Reminder = defineEvent("shop.reminder", options);

/** What happens in the shop, the same each time: twelve orders of eight events each, in turns. */
export const plan: readonly Order[] = Array.from({ length: 96 }, (_, at) => {
  const n = Math.floor(at / 12);
  return { orderId: `o-${at % 12}`, n, cents: at % 11 === 5 ? -at : 100 + at };
});

export const idOf = ({ orderId, n }: Order): string => `${orderId}/${n}`;
/** Which of them the carrier takes at the third attempt only. */
export const isAwkward = ({ orderId, n }: Order): boolean => (Number(orderId.slice(2)) + n) % 7 === 3;
/** Which of them can't be billed, whatever is tried. */
export const isUnbillable = ({ cents }: Order): boolean => cents < 0;
