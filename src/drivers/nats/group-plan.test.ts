import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { GroupSpec } from "../../driver.ts";
import { matchesPattern } from "../../internal/topic-trie.ts";
import { coverOf, disjoint } from "./filters.ts";
import {
  backfilled,
  changing,
  completed,
  fixed,
  fixing,
  grown,
  type GroupDefinition,
  moved,
  newDefinition,
  openPart,
  replaced,
  verdict,
} from "./group-plan.ts";
import type { StreamState } from "./group-start.ts";

const topics = ["a", "b", "a.x", "a.y", "b.x"] as const;
const patterns = ["a", "b", "a.*", "*.x", "a.>", ">"] as const;
const spec = (patterns: readonly string[]): GroupSpec => ({
  group: "g",
  reads: [{ stream: "events", patterns }],
  from: { at: "oldest" },
  order: "none",
  live: false,
});
const matches = (patterns: readonly string[], topic: string): boolean =>
  patterns.some((pattern) => matchesPattern(pattern, topic));

/** The stream, the bucket and the server's consumers; what members do stands in `Member`. */
class World {
  readonly log: string[] = [];
  definition: GroupDefinition = newDefinition(spec(["a"]), 1, this.streams, {});
  readonly consumers = new Map<number, { readonly next: { at: number } }>();
  readonly members: Member[] = [];
  readonly handed = new Map<number, number>();
  /** What was promised to somebody when it was published. */
  readonly promised = new Set<number>();
  promises: readonly string[] = ["a"];

  constructor() {
    this.makeConsumers();
  }

  get streams(): ReadonlyMap<string, StreamState> {
    return new Map([["events", { created: "c", last: this.log.length }]]);
  }

  makeConsumers(): void {
    for (const part of this.definition.parts)
      if (!this.consumers.has(part.revision))
        this.consumers.set(part.revision, { next: { at: "sequence" in part.start ? part.start.sequence : 1 } });
  }

  publish(topic: string): void {
    this.log.push(topic);
    if (matches(this.promises, topic)) this.promised.add(this.log.length);
  }

  hand(sequence: number): void {
    this.handed.set(sequence, (this.handed.get(sequence) ?? 0) + 1);
  }
}

/** A process: it knows the definition as it last saw it, and holds what it could not decide yet. */
class Member {
  readonly world: World;
  known: GroupDefinition;
  readonly held: { readonly revision: number; readonly sequence: number; looked: GroupDefinition | undefined }[] = [];

  constructor(world: World) {
    this.world = world;
    this.known = world.definition;
  }

  receive(revision: number): void {
    const consumer = this.world.consumers.get(revision);
    const part = this.world.definition.parts.find((each) => each.revision === revision);
    if (consumer === undefined || part === undefined) return;
    while (consumer.next.at <= this.world.log.length) {
      const sequence = consumer.next.at++;
      const topic = this.world.log[sequence - 1]!;
      if (!matches(disjoint(part.patterns), topic)) continue;
      this.held.push({ revision, sequence, looked: undefined });
      return;
    }
  }

  /** A part that it did not know was read by nobody; one that it knows it may look up. */
  decide(): void {
    const message = this.held.shift();
    if (message === undefined) return;
    const { revision, sequence, looked } = message;
    const by = looked ?? this.known;
    const topic = this.world.log[sequence - 1]!;
    const answer = verdict(by, { stream: "events", revision }, topic, sequence);
    if (answer === "take" || (answer === "ask" && looked !== undefined)) this.world.hand(sequence);
    else if (answer !== "skip") this.held.push({ ...message, looked: this.world.definition });
  }

  finish(): void {
    this.known = this.world.definition;
    while (this.held.length > 0) {
      for (const message of this.held) message.looked = this.known;
      this.decide();
    }
  }
}

/** One who grows the group, step by step; it may stop after any. */
class Grower {
  readonly world: World;
  readonly wanted: readonly string[];
  #seen: GroupDefinition | undefined;
  #streams: ReadonlyMap<string, StreamState> | undefined;
  done = false;

  constructor(world: World, wanted: readonly string[]) {
    this.world = world;
    this.wanted = wanted;
  }

