import { BusError } from "./errors.ts";
import { describeCharacter, describeKind } from "./internal/describe.ts";
import { printable } from "./option-check.ts";

const maxTokens = 16;
const maxBytes = 255;
const tooLong = `it is longer than ${maxBytes} bytes`;
const cacheLimit = 16_384;
const validTopics = new Set<string>();
const validPatterns = new Set<string>();

/** First tokens that brokers keep for themselves; `$SYS`, `$JS` and `$KV` have a character that no token has. */
const reserved: ReadonlySet<string> = new Set([
  "_INBOX",
  "amq",
  "__cluster_metadata",
  "__consumer_offsets",
  "__share_group_state",
  "__transaction_state",
]);
const letter = /^(?!\p{Default_Ignorable_Code_Point})[\p{L}\p{N}\p{M}]$/u;
const mark = /^\p{M}$/u;
const plainName = /^[a-z0-9_][a-z0-9_-]{0,99}$/i;

/**
 * Returns the topic, or throws BUS_INVALID_TOPIC with what is wrong and where.
 *
 *     topic = token *15( "." token )               at most 16 tokens and 255 bytes of UTF-8
 *     token = 1*( letter / digit / "-" / "_" )
 *
 * Letters and digits of every script, with their combining marks, in normal form NFC; case counts. A topic does not begin
 * with `-`, and its first token is none that a broker keeps for itself (`_INBOX`, `amq`, `__consumer_offsets`, …).
 */
export function validateTopic(topic: unknown): string {
  return validTopics.has(topic as string) ? (topic as string) : validate("topic", topic, validTopics);
}

/**
 * Returns the pattern, or throws BUS_INVALID_TOPIC. A pattern is a topic in which whole tokens may be `*` (exactly one token)
 * and the last one `>` (one token or more).
 */
export function validatePattern(pattern: unknown): string {
  return validPatterns.has(pattern as string) ? (pattern as string) : validate("pattern", pattern, validPatterns);
}

/**
 * Returns the name of a group, a stream or a prefix, or throws BUS_INVALID_OPTION. Names become part of names at the broker,
 * so they are what all seven take unchanged: 1 to 100 ASCII letters, digits, `-` and `_`, not beginning with `-`.
 */
export function validateName(what: string, name: unknown): string {
  const problem = typeof name === "string" ? nameProblem(name) : `it must be a string, not ${describeKind(name)}`;
  if (problem === undefined) return name as string;
  throw new BusError("BUS_INVALID_OPTION", `invalid ${what} name: ${problem}`);
}

/** What is wrong with a value that is to be one token of a topic; the words do not repeat it. Undefined: nothing. */
export function tokenProblem(token: string): string | undefined {
  if (token === "") return "is empty";
  if (token === "*" || token === ">") return "is a wildcard";
  if (token.includes(".")) return "has a dot, which would make several tokens of it";
  if (charactersProblem(token, false) === undefined) return undefined;
  return "is no token: letters, digits, - and _ only, in normal form NFC, at most 255 bytes";
}

function validate(what: "topic" | "pattern", topic: unknown, valid: Set<string>): string {
  if (typeof topic !== "string")
    throw new BusError("BUS_INVALID_TOPIC", `invalid ${what}: it must be a string, not ${describeKind(topic)}`);
  const problem = topicProblem(topic, what === "pattern");
  if (problem !== undefined)
    throw new BusError("BUS_INVALID_TOPIC", `invalid ${what} "${printable(topic)}": ${problem}`);
  if (valid.size >= cacheLimit) valid.clear();
  valid.add(topic);
  return topic;
}

/** What is wrong with a topic; no more of it is repeated than one character or a reserved word. */
export function topicProblem(topic: string, wildcards = false): string | undefined {
  return charactersProblem(topic, wildcards) ?? tokensProblem(topic);
}

function charactersProblem(topic: string, wildcards: boolean): string | undefined {
  const { length } = topic;
  if (length === 0) return "it is empty";
  if (length > maxBytes) return tooLong;
  let start = 0;
  let ascii = true;
  for (let index = 0; index < length; index += 1) {
    const code = topic.charCodeAt(index);
    if (isPlain(code)) continue;
    if (code === 0x2e) {
      if (index === start) return `empty token at position ${index + 1}`;
      start = index + 1;
    } else if (code === 0x2a || code === 0x3e) {
      if (!wildcards) return `wildcard "${String.fromCharCode(code)}" at position ${index + 1}`;
      const problem = wildcardProblem(topic, index, index === start);
      if (problem !== undefined) return problem;
    } else {
      const point = topic.codePointAt(index)!;
      const character = String.fromCodePoint(point);
      if (code < 0x80 || !letter.test(character) || (index === start && mark.test(character)))
        return `${describeCharacter(point)} at position ${index + 1}: a token has letters, digits, - and _ only`;
      if (point > 0xffff) index += 1;
      ascii = false;
    }
  }
  if (start === length) return `empty token at position ${length + 1}`;
  if (ascii) return undefined;
  if (Buffer.byteLength(topic) > maxBytes) return tooLong;
  return topic.normalize("NFC") === topic ? undefined : "it is not in Unicode normal form NFC";
}

const isPlain = (code: number): boolean =>
  (code >= 0x61 && code <= 0x7a) ||
  (code >= 0x30 && code <= 0x39) ||
  (code >= 0x41 && code <= 0x5a) ||
  code === 0x5f ||
  code === 0x2d;

function wildcardProblem(pattern: string, index: number, first: boolean): string | undefined {
  const wildcard = pattern[index]!;
  const next = pattern[index + 1];
  if (!first || (next !== undefined && next !== "."))
    return `"${wildcard}" at position ${index + 1} is not a token of its own`;
  return wildcard === ">" && next !== undefined ? `">" at position ${index + 1} is not the last token` : undefined;
}

function tokensProblem(topic: string): string | undefined {
  const tokens = topic.split(".");
  if (tokens.length > maxTokens) return `it has ${tokens.length} tokens, the limit is ${maxTokens}`;
  if (topic.startsWith("-")) return `"-" at position 1: it would be read as an option`;
  return reserved.has(tokens[0]!) ? `"${tokens[0]}" is reserved for the broker` : undefined;
}

function nameProblem(text: string): string | undefined {
  if (plainName.test(text)) return undefined;
  if (text === "") return "it is empty";
  if (text.length > 100) return "it is longer than 100 characters";
  const at = text.startsWith("-") ? 0 : text.search(/[^a-z0-9_-]/i);
  return `${describeCharacter(text.codePointAt(at)!)} at position ${at + 1}: a name has ASCII letters, digits, - and _ only, and does not begin with -`;
}
