const name = /^[a-z0-9!#$%&'*+.^_`|~-]{1,100}$/i; // what HTTP calls a token
const value = /^[\t\x20-\x7e]*$/;
const maxHeaders = 100;

/**
 * What is wrong with headers that somebody else made: a name that is no token of HTTP, a value that is no printable ASCII or
 * begins or ends with blanks (clients trim them), two names that differ in case only, our own prefix, more than 100.
 */
export function headerProblem(headers: readonly (readonly [name: unknown, value: unknown])[]): string | undefined {
  if (headers.length > maxHeaders) return `${headers.length} headers, the limit is ${maxHeaders}`;
  const seen = new Set<string>();
  for (const [index, [each, text]] of headers.entries()) {
    if (typeof each !== "string" || !name.test(each))
      return `header ${index + 1} has a name with characters that headers can't have`;
    const lower = each.toLowerCase();
    if (lower.startsWith("omnibus-")) return `the header "${each}" is the bus's own`;
    if (seen.has(lower)) return `the header "${each}" is there twice`;
    seen.add(lower);
    if (typeof text !== "string") return `the header "${each}" is no string`;
    if (!value.test(text) || text.trim() !== text) return `the header "${each}" has characters that headers can't have`;
  }
  return undefined;
}
