import { InvalidArgumentError } from "commander";

/** A whole number from `min` on. */
export function wholeNumber(min: number, max: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^[+-]?\d+$/u.test(text) ? Number(text) : Number.NaN;
    if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(
      max === Number.MAX_SAFE_INTEGER
        ? `It must be a whole number from ${min}.`
        : `It must be a whole number from ${min} to ${max}.`,
    );
  };
}

/** A number above 0. */
export function positiveNumber(text: string): number {
  const value = /^\d+(?:\.\d+)?$/u.test(text) ? Number(text) : Number.NaN;
  if (value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError("It must be a number above 0.");
}

/** A point in time: `2030-01-31`, `2030-01-31T12:00:00Z`. */
export function time(text: string): Date {
  const value = new Date(/^\d{4}-\d\d-\d\d/u.test(text) ? text : Number.NaN);
  if (!Number.isNaN(value.getTime())) return value;
  throw new InvalidArgumentError("It must be a date such as 2030-01-31 or 2030-01-31T12:00:00Z.");
}

/** Where a new group starts. */
export function start(text: string): "oldest" | "newest" | Date {
  if (text === "oldest" || text === "newest") return text;
  try {
    return time(text);
  } catch {
    throw new InvalidArgumentError("It must be oldest, newest or a date such as 2030-01-31T12:00:00Z.");
  }
}

/** Not empty. */
export function nonEmpty(text: string): string {
  if (text.trim() !== "") return text;
  throw new InvalidArgumentError("It must not be empty.");
}
