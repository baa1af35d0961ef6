import { BusError } from "./errors.ts";
import { optionProblem, type Shape } from "./internal/option-problem.ts";

export {
  abortSignal,
  any,
  boolean,
  callable,
  date,
  either,
  integer,
  list,
  milliseconds,
  nearest,
  number,
  oneOf,
  printable,
  record,
  text,
  type Shape,
} from "./internal/option-problem.ts";

/** Refuses unknown keys, with the nearest known one, and values out of range. `where` names the object in the message. */
export function checkOptions(where: string, options: unknown, shape: Shape): void {
  const problem = optionProblem(where, options, shape);
  if (problem !== undefined) throw invalidOption(problem);
}

export function invalidOption(message: string, cause?: unknown): BusError {
  return new BusError("BUS_INVALID_OPTION", message, { cause });
}
