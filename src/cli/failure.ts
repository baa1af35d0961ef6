import { CommanderError } from "commander";
import { isBusError } from "../index.ts";
import { printable, printableLines } from "./printable.ts";
import { redact } from "./redact.ts";
import { UsageError } from "./usage-error.ts";

export interface Failure {
  readonly exitCode: number;
  /** For standard error; empty: nothing to say. */
  readonly text: string;
}

function describe(error: unknown): string {
  if (isBusError(error)) return `${error.code}: ${error.message}`;
  return error instanceof Error ? error.message || error.name : String(error);
}

/** What the end of a command by an error means: one line with the code; the stack and the causes if asked for. */
export function failure(
  error: unknown,
  settings: { readonly verbose: boolean; readonly url: string | undefined; readonly state?: string | undefined },
): Failure {
  // Commander has printed its own message, or the help.
  if (error instanceof CommanderError) return { exitCode: error.exitCode === 0 ? 0 : 2, text: "" };
  const clean = (text: string): string => redact(redact(text, settings.url), settings.state);
  if (error instanceof UsageError) return { exitCode: 2, text: `omnibus: ${printable(clean(error.message))}` };
  const lines = [`omnibus: ${printable(clean(describe(error)))}`];
  if (settings.verbose) {
    const seen = new Set<unknown>();
    for (let cause: unknown = error; cause instanceof Error && !seen.has(cause); cause = cause.cause) {
      seen.add(cause);
      lines.push(printableLines(clean(`${seen.size > 1 ? "caused by: " : ""}${cause.stack ?? describe(cause)}`)));
    }
  }
  const misused = isBusError(error) && error.code === "BUS_INVALID_OPTION"; // a url, a name or an option that is none
  return { exitCode: misused ? 2 : 1, text: lines.join("\n") };
}
