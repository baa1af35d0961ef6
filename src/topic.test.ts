import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BusError } from "./errors.ts";
import { tokenProblem, validateName, validatePattern, validateTopic } from "./topic.ts";

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return error instanceof BusError ? `${error.code} ${error.message}` : `not ours: ${String(error)}`;
  }
  return "accepted";
}
const ofTopic = (topic: unknown): string => refusal(() => validateTopic(topic));
const ofPattern = (pattern: unknown): string => refusal(() => validatePattern(pattern));

const notStrings: readonly unknown[] = [undefined, null, 7, {}, ["a"], Symbol("a"), true];
const unsafeCharacters = [
  " ", "\t", "\r", "\n", "\0", "\v", "\u001b", "\u007f", "\u0085", "\u00a0", "\u00ad", "\u200b", "\u200d", "\u2028", "\u202e", "\u2066",
  "\u3164", "\ufe0f", "\ufeff", "\ud800", "\udc00", "😀", "/", "\\", ":", "{", "}", "#", "$", "+", "@", "=", "%", "'", '"', "`", ";", "<", ",", "!",
]; // prettier-ignore

describe("validateTopic", () => {
  it.each([
    "orders",
    "orders.eu.placed",
    "a-b.c_d",
    "A.a.0",
    "a.-5",
    "_x",
    "größe.日本.ελ",
    "amqp.x",
    "x.amq",
    "a._INBOX",
  ])("accepts %s", (topic) => {
    expect(validateTopic(topic)).toBe(topic);
    expect(validateTopic(topic)).toBe(topic);
  });

  it("accepts the names of prototypes as plain words", () => {
    for (const word of ["__proto__", "constructor", "toString", "hasOwnProperty", "prototype"])
      expect(validateTopic(`${word}.${word}`)).toBe(`${word}.${word}`);
  });

  it.each(notStrings)("refuses what is no string: %o", (topic) => {
    expect(ofTopic(topic)).toMatch(/^BUS_INVALID_TOPIC invalid topic: it must be a string, not /);
  });

  it.each([
    ["", "it is empty"],
    [".a", "empty token at position 1"],
    ["a..b", "empty token at position 3"],
    ["a.", "empty token at position 3"],
    ["*", 'wildcard "*" at position 1'],
    ["a.>", 'wildcard ">" at position 3'],
    ["a*b", 'wildcard "*" at position 2'],
    ["-a", '"-" at position 1: it would be read as an option'],
    ["a b", "a space at position 2: a token has letters, digits, - and _ only"],
    ["a/b", '"/" at position 2: a token has letters, digits, - and _ only'],
  ])("says what is wrong with %j", (topic, problem) => {
    expect(ofTopic(topic)).toBe(`BUS_INVALID_TOPIC invalid topic "${topic}": ${problem}`);
  });

  it("refuses every character that a broker, a terminal, a path or a reader could take for something else", () => {
    const accepted = unsafeCharacters.filter((character) => ofTopic(`a${character}b`) === "accepted");
    expect(accepted).toEqual([]);
  });

  it("never repeats what is no printable ASCII", () => {
    expect(ofTopic("a\r\nPUB x 0\u001b[2J\u202e")).toBe(
      'BUS_INVALID_TOPIC invalid topic "a??PUB x 0?[2J?": U+000D at position 2: a token has letters, digits, - and _ only',
    );
  });

  it.each(["_INBOX.x", "amq.direct", "amq", "__consumer_offsets", "__transaction_state.x"])(
    "leaves %s to the broker",
    (topic) => {
      expect(ofTopic(topic)).toContain("is reserved for the broker");
      expect(ofPattern(topic)).toContain("is reserved for the broker");
    },
  );

  it("keeps case apart, and refuses what only looks the same", () => {
    expect(validateTopic("Order")).not.toBe(validateTopic("order"));
    expect(ofTopic("caf\u00e9")).toBe("accepted");
    expect(ofTopic("cafe\u0301")).toContain("normal form NFC");
    expect(ofTopic("a.\u0301b")).toContain("U+0301 at position 3");
  });

  it("takes 16 tokens and 255 bytes, no more", () => {
    const tokens = (count: number): string => Array.from({ length: count }, () => "a").join(".");
    expect(ofTopic(tokens(16))).toBe("accepted");
    expect(ofTopic(tokens(17))).toContain("17 tokens, the limit is 16");
    expect(ofTopic("a".repeat(255))).toBe("accepted");
    expect(ofTopic("a".repeat(256))).toContain("longer than 255 bytes");
    expect(ofTopic("é".repeat(127))).toBe("accepted");
    expect(ofTopic("é".repeat(128))).toContain("longer than 255 bytes");
    expect(ofTopic("a".repeat(1_000_000))).toHaveLength(
      "BUS_INVALID_TOPIC invalid topic : it is longer than 255 bytes".length + 62,
    );
  });

  it("still refuses the same topic when it comes again, and after many others", () => {
    for (let index = 0; index < 10_000; index += 1) validateTopic(`t.${index}`);
    expect([ofTopic("a b"), ofTopic("a b")].filter((each) => each === "accepted")).toEqual([]);
    expect(ofTopic("t.1")).toBe("accepted");
  });

  it("accepts nothing that could split, glob or leave the bytes", () => {
    const strange = fc.string({
      unit: fc.oneof(fc.constantFrom("a", ".", "-", "*", ">", " ", "é"), fc.string({ unit: "binary", maxLength: 1 })),
    });
    fc.assert(
      fc.property(strange, (topic) => {
        if (ofTopic(topic) !== "accepted") return;
        expect(Buffer.from(topic).toString()).toBe(topic);
        expect(topic).toMatch(/^(?!-)(?:[\p{L}\p{N}\p{M}_-]+\.)*[\p{L}\p{N}\p{M}_-]+$/u);
        expect(topic.split(".").map(tokenProblem)).toEqual(topic.split(".").map(() => undefined));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("validatePattern", () => {
  it.each([">", "*", "a.*", "a.>", "*.b.>", "a.*.c", "orders.eu.placed"])("accepts %s", (pattern) => {
    expect(validatePattern(pattern)).toBe(pattern);
  });

  it.each([
    ["a.>.b", '">" at position 3 is not the last token'],
    ["a*b", '"*" at position 2 is not a token of its own'],
    ["a.b*", '"*" at position 4 is not a token of its own'],
    ["*a", '"*" at position 1 is not a token of its own'],
    ["**", '"*" at position 1 is not a token of its own'],
    [">>", '">" at position 1 is not a token of its own'],
    ["a.#", '"#" at position 3: a token has letters, digits, - and _ only'],
    ["a..>", "empty token at position 3"],
    ["", "it is empty"],
  ])("says what is wrong with %j", (pattern, problem) => {
    expect(ofPattern(pattern)).toBe(`BUS_INVALID_TOPIC invalid pattern "${pattern}": ${problem}`);
  });

  it.each(notStrings)("refuses what is no string: %o", (pattern) => {
    expect(ofPattern(pattern)).toContain("invalid pattern: it must be a string, not ");
  });

  it("does not let a pattern pass as a topic because it was valid as a pattern", () => {
    expect([ofPattern("x.*"), ofTopic("x.*") === "accepted"]).toEqual(["accepted", false]);
  });
});

describe("validateName", () => {
  it.each(["shipping", "a", "A-1_b", "__proto__", "constructor", "0", "x".repeat(100)])("accepts %s", (name) => {
    expect(validateName("group", name)).toBe(name);
  });

  it.each([
    ["", "it is empty"],
    ["x".repeat(101), "it is longer than 100 characters"],
    ["a.b", '"." at position 2'],
    ["-a", '"-" at position 1'],
    ["a b", "a space at position 2"],
    ["é", "U+00E9 at position 1"],
    ["a\nb", "U+000A at position 2"],
    ["a😀", "U+1F600 at position 2"],
    ["*", '"*" at position 1'],
  ])("refuses %j", (name, problem) => {
    const text = refusal(() => validateName("group", name));
    expect(text.startsWith(`BUS_INVALID_OPTION invalid group name: ${problem}`)).toBe(true);
  });

  it.each(notStrings)("refuses what is no string: %o", (name) => {
    expect(refusal(() => validateName("stream", name))).toContain("invalid stream name: it must be a string, not ");
  });
});

describe("tokenProblem", () => {
  it("lets no value become two tokens, a wildcard or another character", () => {
    expect(["x.y", "*", ">", "", "a b", "a\n", "{x}", "#"].map(tokenProblem)).not.toContain(undefined);
    expect(["x", "-5", "true", "12", "é"].map(tokenProblem)).toEqual(Array.from({ length: 5 }, () => undefined));
  });

  it("does not repeat the value", () => {
    expect(tokenProblem("secret/secret")).not.toContain("secret");
  });
});
