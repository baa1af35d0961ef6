import { BusError } from "./errors.ts";
import type { EventDefinition } from "./event.ts";
import type { Interest } from "./handler-runner.ts";
import { invalidOption } from "./option-check.ts";
import { validatePattern } from "./topic.ts";

/** What a subscription to these definitions takes; two of one type would leave open which is meant. */
export function interestIn(events: EventDefinition | readonly EventDefinition[]): Interest {
  const list: readonly EventDefinition[] = Array.isArray(events) ? events : [events as EventDefinition];
  if (list.length === 0) throw invalidOption("a subscription needs at least one event definition");
  const definitions = new Map<string, EventDefinition>();
  for (const definition of list) {
    if (typeof definition?.type !== "string" || typeof definition.pattern !== "string")
      throw invalidOption("a subscription takes event definitions, as defineEvent makes them");
    if (definitions.has(definition.type))
      throw new BusError("BUS_CONFLICT", `a subscription names the type "${definition.type}" twice`);
    definitions.set(definition.type, definition);
  }
  return { definitions, patterns: [...new Set(list.map(({ pattern }) => validatePattern(pattern)))] };
}

export const interestInPattern = (pattern: string): Interest => ({
  definitions: undefined,
  patterns: [validatePattern(pattern)],
});

/** The name of a handler that was given none: what it takes. */
export const defaultName = (interest: Interest): string =>
  (interest.definitions === undefined ? interest.patterns : [...interest.definitions.keys()]).join("+");
