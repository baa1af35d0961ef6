import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BusError, ValidationError } from "./errors.ts";
import { parseStrict, stringifyStrict } from "./json.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const nested = (depth: number): unknown => {
  let value: unknown = "x";
  for (let index = 0; index < depth; index += 1) value = index % 2 === 0 ? [value] : { a: value };
  return value;
};
function refusal(data: unknown): string {
  try {
    return `accepted ${stringifyStrict(data, "data (t)")}`;
  } catch (error) {
    return error instanceof ValidationError ? error.message : `not ours: ${String(error)}`;
  }
}
function unreadable(text: string | Uint8Array): string {
  try {
    return `accepted ${JSON.stringify(parseStrict(typeof text === "string" ? bytes(text) : text))}`;
  } catch (error) {
    return error instanceof BusError && error.code === "BUS_UNDECODABLE" ? error.message : `not ours: ${String(error)}`;
  }
}
class Point {
  readonly x = 1;
}

describe("stringifyStrict", () => {
  it("writes what JSON.stringify writes of what JSON can hold", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8, noUnicodeString: false }), (value) => {
        if (JSON.stringify(value).includes("__proto__")) return;
        expect(JSON.parse(stringifyStrict(value, "data"))).toEqual(value);
      }),
      { numRuns: 1_000 },
    );
    const plain = { a: [1, -2.5, 1e21, 1e-7, true, null, ""], b: { c: 'é"\\\n\u2028😀', "": {}, "d e": [] } };
    expect(stringifyStrict(plain, "data")).toBe(JSON.stringify(plain));
  });

  it("writes strings of every length and kind", () => {
    for (const length of [0, 1, 63, 64, 65, 20_000, 70_000]) {
      for (const unit of ["x", "é", '"', "\u0001", "😀"]) {
        const text = unit.repeat(length);
        expect(JSON.parse(stringifyStrict([text, text], "data"))).toEqual([text, text]);
      }
    }
  });

  it("leaves out what is undefined, hidden or keyed by a symbol", () => {
    const data = Object.defineProperty({ a: 1, b: undefined, [Symbol("s")]: 2 }, "hidden", { value: 3 });
    expect(stringifyStrict(data, "data")).toBe('{"a":1}');
    expect(stringifyStrict({ a: undefined }, "data")).toBe("{}");
  });

  it("keeps -0, which JSON.stringify does not", () => {
    expect(stringifyStrict([-0, 0], "data")).toBe("[-0,0]");
    expect(parseStrict(bytes("-0"))).toBe(-0);
  });

  it("takes objects without a prototype and from other realms", () => {
    expect(stringifyStrict(Object.assign(Object.create(null), { a: 1 }), "data")).toBe('{"a":1}');
    expect(stringifyStrict(runInNewContext("({ a: [1, { b: 2 }] })"), "data")).toBe('{"a":[1,{"b":2}]}');
  });

  it("takes the names of prototypes as keys, but __proto__", () => {
    expect(stringifyStrict({ constructor: 1, toString: "x", hasOwnProperty: null }, "data")).toBe(
      '{"constructor":1,"toString":"x","hasOwnProperty":null}',
    );
    expect(refusal(JSON.parse('{"a":{"b":1},"c":[{"__proto__":{"admin":true}}]}'))).toBe(
      'invalid data (t): c[0]: the key "__proto__", which readers refuse',
    );
  });

  it.each([
    [undefined, "undefined, which JSON has no word for; publish null, or leave the property out"],
    [() => 1, "a function"],
    [Symbol("s"), "a symbol"],
    [7n, "a bigint; publish String(value), and let the schema turn it back"],
    [Number.NaN, "NaN, which JSON has no number for; publish null or a string"],
    [Infinity, "Infinity, which JSON has no number for; publish null or a string"],
    [-Infinity, "-Infinity, which JSON has no number for; publish null or a string"],
    [new Date(0), "a Date; publish its toISOString(), and let the schema turn it back"],
    [new Date(Number.NaN), "a Date; publish its toISOString(), and let the schema turn it back"],
    [new Map(), "a Map; publish Object.fromEntries(map) or [...map]"],
    [new Set(), "a Set; publish [...set]"],
    [/x/, "a RegExp; publish its source"],
    [new TypeError("x"), "an Error; publish what readers need of it: { name, message }"],
    [new Point(), "an instance of Point; publish a plain object: { ...value }"],
    [new URL("https://x.example"), "an instance of URL; publish what its toJSON() gives"],
    [new (class {})(), "no plain object; publish a plain object: { ...value }"],
    [Object("x"), "an instance of String; publish a plain object: { ...value }"],
    [Promise.resolve(1), "an instance of Promise; publish a plain object: { ...value }"],
    [new Uint8Array(2), "bytes inside other data; publish them as a whole, or as a base64 string"],
    [Buffer.from("x"), "bytes inside other data; publish them as a whole, or as a base64 string"],
    [new Float64Array(2), "bytes inside other data; publish them as a whole, or as a base64 string"],
    [new DataView(new ArrayBuffer(2)), "bytes inside other data; publish them as a whole, or as a base64 string"],
    [new ArrayBuffer(2), "bytes inside other data; publish them as a whole, or as a base64 string"],
    [new SharedArrayBuffer(2), "bytes inside other data; publish them as a whole, or as a base64 string"],
    ["a\ud800", "half a surrogate pair, which UTF-8 can't hold"],
    ["\udc00".repeat(100), "half a surrogate pair, which UTF-8 can't hold"],
  ])("refuses %o by its path and says what to do", (value, why) => {
    expect(refusal(value)).toBe(`invalid data (t): ${why}`);
    expect(refusal({ first: { deep: [1] }, list: [{}, [0, value]] })).toBe(`invalid data (t): list[1][1]: ${why}`);
  });

  it("gives the path and why, too, for machines", () => {
    expect(() => stringifyStrict({ list: [{ total: Number.NaN }] }, "data")).toThrow(
      expect.objectContaining({
        issues: [
          { path: ["list", 0, "total"], message: "NaN, which JSON has no number for; publish null or a string" },
        ],
      }),
    );
  });

  it("does not ask toJSON, which could change, drop or throw", () => {
    expect(refusal({ a: { toJSON: () => undefined } })).toBe("invalid data (t): a.toJSON: a function");
  });

  it("refuses holes and undefined in arrays", () => {
    // oxlint-disable-next-line no-sparse-arrays -- that is what is tested
    expect(refusal([1, , 3])).toContain("[1]: undefined");
  });

  it("nests 64 deep, no deeper, and says which cycle there is", () => {
    expect(refusal(nested(64))).toMatch(/^accepted/);
    expect(refusal(nested(65))).toMatch(/^invalid data \(t\): (?:a?\[0\](?:\.a)?)+.*: nested deeper than 64$/);
    expect(refusal(nested(20_000))).toContain("nested deeper than 64");
    const cycle: Record<string, unknown> = { name: "x" };
    cycle["list"] = [{ back: cycle }];
    expect(refusal({ start: cycle })).toBe("invalid data (t): start.list[0].back: a cycle: it contains itself");
  });

  it("wraps what a getter or a proxy throws, with the cause", () => {
    const cause = new Error("boom");
    const fail = (): never => {
      throw cause;
    };
    const getter = Object.defineProperty({}, "x", { get: fail, enumerable: true });
    for (const data of [getter, new Proxy({}, { ownKeys: fail }), new Proxy([], { get: fail })])
      expect(() => stringifyStrict(data, "data (t)")).toThrow(
        expect.objectContaining({ code: "BUS_INVALID_DATA", message: "invalid data (t): reading it failed", cause }),
      );
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    expect(refusal(proxy)).toBe("invalid data (t): reading it failed");
  });

  it("reads each property once", () => {
    let reads = 0;
    const data = {
      get n() {
        reads += 1;
        return reads === 1 ? 1 : Number.NaN;
      },
    };
    expect(stringifyStrict(data, "data")).toBe('{"n":1}');
    expect(reads).toBe(1);
  });

  it("can be called from a getter of what is being written", () => {
    const data = {
      before: "x",
      get inner() {
        return stringifyStrict({ deep: [1, 2] }, "inner");
      },
      after: "y",
    };
    expect(JSON.parse(stringifyStrict(data, "data"))).toEqual({ before: "x", inner: '{"deep":[1,2]}', after: "y" });
  });

  it("knows more keys than it remembers", () => {
    const data = Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`k${index}`, index]));
    expect(JSON.parse(stringifyStrict(data, "data"))).toEqual(data);
    expect(JSON.parse(stringifyStrict({ ["k".repeat(300)]: 1, "é\n": 2 }, "data"))).toEqual({
      ["k".repeat(300)]: 1,
      "é\n": 2,
    });
    expect(refusal({ "\ud800": 1 })).toBe("invalid data (t): a key with half a surrogate pair");
  });

  it("works where Object.prototype was polluted", () => {
    Object.defineProperty(Object.prototype, "polluted", {
      value: 1,
      enumerable: true,
      configurable: true,
      writable: true,
    });
    try {
      expect(stringifyStrict({ a: 1 }, "data")).toBe('{"a":1}');
    } finally {
      delete (Object.prototype as { polluted?: unknown }).polluted;
    }
  });
});

