import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareSpecificity, Routing, type Route } from "./routing.ts";

const token = fc.constantFrom("a", "b", "c");
const topic = fc.array(token, { minLength: 1, maxLength: 4 }).map((tokens) => tokens.join("."));
const pattern = fc
  .tuple(fc.array(fc.constantFrom("a", "b", "*"), { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([tokens, open]) => [...tokens, ...(open ? [">"] : [])].join("."));
const anyPattern = fc.oneof({ weight: 6, arbitrary: pattern }, { weight: 1, arbitrary: fc.constant(">") });
const routes: fc.Arbitrary<readonly Route[]> = fc
  .uniqueArray(anyPattern, { maxLength: 8 })
  .map((patterns) => patterns.map((each, index) => ({ name: `s${index % 3}`, topics: [each] })));

/** `*` is one token, `>` one or more at the end; tried by brute force over every topic of at most four tokens. */
function matches(one: readonly string[], other: readonly string[]): boolean {
  if (one[0] === ">") return other.length > 0;
  if (one.length === 0 || other.length === 0) return one.length === other.length;
  return (one[0] === "*" || one[0] === other[0]) && matches(one.slice(1), other.slice(1));
}
const alphabet = ["a", "b", "c"];
const everyTopic = [1, 2, 3, 4]
  .reduce<string[][]>(
    (all, length) => [
      ...all,
      ...all.filter((each) => each.length === length - 1).flatMap((each) => alphabet.map((last) => [...each, last])),
    ],
    [[]],
  )
  .filter((each) => each.length > 0);

/** The one whose first differing token is the more exact: a literal, then `*`, then `>`. */
function mostSpecific(patterns: readonly string[]): string | undefined {
  const rank = (each: string): string =>
    each
      .split(".")
      .map((one) => (one === ">" ? "2" : one === "*" ? "1" : "0"))
      .join("");
  return patterns.toSorted((left, right) => (rank(left) < rank(right) ? -1 : rank(left) > rank(right) ? 1 : 0))[0];
}

function streamOf(routing: Routing, at: string): string | undefined {
  const address = routing.addressOf(at);
  if (address === undefined) return undefined;
  expect(address).toEqual({ kind: "topic", stream: expect.any(String) as string, topic: at });
  return address.kind === "topic" ? address.stream : undefined;
}

describe("Routing", () => {
  it("finds the stream with the most specific pattern, as looking at all of them does", () => {
    fc.assert(
      fc.property(routes, fc.array(topic, { maxLength: 10 }), (table, topics) => {
        const routing = new Routing();
        routing.update(table);
        for (const each of [...topics, ...topics]) {
          const candidates = table
            .flatMap((route) => route.topics)
            .filter((one) => matches(one.split("."), each.split(".")));
          const best = mostSpecific(candidates);
          expect(streamOf(routing, each)).toBe(
            table.find((route) => best !== undefined && route.topics.includes(best))?.name,
          );
        }
      }),
      { numRuns: 300 },
    );
  });

  it("reads every stream that some topic reaches through both patterns, and no other", () => {
    fc.assert(
      fc.property(routes, fc.uniqueArray(anyPattern, { minLength: 1, maxLength: 4 }), (table, wanted) => {
        const routing = new Routing();
        routing.update(table);
        const both = (left: string, right: string): boolean =>
          everyTopic.some((each) => matches(left.split("."), each) && matches(right.split("."), each));
        const expected = new Map<string, string[]>();
        for (const route of table) {
          for (const each of wanted)
            if (both(route.topics[0]!, each))
              expected.set(route.name, [...new Set([...(expected.get(route.name) ?? []), each])].toSorted());
        }
        const reads = routing.reads(wanted);
        expect(new Map(reads.map((read) => [read.stream, [...read.patterns]]))).toEqual(expected);
        expect(reads.map((read) => read.stream)).toEqual([...expected.keys()].toSorted());
      }),
      { numRuns: 200 },
    );
  });

  it("forgets what it knew of the table before", () => {
    const routing = new Routing();
    routing.update([{ name: "all", topics: [">"] }]);
    expect(streamOf(routing, "orders.placed")).toBe("all");
    routing.update([
      { name: "all", topics: [">"] },
      { name: "orders", topics: ["orders.>"] },
    ]);
    expect(streamOf(routing, "orders.placed")).toBe("orders");
    routing.update([]);
    expect([streamOf(routing, "orders.placed"), routing.streams]).toEqual([undefined, []]);
  });

  it("keeps its answers right for more topics than it remembers", () => {
    const routing = new Routing();
    routing.update([
      { name: "even", topics: ["n.*.even"] },
      { name: "rest", topics: [">"] },
    ]);
    for (let number = 0; number < 10_000; number += 1)
      expect(streamOf(routing, `n.${number}.${number % 2 === 0 ? "even" : "odd"}`)).toBe(
        number % 2 === 0 ? "even" : "rest",
      );
    expect(streamOf(routing, "n.1.even")).toBe("even");
  });
});

describe("compareSpecificity", () => {
  it("orders: never zero for two patterns, opposite when swapped, and transitive", () => {
    fc.assert(
      fc.property(anyPattern, anyPattern, anyPattern, (a, b, c) => {
        expect(Math.sign(compareSpecificity(a, b)) + Math.sign(compareSpecificity(b, a))).toBe(0);
        expect(compareSpecificity(a, b) === 0).toBe(a === b);
        if (compareSpecificity(a, b) < 0 && compareSpecificity(b, c) < 0)
          expect(compareSpecificity(a, c)).toBeLessThan(0);
      }),
      { numRuns: 1_000 },
    );
  });
});
