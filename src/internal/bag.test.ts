import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Bag } from "./bag.ts";

describe("Bag", () => {
  it("holds what a set would", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(9))), (commands) => {
        const items = Array.from({ length: 10 }, (_, name) => ({ name, slot: -1 }));
        const bag = new Bag<(typeof items)[number]>();
        const model = new Set<number>();
        for (const [add, name] of commands) {
          const item = items[name]!;
          if (!add) expect(bag.delete(item)).toBe(model.delete(name));
          else if (!model.has(name)) {
            bag.add(item);
            model.add(name);
          }
        }
        expect(bag.size).toBe(model.size);
        expect(new Set(bag.all().map((item) => item.name))).toEqual(model);
      }),
    );
  });
});
