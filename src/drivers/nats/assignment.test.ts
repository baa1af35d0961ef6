import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { assign, moves, partitionKey } from "./assignment.ts";

const streams = [
  { stream: "events", partitions: 16 },
  { stream: "orders", partitions: 16 },
  { stream: "small", partitions: 3 },
];

describe("who owns what", () => {
  it("gives every partition to one member, evenly, and those of one number to the same", () => {
    const assigned = assign(streams, ["b", "a", "c"], new Map());
    expect(assigned.size).toBe(35);
    const count = (member: string): number => [...assigned.values()].filter((each) => each === member).length;
    for (const member of ["a", "b", "c"]) expect(count(member)).toBeGreaterThanOrEqual(11);
    for (let number = 0; number < 16; number += 1)
      expect(assigned.get(partitionKey("events", number))).toBe(assigned.get(partitionKey("orders", number)));
    expect(assign(streams, [], new Map()).size).toBe(0);
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
          const wanted = assign(streams, [...members], owners);
          const { take, give } = moves(wanted, owners, members, name);
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
            (each) => [...owners].filter(([key, owner]) => owner === each && key.startsWith(`${stream}/`)).length,
          );
          expect(Math.max(...held) - Math.min(...held)).toBeLessThanOrEqual(1);
        }
      }),
    );
  });
});