describe("parseStrict", () => {
  it("reads what stringifyStrict wrote", () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        const text = JSON.stringify(value);
        if (/__proto__|constructor/.test(text)) return;
        expect(parseStrict(bytes(stringifyStrict(JSON.parse(text), "data")))).toEqual(JSON.parse(text));
      }),
    );
  });

  it("takes a byte order mark away", () => {
    expect(parseStrict(bytes("\ufeff{}"))).toEqual({});
    expect(unreadable("\ufeff\ufeff{}")).toBe("undecodable message: not JSON");
  });

  it.each([
    ["", "it is empty"],
    ["secret", "not JSON"],
    ['{"a":1', "not JSON (position 6)"],
    ['{"a":1}x', "not JSON (position 7)"],
    ["NaN", "not JSON"],
    ["[1,]", "not JSON"],
    ["1e400", "a number beyond what a double holds"],
    ['{"a":[{"b":-1e999}]}', "a number beyond what a double holds"],
    ['{"__proto__":{"admin":true}}', 'a key "__proto__"'],
    ['[{"a":{"\\u005f_proto__":1}}]', 'a key "__proto__"'],
    ['{"constructor":{"prototype":{"admin":true}}}', 'a key "prototype" in "constructor"'],
  ])("refuses %s without repeating it", (text, why) => {
    expect(unreadable(text)).toBe(`undecodable message: ${why}`);
  });

  it("refuses what is not UTF-8", () => {
    for (const each of [[0xff], [0x22, 0xc3, 0x28, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22], [0x22, 0xc0, 0x80, 0x22]])
      expect(unreadable(Uint8Array.from(each))).toBe("undecodable message: the text is not UTF-8");
    expect(unreadable(Buffer.from('{"a":1}', "utf16le"))).toContain("undecodable message: not JSON");
  });

  it("guards depth before anything recurses", () => {
    expect(unreadable("[".repeat(64) + "]".repeat(64))).toMatch(/^accepted/);
    expect(unreadable("[".repeat(65) + "]".repeat(65))).toBe("undecodable message: nested deeper than 64");
    expect(unreadable("[".repeat(200_000) + "]".repeat(200_000))).toBe("undecodable message: nested deeper than 64");
    expect(unreadable('{"a":'.repeat(65) + "1" + "}".repeat(65))).toBe("undecodable message: nested deeper than 64");
  });

  it("takes harmless constructors, and of equal keys the last", () => {
    expect(parseStrict(bytes('{"constructor":{"name":"x"},"prototype":1}'))).toEqual({
      constructor: { name: "x" },
      prototype: 1,
    });
    expect(parseStrict(bytes('{"a":1,"a":2}'))).toEqual({ a: 2 });
  });

  it("throws or gives JSON, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (raw) => {
        expect(unreadable(raw)).toMatch(/^(?:accepted|undecodable message)/);
      }),
      { numRuns: 2_000 },
    );
  });
});
