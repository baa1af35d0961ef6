import type { DeadLetter } from "../index.ts";
import { eventJson } from "./event-line.ts";

/** A dead letter as plain data; `raw` (base64), the stack and the history only when one is looked at. */
export function deadLetterJson(letter: DeadLetter, whole = false): Record<string, unknown> {
  const { event, raw, reason, history, ...rest } = letter;
  const { stack, ...said } = reason;
  return {
    ...rest,
    reason: whole ? { ...said, stack } : said,
    event: event === undefined ? undefined : eventJson(event),
    ...(whole ? { history, raw } : {}),
  };
}
