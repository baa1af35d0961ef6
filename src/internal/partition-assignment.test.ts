import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { assign, moves } from "./partition-assignment.ts";

const refOf = (lane: string, partition: number): string => `${lane}:${partition}`;
const unowned = (owner: string | undefined): boolean => owner === undefined;
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
        const assigned = assign(of, alive, owners, refOf);
        expect(
          assign(new Map([...of].toReversed()), alive.toReversed(), new Map([...owners].toReversed()), refOf),
        ).toEqual(assigned);
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
        const assigned = assign(of, alive, owners, refOf);
        for (const [ref, owner] of assigned) {
          const [, kind, number] = /^(.*):(\d+)$/.exec(ref)!;
          for (const [lane, count] of of)
            if (count === of.get(kind!)) expect(assigned.get(`${lane}:${number}`)).toBe(owner);
        }
      }),
    );
  });

  it("leaves a key with who is alive and has it in one lane, whoever had it in another", () => {
    const lanes = new Map([
      ["s:a", 1],
      ["s:b", 1],
    ]);
    for (const owner of ["m~1", "m~2"]) {
      const owners = new Map([
        ["s:a:0", "gone"],
        ["s:b:0", owner],
      ]);
      expect(new Set(assign(lanes, ["m~1", "m~2"], owners, refOf).values())).toEqual(new Set([owner]));
    }
  });

  it("never has two who take one partition, and comes to rest", () => {
    fc.assert(
      fc.property(worlds, ({ of, alive, owners }) => {
        const now = new Map([...owners].filter(([, owner]) => alive.includes(owner)));
        for (let round = 0; ; round += 1) {
          expect(round).toBeLessThan(4);
          const assigned = assign(of, alive, now, refOf);
          const taken = new Set<string>();
          let moved = false;
          for (const seat of alive) {
            const { take, give } = moves(assigned, now, seat, unowned);
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
        expect(now).toEqual(assign(of, alive, now, refOf));
      }),
    );
  });

  it("waits for nobody who is dead: his partitions are free as soon as the server says so", () => {
    const assigned = assign(new Map([["s:a", 2]]), ["m~1"], new Map([["s:a:0", "m~1"]]), refOf);
    expect(moves(assigned, new Map([["s:a:0", "m~1"]]), "m~1", unowned)).toEqual({ take: ["s:a:1"], give: [] });
    expect(moves(assigned, new Map([["s:a:1", "gone"]]), "m~1", unowned).take).toEqual(["s:a:0"]);
  });
});

const streams = new Map([
  ["events", 16],
  ["orders", 16],
  ["small", 3],
]);

describe("assignment where the dead may be taken from", () => {
  it("gives every partition to one member, evenly, and those of one number to the same", () => {
    const assigned = assign(streams, ["b", "a", "c"], new Map(), refOf);
    expect(assigned.size).toBe(35);
    const count = (member: string): number => [...assigned.values()].filter((each) => each === member).length;
    for (const member of ["a", "b", "c"]) expect(count(member)).toBeGreaterThanOrEqual(11);
    for (let number = 0; number < 16; number += 1)
      expect(assigned.get(refOf("events", number))).toBe(assigned.get(refOf("orders", number)));
    expect(assign(streams, [], new Map(), refOf).size).toBe(0);
  });

  it("ends with each partition at its owner, whatever order members come and go and act in", () => {
    const member = fc.constantFrom("a", "b", "c", "d");
    const step = fc.oneof(
      fc.record({ kind: fc.constant("act" as const), member }),
      fc.record({ kind: fc.constant("come" as const), member }),
      fc.record({ kind: fc.constant("leave" as const), member }),
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), (steps) => {
        const members = new Set<string>(["a"]);
        const owners = new Map<string, string>();
        const act = (name: string): void => {
          if (!members.has(name)) return;
          const wanted = assign(streams, [...members], owners, refOf);
          const { take, give } = moves(wanted, owners, name, (owner) => owner === undefined || !members.has(owner));
          for (const key of give) owners.delete(key);
          for (const key of take) {
            const owner = owners.get(key);
            expect(owner === undefined || !members.has(owner), "nothing is taken from the living").toBe(true);
            owners.set(key, name);
          }
        };
        for (const { kind, member } of steps) {
          if (kind === "come") members.add(member);
          else if (kind === "leave") members.delete(member);
          else act(member);
        }
        members.add("a");
        for (let round = 0; round < 4; round += 1) for (const each of members) act(each);
        expect(owners.size).toBe(35);
        const before = new Map(owners);
        for (const each of members) act(each);
        expect(owners, "it comes to rest").toEqual(before);
        for (const count of [16, 3]) {
          const stream = count === 16 ? "events" : "small";
          const held = [...members].map(
            (each) => [...owners].filter(([key, owner]) => owner === each && key.startsWith(`${stream}:`)).length,
          );
          expect(Math.max(...held) - Math.min(...held)).toBeLessThanOrEqual(1);
        }
      }),
    );
  });
});
