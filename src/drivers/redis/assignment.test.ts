import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { assign, moves } from "./assignment.ts";

const lanes = fc.dictionary(fc.constantFrom("s:a", "s:b", "q:g"), fc.constantFrom(1, 3, 16), { minKeys: 1 });
const names = ["m~1", "m~2", "m~3", "m~4", "m~5"];
const seats = fc.subarray(names, { minLength: 1 });

function refsOf(of: ReadonlyMap<string, number>): readonly string[] {
  return [...of].flatMap(([lane, count]) => Array.from({ length: count }, (_, number) => `${lane}:${number}`));
}

/** Owners that may be anybody, gone ones included. */
const worlds = fc
  .tuple(
    lanes,
    seats,
    fc.array(fc.option(fc.constantFrom(...names, "gone"), { nil: undefined }), { minLength: 48, maxLength: 48 }),
  )
  .map(([record, alive, choices]) => {
    const of = new Map(Object.entries(record));
    const owners = new Map<string, string>();
    for (const [index, ref] of refsOf(of).entries()) {
      const owner = choices[index % choices.length];
      if (owner !== undefined) owners.set(ref, owner);
    }
    return { of, alive, owners };
  });

describe("assignment", () => {
  it("gives every partition to one who is alive, the same whoever asks, and shares that differ by one per lane size", () => {
    fc.assert(
      fc.property(worlds, ({ of, alive, owners }) => {
        const assigned = assign(of, alive, owners);
        expect(assign(of, alive.toReversed(), new Map([...owners].toReversed()))).toEqual(assigned);
        expect(new Set(assigned.keys())).toEqual(new Set(refsOf(of)));
        for (const [lane, count] of of) {
          const shares = alive.map(
            (seat) => [...assigned].filter(([ref, owner]) => ref.startsWith(`${lane}:`) && owner === seat).length,
          );
          expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
          expect(shares.reduce((sum, share) => sum + share, 0)).toBe(count);
        }
      }),
    );
  });

  it("keeps a key with one member in all lanes that have as many partitions", () => {
    fc.assert(
      fc.property(worlds, ({ of, alive, owners }) => {
        const assigned = assign(of, alive, owners);
        for (const [ref, owner] of assigned) {
          const [, kind, number] = /^(.*):(\d+)$/.exec(ref)!;
          for (const [lane, count] of of)
            if (count === of.get(kind!)) expect(assigned.get(`${lane}:${number}`)).toBe(owner);
        }
      }),
    );
  });

  it("never has two who take one partition, and comes to rest", () => {
    fc.assert(
      fc.property(worlds, ({ of, alive, owners }) => {
        const now = new Map([...owners].filter(([, owner]) => alive.includes(owner)));
        for (let round = 0; ; round += 1) {
          expect(round).toBeLessThan(4);
          const assigned = assign(of, alive, now);
          const taken = new Set<string>();
          let moved = false;
          for (const seat of alive) {
            const { take, give } = moves(assigned, now, seat);
            for (const ref of take) {
              expect(taken.has(ref)).toBe(false);
              expect(now.has(ref)).toBe(false);
              taken.add(ref);
            }
            for (const ref of give) {
              expect(now.get(ref)).toBe(seat);
              now.delete(ref);
              moved = true;
            }
            for (const ref of take) {
              now.set(ref, seat);
              moved = true;
            }
          }
          if (!moved) break;
        }
        expect(now).toEqual(assign(of, alive, now));
      }),
    );
  });

  it("waits for nobody who is dead: his partitions are free as soon as the server says so", () => {
    const assigned = assign(new Map([["s:a", 2]]), ["m~1"], new Map([["s:a:0", "m~1"]]));
    expect(moves(assigned, new Map([["s:a:0", "m~1"]]), "m~1")).toEqual({ take: ["s:a:1"], give: [] });
    expect(moves(assigned, new Map([["s:a:1", "gone"]]), "m~1").take).toEqual(["s:a:0"]);
  });
});
