import { describe, expect, it } from "vitest";
import { type Claimant, partOf, share } from "./assignor.ts";

const refOf = (lane: string, partition: number): string => `${lane}/${partition}`;
const lanes = new Map([
  ["events", 8],
  [":queue", 8],
  ["audit", 3],
]);
const all = 19;

function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) & 0x7fff_ffff;
    return (state >>> 8) % below;
  };
}

/** Members as the broker has them: rounds in which all who live join, ends of sessions, handlers that take their time. */
class Group {
  readonly #roll: (below: number) => number;
  readonly members = new Map<string, { held: Set<string>; giving: Set<string>; generation: number }>();
  generation = 0;
  #made = 0;

  constructor(seed: number) {
    this.#roll = dice(seed);
  }

  join(): void {
    this.members.set(`m${(this.#made += 1)}`, { held: new Set(), giving: new Set(), generation: 0 });
  }

  /** Its session ended: what it held is anybody's, and it revoked it by its own clock before. */
  lose(): void {
    const ids = [...this.members.keys()];
    if (ids.length > 1) this.members.delete(ids[this.#roll(ids.length)] ?? "");
  }

  /** Handlers of some of what is given up have ended. */
  drain(): boolean {
    for (const { held, giving } of this.members.values()) {
      for (const ref of giving) {
        if (this.#roll(2) === 0) continue;
        giving.delete(ref);
        held.delete(ref);
      }
    }
    return [...this.members.values()].some(({ giving }) => giving.size > 0);
  }

  round(): void {
    this.generation += 1;
    const claimants: Claimant[] = [...this.members].map(([id, { held, generation }]) => ({
      id,
      claims: [...held],
      generation,
      stops: false,
    }));
    const shares = share(lanes, claimants, refOf);
    for (const [id, member] of this.members) {
      const { take, give } = partOf(shares, id, member.held);
      for (const ref of take) member.held.add(ref);
      member.giving = new Set(give);
      member.generation = this.generation;
    }
  }

  get held(): readonly string[] {
    return [...this.members.values()].flatMap(({ held }) => [...held]);
  }

  step(): void {
    const chance = this.#roll(6);
    if (chance === 0) this.join();
    else if (chance === 1) this.lose();
    else if (chance === 2) this.drain();
    else this.round();
  }
}

describe("shares of a group", () => {
  it("never give a partition to two, whoever comes, goes or takes his time, and in the end all of them to somebody", () => {
    for (let seed = 1; seed <= 200; seed += 1) {
      const group = new Group(seed);
      group.join();
      for (let step = 0; step < 60; step += 1) {
        group.step();
        expect(new Set(group.held).size, `seed ${seed}, step ${step}`).toBe(group.held.length);
      }
      for (let left = 0; left < 20; left += 1) {
        group.round();
        while (group.drain());
      }
      group.round();
      expect(group.held).toHaveLength(all);
      const owner = (ref: string): string | undefined => [...group.members].find(([, { held }]) => held.has(ref))?.[0];
      for (let partition = 0; partition < 8; partition += 1)
        expect(owner(`events/${partition}`)).toBe(owner(`:queue/${partition}`));
    }
  });

  it("move nothing that need not move, and nothing before it was given up", () => {
    const first = share(lanes, [{ id: "a", claims: [], generation: 0, stops: false }], refOf);
    expect(first.owners.size).toBe(all);
    const claims = [...first.owners.keys()];
    const members = [
      { id: "a", claims, generation: 1, stops: false },
      { id: "b", claims: [], generation: 0, stops: false },
    ];
    const second = share(lanes, members, refOf);
    const part = partOf(second, "a", new Set(claims));
    expect([part.take, partOf(second, "b", new Set()).take]).toEqual([[], []]);
    expect(part.give.length).toBeGreaterThan(all / 3);
    expect(second.owners.size).toBe(all - part.give.length);
  });

  it("of two claims the later generation's counts", () => {
    const members = [
      { id: "a", claims: ["events/0"], generation: 3, stops: false },
      { id: "b", claims: ["events/0"], generation: 4, stops: false },
    ];
    const { owners, targets } = share(new Map([["events", 1]]), members, refOf);
    expect([owners.get("events/0"), targets.get("events/0")]).toEqual(["b", "b"]);
  });
});
