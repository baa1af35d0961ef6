import { CloudEvent } from "cloudevents";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { attributeProblem, sourceProblem, validateAttribute, validateSource } from "./attribute.ts";

describe("attributeProblem", () => {
  it.each(["a", "o-1", "order 7: übergroß 😀", "x".repeat(255), "__proto__", "a, b", "cafe\u0301"])(
    "takes %j",
    (text) => {
      expect(attributeProblem(text)).toBeUndefined();
    },
  );

  it.each([
    ["", "it is empty"],
    ["x".repeat(256), "it is longer than 255 bytes"],
    ["😀".repeat(64), "it is longer than 255 bytes"],
    ["a\r\nb", "U+000D at position 2: a control character"],
    ["a\0", "U+0000 at position 2: a control character"],
    ["\u007f", "U+007F at position 1: a control character"],
    ["\u0085", "U+0085 at position 1: a control character"],
    ["a\u2028", "U+2028 at position 2: a control character"],
    ["a\u202eb", "U+202E at position 2: a control character"],
    ["a\ud800", "it has half a surrogate pair"],
  ])("refuses %j", (text, problem) => {
    expect(attributeProblem(text)).toBe(problem);
  });
});

describe("sourceProblem", () => {
  it.each(["shop", "@acme/shop", "https://shop.example/eu?x=1#top", "urn:shop:1", "/a%20b", "a.b~c", "//host:1/x"])(
    "takes the URI-reference %s",
    (source) => {
      expect(sourceProblem(source)).toBeUndefined();
    },
  );

  it.each(["my shop", "größe", "100%", "a%2", "1a:b", "a#b#c", "<x>", 'a"b', "#"])("refuses %s", (source) => {
    expect(sourceProblem(source)).toContain("URI-reference");
  });

  it("takes nothing that CloudEvents refuses", () => {
    const unit = fc.constantFrom(...Array.from("aZ09-._~:/?#@!$&'()*+,;=% \"<>[]ü"));
    fc.assert(
      fc.property(fc.string({ unit, minLength: 1 }), (source) => {
        if (sourceProblem(source) !== undefined) return;
        expect(new CloudEvent({ id: "1", type: "t", source }, true).source).toBe(source);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("validateAttribute and validateSource", () => {
  it("name the thing and the kind, and never repeat the value", () => {
    expect(() => validateAttribute("key", 7)).toThrow("invalid key: it must be a string, not a number");
    expect(() => validateAttribute("id", "secret\n")).toThrow("invalid id: U+000A at position 7: a control character");
    expect(() => validateSource("bus name", "my secret")).toThrow(
      /^invalid bus name: it must be a URI-reference(?!.*secret)/,
    );
    expect(() => validateAttribute("key", null)).toThrow(expect.objectContaining({ code: "BUS_INVALID_OPTION" }));
  });

  it("give back what is right", () => {
    expect([validateAttribute("key", "o-1"), validateSource("source", "shop")]).toEqual(["o-1", "shop"]);
  });
});
