import { BusError } from "./errors.ts";
import type { EventDefinition } from "./event.ts";

/**
 * Lifts data of an older version to the definition's, one step after the other. Throws BUS_INVALID_DATA when a step is missing
 * or fails. Data of a newer version is not this definition's: the caller hands it on before it comes here.
 */
export function lift(definition: EventDefinition, version: number, data: unknown): unknown {
  let lifted = data;
  for (let from = version; from !== definition.version; from += 1) {
    const which = `${definition.type} version ${version}, known up to ${definition.version}`;
    const step = Object.hasOwn(definition.upcast, from) ? definition.upcast[from] : undefined;
    if (step === undefined) throw new BusError("BUS_INVALID_DATA", `no upcast from version ${from} (${which})`);
    try {
      lifted = step(lifted);
    } catch (cause) {
      throw new BusError("BUS_INVALID_DATA", `the upcast from version ${from} failed (${which})`, { cause });
    }
    if (lifted instanceof Promise) {
      lifted.catch(() => undefined); // that it is a promise is what is told
      throw new BusError("BUS_INVALID_DATA", `the upcast from version ${from} gave a promise (${which})`);
    }
  }
  return lifted;
}
