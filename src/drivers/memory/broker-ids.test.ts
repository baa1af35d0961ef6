import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BrokerIds } from "./broker-ids.ts";

describe("BrokerIds", () => {
  it("remembers each id with its place for the window, as a map would", () => {
    const step = fc.record({ id: fc.integer({ min: 0, max: 600 }), after: fc.integer({ min: 0, max: 3 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 2_000, size: "max" }), (steps) => {
        const ids = new BrokerIds(1_000, 1_024);
        const model = new Map<string, { readonly place: string; readonly at: number }>();
        let now = 0;
        for (const [index, { id, after }] of steps.entries()) {
          now += after;
          const name = `id-${id}`;
          const known = model.get(name);
          const expected = known !== undefined && now - known.at < 1_000 ? known.place : undefined;
          expect(ids.find(name, now)).toBe(expected);
          if (expected !== undefined) continue;
          ids.add(name, index % 16, index + 1, now);
          model.set(name, { place: `${index % 16}/${index + 1}`, at: now });
        }
      }),
      { numRuns: 30 },
    );
  });

  it("grows while ids are young, up to its bound, and then keeps the latest", () => {
    const ids = new BrokerIds(1_000, 1_024);
    for (let count = 0; count < 5_000; count += 1) ids.add(`id-${count}`, 0, count + 1, 1);
    expect(ids.find(`id-${5_000 - 1_024}`, 2)).toBe(`0/${5_000 - 1_024 + 1}`);
    expect(ids.find(`id-${5_000 - 1_025}`, 2)).toBeUndefined();
  });

  it("knows ids that have no place yet, and ids that differ only far from their end", () => {
    const ids = new BrokerIds(1_000, 1_024);
    const tail = "x".repeat(100);
    ids.add(`a${tail}`, 0, 0, 1);
    expect(ids.find(`a${tail}`, 1)).toBe("");
    expect(ids.find(`b${tail}`, 1)).toBeUndefined();
  });
});
