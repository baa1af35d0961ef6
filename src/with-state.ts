import type { Driver } from "./driver.ts";
import { LazyDriver } from "./lazy-driver.ts";
import { driverOf, loadDriver, schemeOf } from "./load-driver.ts";
import { invalidOption } from "./option-check.ts";

/** `BusOptions.state`: what another driver keeps for one that can't. Both are loaded by the first connect. */
export function withState(driver: Driver, url: string): Driver {
  const name = driverOf(schemeOf(url));
  if (name === "memory")
    throw invalidOption('"state": what is in memory is gone with the process; use a file or a server');
  const store = new LazyDriver(name, () => loadDriver(url, {}));
  return new LazyDriver(driver.name, async () => {
    const { AttachedState } = await import("./attached-state.ts");
    return new AttachedState(driver, { driver: store, isLocal: name === "sqlite" });
  });
}
