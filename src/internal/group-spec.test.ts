import { describe, expect, it } from "vitest";
import { changedSpec, grownReads, grownSpec, newSpec } from "./group-spec.ts";

const wanted = {
  group: "g",
  reads: [{ stream: "events", patterns: ["a.b", "a.*"] }],
  from: { at: "oldest" },
  order: undefined as "group" | "process" | "none" | undefined,
  live: false,
};
const stored = newSpec(wanted);

describe("a group's definition", () => {
  it("is stored with an order, as few patterns as there can be, and without a past where it is live", () => {
    expect(stored).toEqual({ ...wanted, order: "group", reads: [{ stream: "events", patterns: ["a.*"] }] });
    expect(newSpec({ ...wanted, live: true }).from).toEqual({ at: "newest" });
  });

  it("grows by what is new and by nothing that is covered", () => {
    expect(grownSpec(stored, wanted)).toBeUndefined();
    const more = {
      ...wanted,
      reads: [
        { stream: "events", patterns: ["b"] },
        { stream: "orders", patterns: [">"] },
      ],
    };
    expect(grownSpec(stored, more)?.reads).toEqual([
      { stream: "events", patterns: ["a.*", "b"] },
      { stream: "orders", patterns: [">"] },
    ]);
    expect(grownReads(stored.reads, [])).toBeUndefined();
  });

  it("is another's patterns alone when they are changed", () => {
    const reads = [{ stream: "orders", patterns: ["x", ">"] }];
    expect(changedSpec(stored, reads)).toEqual({ ...stored, reads: [{ stream: "orders", patterns: [">"] }] });
  });

  it("refuses another order and another life", () => {
    expect(() => grownSpec(stored, { ...wanted, order: "none" })).toThrow('its order is "group"');
    expect(() => grownSpec(stored, { ...wanted, live: true })).toThrow("it is durable and can't become live");
    expect(grownSpec(stored, { ...wanted, order: "group" })).toBeUndefined();
  });
});