  step(): void {
    const { world } = this;
    if (this.done) return;
    if (this.#seen === undefined) {
      this.#seen = world.definition;
      this.#streams = undefined;
      return;
    }
    const seen = this.#seen;
    const { change } = seen;
    if (change === undefined) {
      const next = grown(seen, spec(this.wanted), world.streams);
      if (next !== undefined) return this.#swap(next);
      world.makeConsumers();
      this.done = true;
      world.promises = [...world.promises, ...this.wanted];
      return;
    }
    if (change.phase === "asked") {
      if (!world.members.every(({ known }) => known.revision >= change.revision)) return void (this.#seen = undefined);
      return this.#swap(fixing(seen));
    }
    if (this.#streams === undefined) this.#streams = world.streams;
    else this.#swap(fixed(seen, this.#streams));
  }

  #swap(next: GroupDefinition): void {
    if (this.world.definition === this.#seen) this.world.definition = next;
    this.#seen = undefined;
  }
}

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("publish" as const), topic: fc.constantFrom("a", ...topics) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("receive" as const), member: fc.nat(1), part: fc.nat(3) }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("decide" as const), member: fc.nat(1) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("watch" as const), member: fc.nat(1) }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("grow" as const), grower: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("crash" as const), grower: fc.nat(3) }) },
);

