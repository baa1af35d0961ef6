import { BusError } from "./errors.ts";
import { describeCharacter, describeKind } from "./internal/describe.ts";

const maxBytes = 255;
const control = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;
const uriReference =
  /^(?:[a-z][a-z\d+.-]*:|(?![^/?#]*:))(?:[\w.~:/?@!$&'()*+,;=-]|%[\da-f]{2})+(?:#(?:[\w.~:/?@!$&'()*+,;=-]|%[\da-f]{2})*)?$/i;

/** Returns an id, a key, a type or another text beside the data, or throws BUS_INVALID_OPTION: see `attributeProblem`. */
export function validateAttribute(what: string, value: unknown): string {
  return validate(what, value, attributeProblem);
}

/** Returns a `source` (a bus's name is one), or throws BUS_INVALID_OPTION: see `sourceProblem`. */
export function validateSource(what: string, value: unknown): string {
  return validate(what, value, sourceProblem);
}

function validate(what: string, value: unknown, problemOf: (text: string) => string | undefined): string {
  const problem = typeof value === "string" ? problemOf(value) : `it must be a string, not ${describeKind(value)}`;
  if (problem !== undefined) throw new BusError("BUS_INVALID_OPTION", `invalid ${what}: ${problem}`);
  return value as string;
}

/**
 * What is wrong with a text that travels beside the data: 1 to 255 bytes of UTF-8 without control characters, line
 * separators and direction marks. The words do not repeat it. Undefined: nothing.
 */
export function attributeProblem(text: string): string | undefined {
  const { length } = text;
  if (length === 0) return "it is empty";
  if (length > maxBytes) return `it is longer than ${maxBytes} bytes`;
  for (let index = 0; index < length; index += 1) {
    const code = text.charCodeAt(index);
    if (code < 0x20 || code > 0x7e) return unusualProblem(text);
  }
  return undefined;
}

function unusualProblem(text: string): string | undefined {
  const at = text.search(control);
  if (at >= 0) return `${describeCharacter(text.codePointAt(at)!)} at position ${at + 1}: a control character`;
  if (!text.isWellFormed()) return "it has half a surrogate pair";
  return Buffer.byteLength(text) > maxBytes ? `it is longer than ${maxBytes} bytes` : undefined;
}

/** What is wrong with a `source`: a text as above that is a URI-reference too, as CloudEvents demands. `@acme/shop` is one. */
export function sourceProblem(source: string): string | undefined {
  const problem = attributeProblem(source);
  if (problem !== undefined || uriReference.test(source)) return problem;
  return "it must be a URI-reference: letters, digits and -._~:/?#@!$&'()*+,;= (the rest percent-encoded)";
}
