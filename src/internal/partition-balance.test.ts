import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { balance } from "./partition-balance.ts";

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index);
const loads = (owners: ReadonlyMap<number, string>, members: readonly string[]) =>
  members.map((member) => [...owners.values()].filter((owner) => owner === member).length);

describe("balance", () => {
  it("gives everything to a single member", () => {
    expect([...balance(upTo(3), ["a"], new Map())]).toEqual([
      [0, "a"],
      [1, "a"],
      [2, "a"],
    ]);
  });

  it("gives nothing without members", () => {
    expect(balance(upTo(3), [], new Map([[0, "a"]])).size).toBe(0);
  });

  it("moves only what a newcomer must get", () => {
    const current = new Map(upTo(8).map((partition) => [partition, partition < 4 ? "a" : "b"]));
    const next = balance(upTo(8), ["a", "b", "c"], current);
    expect(loads(next, ["a", "b", "c"])).toEqual([3, 3, 2]);
    expect(upTo(8).filter((partition) => next.get(partition) !== current.get(partition))).toEqual([3, 7]);
  });

  it("gives each member its share, keeps what it can, and does not depend on the members' order", () => {
    const input = fc.record({
      count: fc.integer({ min: 0, max: 40 }),
      members: fc.uniqueArray(fc.constantFrom("a", "b", "c", "d", "e", "f"), { minLength: 1 }),
      current: fc.array(fc.tuple(fc.integer({ min: 0, max: 45 }), fc.constantFrom("a", "b", "c", "gone"))),
    });
    fc.assert(
      fc.property(input, ({ count, members, current }) => {
        const before = new Map(current);
        const after = balance(upTo(count), members, before);
        const sizes = loads(after, members);
        expect([...after.keys()].toSorted((left, right) => left - right)).toEqual(upTo(count));
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        const share = Math.floor(count / members.length);
        const held = members.map(
          (member) => upTo(count).filter((partition) => before.get(partition) === member).length,
        );
        const largest = held.toSorted((left, right) => right - left);
        const kept = largest.reduce(
          (sum, load, index) => sum + Math.min(load, index < count % members.length ? share + 1 : share),
          0,
        );
        expect(upTo(count).filter((partition) => after.get(partition) === before.get(partition)).length).toBe(kept);
        expect([...balance(upTo(count), members.toReversed(), before)].toSorted()).toEqual([...after].toSorted());
      }),
    );
  });
});
