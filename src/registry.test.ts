import { describe, expect, it } from "vitest";
import { defineEvent, typed } from "./define-event.ts";
import { SchemaRegistry } from "./registry.ts";

const define = (type: string, version: number) => defineEvent(type, { schema: typed<unknown>(), version });
const placed1 = define("orders.placed", 1);
const placed2 = define("orders.placed", 2);
const paid = define("orders.paid", 1);

describe("SchemaRegistry", () => {
  it("looks up by type and version, and the latest of a type", () => {
    const registry = new SchemaRegistry([placed2, placed1, paid]);
    expect(registry.get("orders.placed", 1)).toBe(placed1);
    expect(registry.get("orders.placed", 3)).toBeUndefined();
    expect(registry.latest("orders.placed")).toBe(placed2);
    expect(registry.latest("orders.gone")).toBeUndefined();
  });

  it("takes more at run time, and lists all", () => {
    const registry = new SchemaRegistry().add(placed1).add(paid).add(placed2);
    expect(registry.list()).toEqual([placed1, placed2, paid]);
  });

  it("refuses two of one type and version", () => {
    expect(() => new SchemaRegistry([placed1]).add(define("orders.placed", 1))).toThrow(
      expect.objectContaining({ code: "BUS_CONFLICT", message: "event defined twice (orders.placed version 1)" }),
    );
    expect(() => new SchemaRegistry([placed1, placed1])).toThrow("event defined twice");
  });

  it("is a value: two of them share nothing", () => {
    new SchemaRegistry([placed1]);
    expect(new SchemaRegistry().list()).toEqual([]);
  });

  it("takes the names of prototypes for plain types", () => {
    const registry = new SchemaRegistry([define("constructor", 1)]);
    expect(registry.latest("constructor")?.type).toBe("constructor");
    expect(registry.latest("__proto__")).toBeUndefined();
    expect(registry.get("toString", 1)).toBeUndefined();
  });
});
