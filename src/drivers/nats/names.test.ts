import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { afterTokens, decodeToken, encodeToken, keys, Names } from "./names.ts";

const text = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.string({ unit: fc.constantFrom("a", "Z", "=", ".", "*", ">", " ", "2", "E", "_", "-", "é", "\n", "\0") }),
);
const name = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_-]{0,9}$/);

describe("a token", () => {
  it("is a subject's, and gives its text back", () => {
    fc.assert(
      fc.property(text, (any) => {
        const token = encodeToken(any);
        expect(token).toMatch(/^[\w=-]+$/);
        expect(decodeToken(token)).toBe(any.isWellFormed() ? any : any.toWellFormed());
      }),
    );
  });

  it("of two texts is two", () => {
    fc.assert(
      fc.property(text, text, (one, two) => {
        expect(encodeToken(one) === encodeToken(two)).toBe(one.toWellFormed() === two.toWellFormed());
      }),
    );
  });

  it("that nobody encoded is none", () => {
    for (const token of ["=", "==", "a=", "=2", "=2e", "=2E=", "=FF", "a b", "=61", "é"])
      expect(decodeToken(token)).toBe(token === "=" ? "" : undefined);
  });
});

describe("names", () => {
  it("of two prefixes, streams, groups or ids never meet", () => {
    const of = (prefix: string, a: string, b: string): readonly string[] => {
      const names = new Names(prefix);
      return [
        names.stream(a),
        names.queue,
        names.letters,
        names.notes,
        names.parked,
        names.bucketStream,
        names.queued(a, `${b}.x`),
        names.letter(a, b),
        names.event(a, 3, `${b}.x`),
        names.note(a, b, 7),
        names.letterPiece(`${a}/${b}`),
        names.key(keys.state(a, b)),
        names.key(keys.claim(b)),
        names.key(keys.owner(a, b, 3)),
      ];
    };
    fc.assert(
      fc.property(fc.tuple(name, name, name), fc.tuple(name, name, name), (one, two) => {
        const [left, right] = [of(...one), of(...two)];
        expect(new Set(left).size).toBe(left.length);
        const differ = one[0] !== two[0];
        if (differ) for (const each of left) expect(right).not.toContain(each);
      }),
    );
  });

  it("are read back from what the server says", () => {
    const names = new Names("omnibus");
    expect(names.streamName(names.stream("orders"))).toBe("orders");
    expect(names.streamName("ORDERS")).toBeUndefined();
    expect(names.streamName("omnibus2=s=orders")).toBeUndefined();
    expect(names.keyOf(names.key("m.a"))).toBe("m.a");
    expect(afterTokens(names.event("orders", 3, "a.b"), 4)).toBe("a.b");
    expect(afterTokens("a.b", 2)).toBe("");
  });
});
