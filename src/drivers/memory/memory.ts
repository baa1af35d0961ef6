import type { ConnectContext, Driver, DriverConnection } from "../../driver.ts";
import { memoryCapabilities } from "./capabilities.ts";
import { MemoryConnection } from "./connection.ts";
import { normalMemoryOptions, type MemoryOptions } from "./options.ts";
import { findStore, namedStore } from "./stores.ts";
import type { Store } from "./store.ts";

/**
 * A broker inside the process: groups, order, retries, dead letters, requests as everywhere, gone with the process. With a
 * name its store is shared by all buses of the process; without one it is this driver's own, found again by a bus that
 * connects again with it.
 *
 * @example
 * await using bus = await connect({ driver: memory({ name: "shop" }) });
 */
export function memory(options: MemoryOptions = {}): Driver {
  const normal = normalMemoryOptions(options);
  const own = new Map<string, Store>();
  return {
    name: "memory",
    capabilities: memoryCapabilities,
    async connect(context: ConnectContext): Promise<DriverConnection> {
      context.signal.throwIfAborted();
      const store =
        normal.name === undefined
          ? findStore(own, context.prefix, normal)
          : namedStore(normal.name, context.prefix, normal);
      return new MemoryConnection(store, context);
    },
    classify,
  };
}

/** The driver's own errors carry their code, those of another copy of the package too. */
function classify(error: unknown): { readonly code: string; readonly retryable: boolean } {
  const { code, retryable } = (typeof error === "object" && error !== null ? error : {}) as {
    readonly code?: unknown;
    readonly retryable?: unknown;
  };
  return typeof code === "string" && code.startsWith("BUS_")
    ? { code, retryable: retryable === true }
    : { code: "BUS_SERVER", retryable: false };
}
