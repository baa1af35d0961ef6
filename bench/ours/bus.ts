import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Bus, type BusConfig, connect, defineEvent, defineRequest, typed } from "../../src/index.ts";
import type { Order } from "../message.ts";
import type { Settings } from "../side.ts";

export const OrderPlaced = defineEvent("bench.order", { schema: typed<Order>(), key: (order) => order.orderId });
export const Echo = defineRequest("bench.echo", { request: typed<Order>(), response: typed<Order>() });

/** A place of its own on the driver, and what removes it. */
export function freshUrl({ driver, directory }: Pick<Settings, "driver" | "directory">): {
  readonly url: string;
  readonly remove: () => void;
} {
  if (driver === "memory") return { url: "memory:", remove: () => {} };
  if (driver !== "sqlite") throw new TypeError(`no bench for the driver ${driver}`);
  const folder = mkdtempSync(join(directory, "bus-"));
  return { url: `sqlite:${join(folder, "bus.db")}`, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

export function config(url: string, settings: Settings): BusConfig {
  const { correlate = "auto", encode, maxMessages } = settings;
  const limits =
    maxMessages === undefined ? ({ maxMessages: 10_000_000 } as const) : ({ maxMessages, whenFull: "wait" } as const);
  return {
    url,
    name: "bench",
    correlate,
    streams: [{ name: "bench", topics: ["bench.>"], maxBytes: 8 * 2 ** 30, ...limits }],
    ...(encode === false ? { memory: { encode: false } } : {}),
  };
}

/** Runs `work` with a bus on nothing yet, and clears up. */
export async function withBus<T>(settings: Settings, work: (bus: Bus) => Promise<T>): Promise<T> {
  const { url, remove } = freshUrl(settings);
  const bus = await connect(config(url, settings));
  try {
    return await work(bus);
  } finally {
    await bus.close();
    remove();
  }
}
