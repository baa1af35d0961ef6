import type { Command } from "commander";
import type { DeadLetterQuery } from "../index.ts";
import { nonEmpty, time, wholeNumber } from "./option-values.ts";
import { UsageError } from "./usage-error.ts";

export interface FilterFlags {
  readonly group?: string;
  readonly topic?: string;
  readonly error?: string;
  readonly before?: Date;
  readonly after?: Date;
  readonly limit?: number;
}

/** The options that say which dead letters are meant. */
export function withFilters(command: Command): Command {
  return command
    .option("-g, --group <group>", "of this group", nonEmpty)
    .option("--topic <pattern>", "of topics that match", nonEmpty)
    .option("--error <text>", "the reason's code or name, or a part of its message", nonEmpty)
    .option("--before <date>", "failed before", time)
    .option("--after <date>", "failed after", time)
    .option("--limit <n>", "at most this many", wholeNumber(1));
}

export function queryOf({ group, topic, error, before, after, limit }: FilterFlags): DeadLetterQuery {
  return { group, topic, error, before, after, limit };
}

/** One letter, those that a filter takes, or (said with --all) every one; a filter left out by mistake takes nothing. */
export function chosen(
  id: string | undefined,
  flags: FilterFlags & { readonly all?: boolean },
): string | DeadLetterQuery {
  const query = queryOf(flags);
  const { limit, ...filters } = query;
  const filtered = Object.values(filters).some((value) => value !== undefined);
  if (id !== undefined) {
    if (filtered || limit !== undefined || flags.all === true)
      throw new UsageError("an id names one dead letter: leave the other options out.");
    if (id.trim() === "") throw new UsageError("the id is empty.");
    return id;
  }
  if (filtered && flags.all === true)
    throw new UsageError("--all means every dead letter: leave the filters or --all out.");
  if (!filtered && flags.all !== true)
    throw new UsageError("which ones? Give an id, a filter such as --group, or --all.");
  return query;
}

/** The sentence for an id that names none. */
export function noDeadLetter(id: string): string {
  return `BUS_NOT_FOUND: there is no dead letter ${id}.`;
}
