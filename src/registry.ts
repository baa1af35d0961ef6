import { BusError } from "./errors.ts";
import type { EventDefinition } from "./event.ts";

/** Event definitions by type and version. A value: who looks types up is given one, and two buses share none by accident. */
export class SchemaRegistry {
  readonly #types = new Map<string, Map<number, EventDefinition>>();

  constructor(definitions: Iterable<EventDefinition> = []) {
    for (const definition of definitions) this.add(definition);
  }

  /** Throws BUS_CONFLICT when the type and version are there already. */
  add(definition: EventDefinition): this {
    const { type, version } = definition;
    let versions = this.#types.get(type);
    if (versions === undefined) this.#types.set(type, (versions = new Map()));
    if (versions.has(version)) throw new BusError("BUS_CONFLICT", `event defined twice (${type} version ${version})`);
    versions.set(version, definition);
    return this;
  }

  get(type: string, version: number): EventDefinition | undefined {
    return this.#types.get(type)?.get(version);
  }

  /** Of the highest version. */
  latest(type: string): EventDefinition | undefined {
    let latest: EventDefinition | undefined;
    for (const definition of this.#types.get(type)?.values() ?? []) {
      if (latest === undefined || definition.version > latest.version) latest = definition;
    }
    return latest;
  }

  /** All of them, in the order in which their types were added. */
  list(): readonly EventDefinition[] {
    return [...this.#types.values()].flatMap((versions) => [...versions.values()]);
  }
}
