import { describe, expect, it, onTestFinished } from "vitest";
import { type Bus, type BusEvent, connect, type Delivery } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { gate } from "../support/events.ts";
import { isDrained } from "./move.ts";
import { type Order, OrderChanged } from "./orders.ts";
import { places } from "./places.ts";

const all = await places();
/** Each is left once and moved to once. */
const moves = all.map((from, at) => ({ from, to: all[(at + 1) % all.length]! }));
const keys = 12;
const each = 30;
const publishers = 3;

describe.each(moves)("moving from $from.name to $to.name while it runs", ({ from, to }) => {
  const open = async (url: string): Promise<Bus> => {
    const retry = { maxAttempts: 5, backoff: { baseMs: 2, maxMs: 10 } };
    const bus = await connect(url, { prefix: `move-${process.pid}-${from.name}`, retry });
    onTestFinished(() => bus.close({ timeoutMs: 5_000 }).then(() => undefined));
    return bus;
  };

  it.skipIf(from.url === undefined || to.url === undefined)(
    "loses nothing, repeats nothing, and keeps the order of each key where the new one waits for the old",
    { timeout: 120_000 },
    async () => {
      const [old, next] = [await open(from.url!), await open(to.url!)];
      const shipped = new Map<string, number[]>();
      const billed: string[] = [];
      const at = { old: 0, next: 0 };
      const moved = gate();
      const handle = (where: "old" | "next", work: (order: Order) => void) => {
        return async ({ data }: BusEvent<string, Order>, { attempt }: Delivery): Promise<void> => {
          // so that much is left behind when publishers turn to the new one
          if (where === "old" && data.n >= 5) await moved.opened;
          if (data.n % 10 === 3 && attempt === 1) throw new Error("not yet");
          at[where] += 1;
          work(data);
        };
      };
      const ship = ({ orderId, n }: Order): void => {
        const sequence = shipped.get(orderId) ?? [];
        sequence.push(n);
        shipped.set(orderId, sequence);
      };
      const bill = ({ orderId, n }: Order): void => void billed.push(`${orderId}/${n}`);
      for (const bus of [old, next]) {
        const where = bus === old ? "old" : "next";
        await bus.subscribe(OrderChanged, handle(where, bill), { group: "billing", order: "none" });
      }
      await old.subscribe(OrderChanged, handle("old", ship), { group: "shipping" });
      const shippingNext = await next.subscribe(OrderChanged, handle("next", ship), { group: "shipping" });
      await shippingNext.pause();

      // each deployed anew at a moment of its own
      const publisher = async (number: number): Promise<void> => {
        for (let n = 0; n < each; n += 1) {
          const bus = n < 10 + 5 * number ? old : next;
          for (let key = number; key < keys; key += publishers)
            await bus.publish(OrderChanged, { orderId: `o-${key}`, n, cents: 1 });
        }
      };
      await Promise.all(Array.from({ length: publishers }, (_, number) => publisher(number)));
      expect(await isDrained(old)).toBe(false);
      moved.open();
      await until(() => isDrained(old), "the old one to be empty", 60_000);
      const before = at.next;
      expect(at.old).toBeGreaterThan(keys * 10);
      await shippingNext.resume();
      await old.close();

      await until(() => isDrained(next), "the new one to be empty", 60_000);
      expect(at.next).toBeGreaterThan(before);
      const sequence = Array.from({ length: each }, (_, n) => n);
      const orders = Array.from({ length: keys }, (_, key) => `o-${key}`);
      expect(Object.fromEntries(shipped)).toEqual(Object.fromEntries(orders.map((order) => [order, sequence])));
      expect(billed.toSorted()).toEqual(orders.flatMap((order) => sequence.map((n) => `${order}/${n}`)).toSorted());
    },
  );
});
