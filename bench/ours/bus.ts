import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import {
  type Bus,
  type BusConfig,
  connect,
  defineEvent,
  defineRequest,
  type SubscribeOptions,
  typed,
} from "../../src/index.ts";
import type { Order } from "../message.ts";
import type { Settings } from "../side.ts";

export const OrderPlaced = defineEvent("bench.order", { schema: typed<Order>(), key: (order) => order.orderId });
export const Echo = defineRequest("bench.echo", { request: typed<Order>(), response: typed<Order>() });

/** Of the one group that handles. */
export function groupOptions({
  window,
  order,
}: Pick<Settings, "window" | "order">): SubscribeOptions & { group: string } {
  return { group: "bench", concurrency: window, ...(order === undefined ? {} : { order }) };
}

/** Where a bus is, as plain data, for other processes too. */
export interface Place {
  readonly url: string;
  readonly prefix?: string;
  /** Removed with it. */
  readonly folder?: string;
}

/** One of its own on the driver. At a broker it is a prefix; what it stores there goes with the broker's reset. */
export function freshPlace({ driver, directory, url }: Pick<Settings, "driver" | "directory" | "url">): Place {
  if (driver === "memory") return { url: "memory:" };
  if (url !== undefined) return { url, prefix: `bench-${randomUUID().slice(0, 13)}` };
  if (driver !== "sqlite") throw new TypeError(`no bench for the driver ${driver}`);
  const folder = mkdtempSync(join(directory, "bus-"));
  return { url: `sqlite:${join(folder, "bus.db")}`, folder };
}

export function removePlace({ folder }: Place): void {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
}

export function config({ url, prefix }: Place, settings: Settings): BusConfig {
  const { correlate = "auto", encode, maxMessages } = settings;
  const limits =
    maxMessages === undefined ? ({ maxMessages: 10_000_000 } as const) : ({ maxMessages, whenFull: "wait" } as const);
  return {
    url,
    name: "bench",
    ...(prefix === undefined ? {} : { prefix }),
    correlate,
    streams: [{ name: "bench", topics: ["bench.>"], maxBytes: 8 * 2 ** 30, ...limits }],
    ...(encode === false ? { memory: { encode: false } } : {}),
  };
}

/** Runs `work` with a bus on nothing yet, and clears up. */
export async function withBus<T>(settings: Settings, work: (bus: Bus) => Promise<T>): Promise<T> {
  const place = freshPlace(settings);
  const bus = await connect(config(place, settings));
  try {
    return await work(bus);
  } finally {
    // what RabbitMQ stores can't be listed from outside, so that the broker's reset would not find it
    if (settings.driver === "rabbitmq") {
      for (const { group } of await bus.groups.list()) await bus.groups.delete(group);
      await bus.streams.delete("bench");
    }
    await bus.close();
    removePlace(place);
  }
}
