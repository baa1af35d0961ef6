import fc from "fast-check";
import { expect, it } from "vitest";
import { escapeText, unescapeText } from "./text-escape.ts";

const anyText = fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)) });

it("gives every text back, as one that the server takes and keeps as it is", () => {
  fc.assert(
    fc.property(fc.oneof(anyText, fc.string(), fc.constantFrom('"', '""', "\0", '"a"', "\ud800", "\udc00")), (text) => {
      const stored = escapeText(text);
      expect(stored.includes("\0")).toBe(false);
      expect(Buffer.from(stored).toString()).toBe(stored);
      expect(unescapeText(stored)).toBe(text);
    }),
  );
});

it("leaves alone what needs no escape", () => {
  expect(["order-1", "", "größe 😀"].map(escapeText)).toEqual(["order-1", "", "größe 😀"]);
});
