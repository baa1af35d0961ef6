import { UsageError } from "./usage-error.ts";

/** The value, or a sentence that says what is wrong with it without repeating it. */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const at = /position \d+(?: \(line \d+ column \d+\))?/u.exec(cause instanceof Error ? cause.message : "")?.[0];
    const why = text.trim() === "" ? "it is empty" : `it can't be parsed${at === undefined ? "" : ` at ${at}`}`;
    throw new UsageError(`${what} must be JSON: ${why}.`);
  }
}
