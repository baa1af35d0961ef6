import { describe, expect, it } from "vitest";
import { HeaderTables } from "./header-tables.ts";

describe("HeaderTables", () => {
  it("gives what it was given, by one object for the same names", () => {
    const tables = new HeaderTables();
    const first = tables.of({ k: "a", t: 1 });
    expect({ ...first }).toEqual({ k: "a", t: 1 });
    expect({ ...tables.of({ k: "b", h: "[]", t: 2 }) }).toEqual({ k: "b", h: "[]", t: 2 });
    expect({ ...tables.of({}) }).toEqual({});
    const next = tables.of({ k: "c", t: 3 });
    expect({ ...next }).toEqual({ k: "c", t: 3 });
    expect(next).toBe(first);
  });

  it("has names that objects have as any other", () => {
    const table = new HeaderTables().of({ ["__proto__"]: "p", constructor: "c" });
    expect(Object.entries(table)).toEqual([
      ["__proto__", "p"],
      ["constructor", "c"],
    ]);
  });

  it("remembers no more names than it may", () => {
    const tables = new HeaderTables();
    for (let at = 0; at < 256; at += 1) tables.of({ [`x${at}`]: at });
    const other = { other: 1 };
    expect(tables.of(other)).toBe(other);
    expect({ ...tables.of({ x7: 8 }) }).toEqual({ x7: 8 });
  });
});
