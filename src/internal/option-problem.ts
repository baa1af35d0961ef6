/** What is wrong with a value, in words; undefined: nothing. */
export type Kind = (value: unknown) => string | undefined;

/** A finite number from `min` to `max`; the words say what it wanted. */
export const number =
  (min: number, max: number = Number.MAX_SAFE_INTEGER): Kind =>
  (value) =>
    typeof value === "number" && value >= min && value <= max
      ? undefined
      : `must be a number from ${min} to ${max === Number.MAX_SAFE_INTEGER ? "2^53" : max}`;
export const integer =
  (min: number, max: number = Number.MAX_SAFE_INTEGER): Kind =>
  (value) =>
    Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max
      ? undefined
      : `must be a whole number from ${min} to ${max === Number.MAX_SAFE_INTEGER ? "2^53" : max}`;
/** A wait or a limit: milliseconds, up to 24 days where a timer carries it. */
export const milliseconds: Kind = number(0, 365 * 24 * 3_600_000);
export const oneOf =
  (...values: readonly unknown[]): Kind =>
  (value) =>
    values.includes(value) ? undefined : `must be one of ${values.map((each) => JSON.stringify(each)).join(", ")}`;
export const text: Kind = (value) =>
  typeof value === "string" && value.length > 0 ? undefined : "must be a string that is not empty";
export const boolean: Kind = (value) => (typeof value === "boolean" ? undefined : "must be true or false");
export const date: Kind = (value) =>
  value instanceof Date && !Number.isNaN(value.getTime()) ? undefined : "must be a valid Date";
export const callable: Kind = (value) => (typeof value === "function" ? undefined : "must be a function");
export const abortSignal: Kind = (value) => (value instanceof AbortSignal ? undefined : "must be an AbortSignal");
export const record: Kind = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? undefined : "must be an object";
export const list: Kind = (value) => (Array.isArray(value) ? undefined : "must be a list");
export const any: Kind = () => undefined;
export const either =
  (...kinds: readonly Kind[]): Kind =>
  (value) => {
    const problems = kinds.map((kind) => kind(value));
    return problems.includes(undefined) ? undefined : problems.join(", or ");
  };

export type Shape = Readonly<Record<string, Kind>>;

/** Where there are more, a message doesn't list them. */
const listed = 12;

/**
 * What is wrong with the options, in the one form for all of them, or undefined: an unknown key, with the nearest known one or,
 * of a few, all; a value out of range. `where` names the object in the message. Undefined values pass, as if they were not there.
 */
export function optionProblem(where: string, options: unknown, shape: Shape): string | undefined {
  if (options === undefined) return undefined;
  if (typeof options !== "object" || options === null || Array.isArray(options)) return `${where} must be an object`;
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const kind = Object.hasOwn(shape, key) ? shape[key] : undefined;
    if (kind === undefined) return `${where} has no option "${printable(key)}"${suggestion(key, Object.keys(shape))}`;
    const problem = kind(value);
    if (problem !== undefined) return `${where}: "${key}" ${problem}`;
  }
  return undefined;
}

function suggestion(key: string, known: readonly string[]): string {
  const near = nearest(key, known);
  if (near !== undefined) return `; did you mean "${near}"?`;
  return known.length > listed ? "" : `; there are ${known.map((each) => `"${each}"`).join(", ")}`;
}

export const printable = (value: string): string => value.slice(0, 60).replaceAll(/[^\x20-\x7e]/g, "?");

/** The one of `known` that begins with it, or is at most two edits away (three of a longer word), if there is one. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = word.length > 5 ? 4 : 3;
  const wanted = word.toLowerCase();
  for (const each of known) {
    const distance = distanceOf(wanted, each.toLowerCase());
    if (distance < bestDistance) {
      best = each;
      bestDistance = distance;
    }
  }
  return best;
}

function distanceOf(word: string, known: string): number {
  if (word.length > 2 && known.startsWith(word)) return 1;
  return Math.abs(known.length - word.length) > 3 || word.length > 60 ? 4 : edits(word, known);
}

function edits(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= right.length; j += 1) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (left[i - 1] === right[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[right.length]!;
}
