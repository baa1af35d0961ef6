import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { escapeName, Keys, unescapeName } from "./keys.ts";

const names = fc.string({ unit: "grapheme", minLength: 1 });

describe("keys", () => {
  it("never let two names meet, and give each back", () => {
    fc.assert(
      fc.property(names, names, (one, two) => {
        expect(escapeName(one) === escapeName(two)).toBe(one === two);
        expect(unescapeName(escapeName(one))).toBe(one);
        expect(escapeName(one)).toMatch(/^[A-Za-z0-9_%-]+$/);
      }),
    );
  });

  it("all have one hash tag, whatever the names hold", () => {
    fc.assert(
      fc.property(names, (name) => {
        const keys = new Keys("omnibus");
        const all = [
          keys.base,
          keys.key(keys.stream(name), "3"),
          keys.key(keys.queue(name)),
          keys.channel("ab"),
          keys.events,
        ];
        for (const key of all) expect(/\{([^}]*)\}/.exec(key)?.[1]).toBe("omnibus");
      }),
    );
    expect(() => new Keys("a{b")).toThrow(/prefix/);
    expect(() => new Keys("a}b")).toThrow(/prefix/);
  });

  it("turn a ref into the contract's partition and back", () => {
    const keys = new Keys("p");
    for (const [ref, partition] of [
      ["s:events:3", "events/3"],
      ["q:a%3Ab:12", ":queue/12"],
    ] as const) {
      expect(keys.partitionOf(ref)).toBe(partition);
      expect(keys.refOf(partition, "a:b")).toBe(ref);
    }
  });
});
