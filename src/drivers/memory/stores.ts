import { DriverError } from "../../internal/driver-error.ts";
import type { NormalMemoryOptions } from "./options.ts";
import { Store } from "./store.ts";

/** One registry for all copies of the package in a process; the number changes with what copies must agree on. */
const registry = Symbol.for("omnibus.memory.stores/1");

function stores(): Map<string, Store> {
  const holder = globalThis as { [registry]?: Map<string, Store> };
  return (holder[registry] ??= new Map());
}

/** The store of that name and prefix, made by the first who asks. It lives as long as the process. */
export function namedStore(name: string, prefix: string, options: NormalMemoryOptions): Store {
  return findStore(stores(), JSON.stringify([prefix, name]), options);
}

export function findStore(among: Map<string, Store>, key: string, options: NormalMemoryOptions): Store {
  let store = among.get(key);
  if (store === undefined) among.set(key, (store = new Store(options)));
  if (store.options.encode !== options.encode) {
    throw new DriverError(
      "BUS_CONFLICT",
      `memory: "encode" must be ${store.options.encode}, as the first bus of this store said`,
    );
  }
  return store;
}
