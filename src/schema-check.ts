import type { StandardSchemaV1 } from "@standard-schema/spec";
import { ValidationError, type ValidationIssue } from "./errors.ts";
import { pathText } from "./internal/path-text.ts";

const issuesKept = 100;
const issuesNamed = 3;
const leavesLookedAt = 1_000;
const messageLength = 200;
const control = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;
const kinds =
  /^(?:string|number|nan|undefined|null|object|array|boolean|true|false|bigint|symbol|function|date|map|set|missing|an? [a-z]+)$/i;

/**
 * Runs a schema over a value and gives what it makes of it; a promise only where the schema is asynchronous. Throws (or
 * rejects with) `ValidationError`: the path of each issue and what was expected there, never a value. `what` names the thing
 * in the message: `data (orders.placed)`.
 */
export function check<T>(schema: StandardSchemaV1<unknown, T>, value: unknown, what: string): T | Promise<T> {
  let result: StandardSchemaV1.Result<T> | Promise<StandardSchemaV1.Result<T>>;
  try {
    result = schema["~standard"].validate(value);
  } catch (cause) {
    throw schemaFailed(what, cause);
  }
  if (typeof (result as Partial<Promise<unknown>> | undefined)?.then !== "function")
    return outcome(result as StandardSchemaV1.Result<T>, value, what);
  return Promise.resolve(result).then(
    (settled) => outcome(settled, value, what),
    (cause: unknown) => {
      throw schemaFailed(what, cause);
    },
  );
}

function outcome<T>(result: StandardSchemaV1.Result<T>, value: unknown, what: string): T {
  if (result.issues === undefined) return result.value;
  const all = [...result.issues];
  const issues = all.slice(0, issuesKept).map((issue) => withoutValues(issue, value));
  const named = issues.slice(0, issuesNamed).map(({ path, message }) => {
    return path.length === 0 ? message : `${pathText(path)}: ${message}`;
  });
  const more = all.length > issuesNamed ? `; and ${all.length - issuesNamed} more` : "";
  throw new ValidationError(`invalid ${what}: ${named.join("; ")}${more}`, issues);
}

const schemaFailed = (what: string, cause: unknown): ValidationError =>
  new ValidationError(`invalid ${what}: the schema itself failed`, [], { cause });

function withoutValues(issue: StandardSchemaV1.Issue, value: unknown): ValidationIssue {
  const path: PropertyKey[] = [];
  for (const step of issue.path ?? []) path.push(typeof step === "object" ? step.key : step);
  return { path, message: scrubbed(issue.message, at(value, path)).slice(0, messageLength).replaceAll(control, " ") };
}

/**
 * What a library says, without what it was given: valibot ends its sentences with "received <value>", arktype with
 * "(was <value>)", and the author of a schema may put the value anywhere.
 */
function scrubbed(message: string, value: unknown): string {
  let text = message.replace(/ \(was ([^)]*)[\s\S]*$/, (all: string, was: string) =>
    kinds.test(was) ? ` (was ${was})` : "",
  );
  const received = /[:,]?(?: but)? received (.*)$/is.exec(text);
  if (received !== null && !kinds.test(received[1]!)) text = text.slice(0, received.index);
  for (const leaf of leaves(value)) text = text.replaceAll(leaf, "…");
  return text;
}

function at(value: unknown, path: readonly PropertyKey[]): unknown {
  try {
    let found = value;
    for (const key of path) found = (found as Readonly<Record<PropertyKey, unknown>> | null | undefined)?.[key];
    return found;
  } catch {
    return undefined;
  }
}

/** The texts of what stands in a value, those long enough to give something away. */
function leaves(value: unknown): ReadonlySet<string> {
  const found = new Set<string>();
  const waiting: unknown[] = [value];
  for (let looked = 0; waiting.length > 0 && looked < leavesLookedAt; looked += 1) {
    const each = waiting.pop();
    if (typeof each === "string" || typeof each === "number" || typeof each === "bigint") {
      const text = String(each);
      if (text.length > 2) found.add(text);
    } else if (typeof each === "object" && each !== null) {
      try {
        waiting.push(...Object.values(each).slice(0, leavesLookedAt));
      } catch {
        // A getter or a proxy that throws gives nothing away.
      }
    }
  }
  return found;
}
