import { type Bus, type BusEvent, connect, Reject } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import {
  idOf,
  isAwkward,
  isUnbillable,
  type Order,
  OrderChanged,
  OrderPlaced,
  plan,
  Reminder,
  Shipped,
} from "./orders.ts";

/** What happened, as far as it has to be the same everywhere: sets sorted, sequences by key. */
export interface History {
  /** Order → the events of it in the order of their handling, each with the attempt that succeeded. */
  readonly shipping: Readonly<Record<string, readonly string[]>>;
  readonly billing: readonly string[];
  readonly letters: readonly string[];
  readonly lettersAfterReplay: number;
  /** Order → ids of all that a group read which was made at the end, in that order. */
  readonly audit: Readonly<Record<string, readonly string[]>>;
  /** Event → the event that led to it and the first one of the chain. */
  readonly chains: readonly string[];
}

const waitMs = 30_000;

class Log {
  readonly #byKey = new Map<string, string[]>();

  add(key: string, entry: string): void {
    const found = this.#byKey.get(key);
    if (found === undefined) this.#byKey.set(key, [entry]);
    else found.push(entry);
  }

  get size(): number {
    return [...this.#byKey.values()].reduce((sum, { length }) => sum + length, 0);
  }

  get sequences(): Readonly<Record<string, readonly string[]>> {
    return Object.fromEntries([...this.#byKey].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  get sorted(): readonly string[] {
    return [...this.#byKey.values()].flat().toSorted();
  }
}

/**
 * The program: two processes' worth of members in each of three groups, publishing from both, retries, dead letters that are
 * repaired and replayed, a delayed event, and a group that comes late and reads everything from the beginning.
 */
export async function runShop(url: string, prefix: string): Promise<History> {
  const options = { prefix, retry: { maxAttempts: 3, backoff: { baseMs: 5, maxMs: 20 } } };
  const buses = [await connect(url, options), await connect(url, options)] as const;
  try {
    return await run(buses);
  } finally {
    await Promise.all(buses.map((bus) => bus.close({ timeoutMs: 5_000 })));
  }
}

async function run(buses: readonly [Bus, Bus]): Promise<History> {
  const [one, two] = buses;
  const [shipping, billing, audit] = [new Log(), new Log(), new Log()];
  const chains: string[] = [];
  for (const bus of buses) {
    const orders = [OrderPlaced, OrderChanged];
    await bus.subscribe(
      orders,
      async ({ id, data }, { attempt, publish }) => {
        if (isAwkward(data) && attempt < 3) throw new Error("the carrier does not answer");
        if (data.n === 7) await publish(Shipped, data, { id: `shipped ${data.orderId}` });
        shipping.add(data.orderId, `${id} at attempt ${attempt}`);
      },
      { group: "shipping", order: "group" },
    );
    await bus.subscribe(
      [...orders, Reminder],
      ({ id, data }) => {
        if (isUnbillable(data)) throw new Reject("nobody pays that");
        billing.add(data.orderId, id);
      },
      { group: "billing", order: "none" },
    );
  }

  const keys = new Map<string, Promise<unknown>>();
  for (const [at, order] of plan.entries()) {
    const event = order.n === 0 ? OrderPlaced : OrderChanged;
    // of one order one after the other, by either process
    const publish = (): Promise<unknown> => (at % 2 === 0 ? one : two).publish(event, order, { id: idOf(order) });
    keys.set(order.orderId, (keys.get(order.orderId) ?? Promise.resolve()).then(publish));
  }
  await Promise.all(keys.values());
  await one.publish(Reminder, { orderId: "reminder", n: 0, cents: 1 }, { id: "reminder", delayMs: 80 });

  const unbillable = plan.filter(isUnbillable);
  await until(
    () => shipping.size >= plan.length,
    () => `${shipping.size} of shipping`,
    waitMs,
  );
  await until(
    () => billing.size >= plan.length - unbillable.length + 1,
    () => `${billing.size} of billing`,
    waitMs,
  );
  await until(
    async () => (await two.deadLetters.count({ group: "billing" })) >= unbillable.length,
    "the letters of billing",
    waitMs,
  );
  const { items } = await two.deadLetters.list({ group: "billing" });
  const letters = items.map(({ event, reason, attempts }) => `${event?.id}: ${reason.code} at attempt ${attempts}`);
  for (const { id, event } of items) {
    const data = event?.data as Order;
    await one.deadLetters.replay(id, { data: { ...data, cents: -data.cents } });
  }
  await until(
    () => billing.size >= plan.length + 1,
    () => `${billing.size} of billing after the replay`,
    waitMs,
  );

  await two.subscribePattern<Order>(
    "shop.>",
    (event: BusEvent<string, Order>) => {
      audit.add(event.data.orderId, event.id);
      if (event.type === "shop.shipped") chains.push(`${event.id}: ${event.causationId} of ${event.correlationId}`);
    },
    { group: "audit", from: "oldest" },
  );
  await until(
    () => audit.size >= plan.length + 13,
    () => `${audit.size} of the audit`,
    waitMs,
  );
  for (const group of ["shipping", "billing", "audit"])
    await until(
      async () => {
        const { waiting, inFlight } = await one.groups.info(group);
        return waiting + inFlight === 0;
      },
      `nothing left of ${group}`,
      waitMs,
    );
  return {
    shipping: shipping.sequences,
    billing: billing.sorted,
    letters: letters.toSorted(),
    lettersAfterReplay: await one.deadLetters.count(),
    audit: audit.sequences,
    chains: chains.toSorted(),
  };
}