describe("a group that grows", () => {
  it("hands out every promised event once, whoever stops in the middle", () => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 150, maxLength: 300 }),
        fc.array(fc.uniqueArray(fc.constantFrom(...patterns), { minLength: 1, maxLength: 3 }), {
          minLength: 4,
          maxLength: 4,
        }),
        (steps, growths) => {
          const world = new World();
          for (let member = 0; member < 2; member += 1) world.members.push(new Member(world));
          const growers = growths.map((wanted) => new Grower(world, wanted));
          for (const step of steps) {
            if (step.kind === "publish") world.publish(step.topic);
            else if (step.kind === "receive") {
              const member = world.members[step.member]!;
              // it reads the parts that it knows
              const part = member.known.parts[step.part % member.known.parts.length]!;
              member.receive(part.revision);
            } else if (step.kind === "decide") world.members[step.member]!.decide();
            else if (step.kind === "watch") world.members[step.member]!.known = world.definition;
            else if (step.kind === "grow") growers[step.grower]!.step();
            else growers[step.grower]!.done = true;
          }
          // whoever is left ends what was begun, and everything is read
          const last = new Grower(world, ["a"]);
          for (let round = 0; round < 20; round += 1) {
            for (const member of world.members) member.known = world.definition;
            last.step();
          }
          expect(last.done).toBe(true);
          expect(changing(world.definition)).toEqual([]);
          world.makeConsumers();
          for (const member of world.members) member.finish();
          for (const part of world.definition.parts)
            for (let round = 0; round <= world.log.length; round += 1) world.members[0]!.receive(part.revision);
          world.members[0]!.finish();
          for (const [sequence, times] of world.handed) expect([sequence, times]).toEqual([sequence, 1]);
          for (const sequence of world.promised) expect(world.handed.get(sequence), `event ${sequence}`).toBe(1);
        },
      ),
      { numRuns: 400 },
    );
  });

  it("needs nobody's knowledge for a stream that it did not read", () => {
    const streams = new Map([
      ["events", { created: "c", last: 5 }],
      ["more", { created: "d", last: 7 }],
    ]);
    const stored = newDefinition(spec(["a"]), 1, streams, {});
    const next = grown(stored, { ...spec([]), reads: [{ stream: "more", patterns: ["m.>"] }] }, streams)!;
    expect(next.change).toBeUndefined();
    expect(openPart(next, "more")).toEqual({
      revision: 2,
      stream: "more",
      created: "d",
      patterns: ["m.>"],
      start: { sequence: 1 },
    });
    expect(next.reads).toEqual([
      { stream: "events", patterns: ["a"] },
      { stream: "more", patterns: ["m.>"] },
    ]);
  });

  it("changes nothing for what it reads already", () => {
    const streams = new Map([["events", { created: "c", last: 5 }]]);
    const stored = newDefinition(spec([">"]), 1, streams, {});
    expect(grown(stored, spec(["a.b", "c"]), streams)).toBeUndefined();
    expect(() => grown(stored, { ...spec(["a"]), order: "group" }, streams)).toThrow('its order is "none"');
    expect(() => grown(stored, { ...spec(["a"]), live: true }, streams)).toThrow("it is durable");
  });

  it("leaves out at once what an update takes away", () => {
    const streams = new Map([["events", { created: "c", last: 5 }]]);
    const stored = newDefinition(spec(["a", "b"]), 1, streams, {});
    const asked = replaced(stored, [{ stream: "events", patterns: ["a"] }], streams);
    const settled = fixed(fixing(asked), new Map([["events", { created: "c", last: 9 }]]));
    const old = settled.parts[0]!;
    expect(old.end).toBe(10);
    expect(verdict(settled, old, "b", 7)).toBe("skip");
    expect(verdict(settled, old, "a", 7)).toBe("take");
    expect(verdict(settled, old, "a", 10)).toBe("skip");
    expect(verdict(settled, openPart(settled, "events")!, "a", 10)).toBe("take");
  });

  it("reads what lies before its start once, when one comes who was further back", () => {
    const streams = new Map([["events", { created: "c", last: 20 }]]);
    const stored = newDefinition(spec(["a"]), 1, streams, { events: { sequence: 21 } });
    expect(backfilled(stored, "events", 21)).toBe(stored);
    const back = backfilled(stored, "events", 15);
    expect(back.parts.map(({ revision, start, end }) => [revision, start, end])).toEqual([
      [1, { sequence: 21 }, undefined],
      [2, { sequence: 15 }, 21],
    ]);
    expect(verdict(back, back.parts[1]!, "a", 20)).toBe("take");
    expect(verdict(back, back.parts[1]!, "a", 21)).toBe("skip");
    expect(backfilled(back, "events", 15), "another who was as far").toBe(back);
    expect(backfilled(back, "events", 12).parts.at(-1)).toMatchObject({ start: { sequence: 12 }, end: 15 });
    const grew = fixed(fixing(grown(back, spec(["b"]), streams)!), new Map([["events", { created: "c", last: 40 }]]));
    expect(backfilled(grew, "events", 30), "one of this incarnation").toBe(grew);
  });

  it("begins at the oldest of a stream that was made again, in a consumer of another name", () => {
    const stored = newDefinition(spec(["a"]), 4, new Map([["events", { created: "c", last: 5 }]]), {
      events: { sequence: 6 },
    });
    const again = completed(stored, new Map([["events", { created: "d", last: 2 }]]))!;
    expect(again.parts).toEqual([
      { revision: 5, stream: "events", created: "d", patterns: ["a"], start: { sequence: 1 } },
    ]);
    expect(completed(again, new Map([["events", { created: "d", last: 2 }]]))).toBeUndefined();
    const elsewhere = moved(again, again.parts[0]!, { sequence: 40 });
    expect(elsewhere.parts[0]).toMatchObject({ revision: 6, start: { sequence: 40 } });
    expect(elsewhere.dropped).toEqual([["events", 5]]);
  });
});

describe("filters", () => {
  it("cover what the patterns match, and share no topic", () => {
    const token = fc.constantFrom("a", "b", "*");
    const pattern = fc
      .tuple(fc.array(token, { minLength: 1, maxLength: 3 }), fc.boolean())
      .map(([tokens, rest]) => [...tokens, ...(rest ? [">"] : [])].join("."));
    const topic = fc.array(fc.constantFrom("a", "b"), { minLength: 1, maxLength: 4 }).map((tokens) => tokens.join("."));
    fc.assert(
      fc.property(fc.array(pattern, { minLength: 1, maxLength: 5 }), topic, (patterns, topic) => {
        const filters = disjoint(patterns).filter((filter) => matchesPattern(filter, topic));
        expect(filters.length).toBeLessThanOrEqual(1);
        if (!matches(patterns, topic)) return;
        expect(filters.length).toBe(1);
        expect(matchesPattern(coverOf(patterns), topic)).toBe(true);
      }),
    );
    expect(disjoint(["orders.*.placed", "orders.eu.*"])).toEqual(["orders.*.*"]);
  });
});
